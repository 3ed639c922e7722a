use std::{fs, os::unix::fs::symlink};

use tokio::time::timeout;

use super::*;

/// A folder of files that a test changes, with what it yields.
struct Watched {
    dir: tempfile::TempDir,
    source: FileSource,
    worlds: watch::Receiver<Arc<World>>,
    faults: watch::Receiver<Arc<[FileError]>>,
}

impl Watched {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = folder(files);
        let source = FileSource::open(dir.path(), &FileOptions::default()).expect("a good folder");
        let (worlds, faults) = (source.worlds(), source.faults());
        Self { dir, source, worlds, faults }
    }

    fn write(&self, files: &[(&str, &str)]) {
        files.iter().for_each(|(name, text)| fs::write(self.dir.path().join(name), text).expect("written"));
    }

    /// Waits until these hosts are routed and these faults are told of.
    async fn settles(&mut self, hosts: &[&str], faults: &[&str]) {
        let settled = async {
            while self.hosts() != hosts || self.faults() != faults {
                // sent after the world that belongs to it
                self.faults.changed().await.expect("a living source");
            }
        };
        if timeout(PATIENCE, settled).await.is_err() {
            panic!("{:?} {:?} instead of {hosts:?} {faults:?}", self.hosts(), self.faults());
        }
    }

    fn hosts(&self) -> Vec<String> {
        self.worlds.borrow().meta_routers().iter().map(|router| router.spec.hosts[0].clone()).collect()
    }

    /// Lists the faults, without the folder's own path.
    fn faults(&self) -> Vec<String> {
        let dir = format!("{}/", self.dir.path().display());
        self.faults.borrow().iter().map(|fault| fault.to_string().replace(&dir, "")).collect()
    }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    files.iter().for_each(|(name, text)| fs::write(dir.path().join(name), text).expect("written"));
    dir
}

fn router(name: &str, host: &str) -> String {
    format!(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {{name: {name}}}\nspec:\n  hosts: [{host}]\n---\n"
    )
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_change_is_seen() {
    let mut watched = Watched::new(&[("a.yaml", &router("a", "one")), ("b.yml", &router("b", "two")), ("c.txt", "[")]);
    assert_eq!(watched.hosts(), ["one", "two"]);
    watched.write(&[("a.yaml", &router("a", "three")), (".hidden.yaml", "[")]);
    watched.settles(&["three", "two"], &[]).await;
    fs::remove_file(watched.dir.path().join("b.yml")).expect("removed");
    watched.settles(&["three"], &[]).await;
}

#[tokio::test]
async fn a_bad_file_is_told_of_and_its_last_good_state_stays() {
    let mut watched = Watched::new(&[("a.yaml", &router("a", "one")), ("b.yaml", &router("b", "two"))]);
    watched.write(&[("a.yaml", &router("a", "one").replace("hosts", "host")), ("b.yaml", &router("b", "three"))]);
    let fault = "a.yaml:5:3: spec.host: unknown field `host`, \
        expected one of hosts, gateways, routes, localRateLimit, globalRateLimit, exportTo";
    watched.settles(&["one", "three"], &[fault]).await;
    watched.write(&[("a.yaml", &router("a", "four"))]);
    watched.settles(&["four", "three"], &[]).await;
}

#[tokio::test]
async fn an_emptied_file_removes_nothing_until_it_is_removed() {
    let mut watched = Watched::new(&[("a.yaml", &router("a", "one")), ("b.yaml", &router("b", "two")), ("c.yaml", "")]);
    for blank in ["", " \n\n\t"] {
        watched.write(&[("a.yaml", blank), ("b.yaml", &router("b", "two"))]);
        watched.settles(&["one", "two"], &["a.yaml: is empty; remove the file to remove its objects"]).await;
    }
    // a file without objects may say why
    watched.write(&[("b.yaml", "# not needed any more\n")]);
    watched.settles(&["one"], &["a.yaml: is empty; remove the file to remove its objects"]).await;
    fs::remove_file(watched.dir.path().join("a.yaml")).expect("removed");
    watched.settles(&[], &[]).await;
}

#[tokio::test]
async fn an_object_has_one_file() {
    let mut watched = Watched::new(&[("b.yaml", &router("a", "one"))]);
    watched.write(&[("a.yaml", &router("a", "two"))]);
    let fault = "a.yaml:1: MetaRouter default/a: metadata.name: is defined at b.yaml:1 already";
    watched.settles(&["one"], &[fault]).await;
    // moving it is fine, in whatever order the files are read
    watched.write(&[("b.yaml", &router("c", "three"))]);
    watched.settles(&["two", "three"], &[]).await;
}

#[tokio::test]
async fn a_mounted_config_map_is_followed() {
    // the kubelet writes a new folder and renames a link to it
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().to_owned();
    let version = |name: &str, host: &str| {
        fs::create_dir(path.join(name)).expect("made");
        fs::write(path.join(name).join("a.yaml"), router("a", host)).expect("written");
    };
    let link = |target: &str, name: &str| symlink(target, path.join(name)).expect("linked");
    version("..v1", "one");
    link("..v1", "..data");
    link("..data/a.yaml", "a.yaml");
    let source = FileSource::open(dir.path(), &FileOptions::default()).expect("a good folder");
    let mut watched = Watched { worlds: source.worlds(), faults: source.faults(), source, dir };
    watched.settles(&["one"], &[]).await;

    version("..v2", "two");
    link("..v2", "..next");
    fs::rename(path.join("..next"), path.join("..data")).expect("renamed");
    watched.settles(&["two"], &[]).await;
}

#[test]
fn polling_wakes_as_well() {
    let dir = folder(&[]);
    let (wake, woken) = mpsc::channel();
    let _watcher = polled(dir.path(), &wake).expect("polls");
    fs::write(dir.path().join("a.yaml"), "").expect("written");
    woken.recv_timeout(PATIENCE).expect("woken");
}

#[tokio::test]
async fn dropping_the_source_closes_its_channels() {
    let Watched { source, mut worlds, .. } = Watched::new(&[]);
    drop(source);
    assert!(timeout(PATIENCE, worlds.changed()).await.expect("in time").is_err());
}

#[test]
fn a_folder_with_a_fault_is_not_opened() {
    let dir = folder(&[("a.yaml", &router("a", "one")), ("b.yaml", &router("a", "two")), ("c.yaml", "kind: [")]);
    let error = FileSource::open(dir.path(), &FileOptions::default()).expect_err("faults").to_string();
    let lines: Vec<_> = error.lines().collect();
    assert!(
        matches!(lines.as_slice(), [b, c] if b.contains("b.yaml:1: MetaRouter default/a") && c.contains("c.yaml:")),
        "{error}"
    );
    let missing = dir.path().join("missing");
    let error = FileSource::open(&missing, &FileOptions::default()).expect_err("no folder");
    assert!(error.to_string().starts_with(&missing.display().to_string()), "{error}");
}
