use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use aeraki_route::Rules;
use aeraki_route::config::ConfigError;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::Any;
use crate::convert::{routes_to_http, tests::strategies};

fn resource(name: &str, route: &str) -> String {
    format!(
        "- '@type': type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: {name}
  virtual_hosts:
  - name: all
    domains: ['*']
    routes:
    - name: calls
      match: {{prefix: ''}}
      route: {{{route}}}
"
    )
}

fn document(resources: &[String]) -> String {
    format!("version_info: v1\nresources:\n{}", resources.concat())
}

struct File {
    file: Arc<RouteFile>,
    events: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl File {
    fn with(text: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("routes.yaml");
        fs::write(&path, text).expect("written");
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        let file = RouteFile::new(path).with_observer(move |event| {
            let text = match event {
                Event::Accepted { version, .. } => format!("accepted {version}"),
                Event::Rejected { reason, .. } => format!("rejected {reason}"),
                other => panic!("{other:?}"),
            };
            seen.lock().expect("no panic").push(text);
        });
        Self { file: Arc::new(file), events, _folder: folder }
    }

    /// Replaces the file as a whole: nobody may read the half of it.
    fn write(&self, text: &str) {
        let other = self.file.path().with_extension("new");
        fs::write(&other, text).expect("written");
        fs::rename(other, self.file.path()).expect("renamed");
    }

    fn refusal(&self) -> String {
        let text = self.file.read("mine").expect_err("refused").to_string();
        text.split_once(": ").expect("the file and the reason").1.to_owned()
    }
}

#[test]
fn a_table_is_found_by_its_name_and_may_say_all_that_a_control_plane_may() {
    let route = "cluster: one, timeout: 1s, retry_policy: {retry_on: connect-failure, num_retries: 2}";
    let file = File::with(&document(&[resource("other", "cluster: two"), resource("mine", route)]));
    let table = file.file.read("mine").expect("good");
    assert_eq!(table.name, "mine");
    assert_eq!(table.routes[0].action.timeout, Some(Duration::from_secs(1)));
    assert!(table.routes[0].action.retry.is_some());
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place() {
    let mine = || resource("mine", "cluster: one");
    for (text, reason) in [
        ("a: [".to_owned(), "line 1"),
        ("resource: []".to_owned(), "resource: "),
        ("{name: mine, virtual_hosts: []}".to_owned(), "must be one of the `resources` of a DiscoveryResponse"),
        (document(&[resource("other", "cluster: one")]), r#"there is no table "mine" in it"#),
        (document(&[mine(), mine()]), r#"resources[1]: there are two tables "mine""#),
        (
            document(&[resource("mine", "cluster: one, prefix_rewrite: /x")]),
            "resources[0].virtual_hosts[0].routes[0].route.prefix_rewrite: has no effect here",
        ),
        (document(&[resource("mine", "timeout: 1s")]), "route: must hold cluster or weighted_clusters"),
        (document(&[resource("mine", "clusters: one")]), "clusters"),
        (
            document(&[mine().replace("prefix: ''", "prefix: /x")]),
            "virtual_hosts[0].routes[0].match.prefix: must be empty: requests have no paths",
        ),
        (
            document(&[mine().replace("['*']", "[shop]")]),
            "virtual_hosts[0].domains: must be '*': requests have no hosts",
        ),
        (
            "resources: [{'@type': type.googleapis.com/envoy.config.cluster.v3.Cluster, name: mine}]".to_owned(),
            "resources[0]: expected type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        ),
    ] {
        let refusal = File::with(&text).refusal();
        assert!(refusal.contains(reason), "{text}: {refusal}");
    }
    let large = File::with("");
    let sparse = fs::File::options().write(true).open(large.file.path()).expect("is there");
    sparse.set_len(MOST_BYTES + 1).expect("without any memory");
    assert_eq!(large.refusal(), "is larger than 67108864 bytes");
    let folder = RouteFile::new(std::env::temp_dir()).read("mine").expect_err("a folder").reason;
    assert_eq!(folder, "is no ordinary file");
    let missing = RouteFile::new("/nowhere/routes.yaml").read("mine").expect_err("no file").to_string();
    assert!(missing.starts_with("/nowhere/routes.yaml: "), "{missing}");
}

#[tokio::test(start_paused = true)]
async fn changes_come_into_force_and_what_is_wrong_leaves_the_last_good_table() {
    let file = File::with(&document(&[resource("mine", "cluster: one")]));
    let rules = Arc::new(SharedRules::new(Rules::empty()));
    let target = || {
        let rules = rules.load();
        let clusters = rules.table()?.routes().first()?.clusters().map(|(name, _)| name.to_string());
        Some(clusters.collect::<Vec<_>>())
    };
    let (drive, driven) = (Arc::clone(&file.file), Arc::clone(&rules));
    let task = tokio::spawn(async move { drive.drive("mine", driven).await });
    let events = async |count: usize| {
        while file.events.lock().expect("no panic").len() < count {
            sleep(INTERVAL).await;
        }
        file.events.lock().expect("no panic").clone()
    };
    assert_eq!(events(1).await, ["accepted v1"]);
    assert_eq!(target(), Some(vec!["one".to_owned()]));
    file.write("nonsense: true");
    assert!(events(2).await[1].starts_with("rejected "));
    assert_eq!(target(), Some(vec!["one".to_owned()]));
    file.write(&document(&[resource("mine", "cluster: two")]).replace("v1", "v2"));
    assert_eq!(events(3).await[2], "accepted v2");
    assert_eq!(target(), Some(vec!["two".to_owned()]));
    file.write(&document(&[resource("mine", "cluster: six")]).replace("v1", "v2"));
    assert_eq!(events(4).await[3], "accepted v2", "another text, though of the same version and length");
    assert_eq!(target(), Some(vec!["six".to_owned()]));
    sleep(INTERVAL * 5).await;
    assert_eq!(events(4).await.len(), 4, "what did not change is not told again");
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_table_that_its_users_refuse_is_tried_again_and_told_once() {
    let file = File::with(&document(&[resource("mine", "cluster: one")]));
    let willing = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&willing);
    let rules = SharedRules::new(Rules::empty()).with_check(move |_| match asked.load(Ordering::Relaxed) {
        true => Ok(()),
        false => Err(ConfigError::new("table", "routes", "are not liked")),
    });
    let rules = Arc::new(rules);
    let (drive, driven) = (Arc::clone(&file.file), Arc::clone(&rules));
    let task = tokio::spawn(async move { drive.drive("mine", driven).await });
    sleep(INTERVAL * 5).await;
    willing.store(true, Ordering::Relaxed);
    rules.in_force().await;
    let events = file.events.lock().expect("no panic").clone();
    assert!(events.len() == 2 && events[0].contains("are not liked") && events[1] == "accepted v1", "{events:?}");
    task.abort();
}

/// Writes characters that YAML takes in escaped form only, unlike JSON.
fn escaped(json: &str) -> String {
    let escape = |char: char| if char.is_control() { format!("\\u{:04x}", u32::from(char)) } else { char.to_string() };
    json.chars().map(escape).collect()
}

proptest! {
    /// What our control plane writes is all of use, and means the same in a file.
    #[test]
    fn what_a_control_plane_sends_may_stand_in_a_file(config in strategies::config()) {
        let resource = Any::pack(&routes_to_http(&config).expect("has a form"));
        let response = DiscoveryResponse { resources: vec![resource], ..DiscoveryResponse::default() };
        let text = escaped(&json::text(&response).expect("has a form"));
        prop_assert_eq!(table(&text, &config.name).map(|(_, read)| read).map_err(|error| error.to_string()), Ok(config));
    }
}
