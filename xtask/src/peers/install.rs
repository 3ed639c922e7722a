//! Brings the peers onto this machine: pinned packages into `.peers/`, by their package managers.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Error, Result, ensure};
use serde_json::Value;

/// A peer that cannot be had here: the suite is skipped, or fails where peers are required.
#[derive(Debug)]
pub(crate) struct Missing(String);

impl Missing {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Where everything that is brought or written by the recipes lies; ignored by git.
pub(crate) fn peers_dir() -> PathBuf {
    workspace().join(".peers")
}

/// Installs `peers/NAME/requirements.txt` into a virtual environment and returns its folder.
pub(crate) fn python(name: &str) -> Result<PathBuf> {
    let requirements = workspace().join("peers").join(name).join("requirements.txt");
    let home = peers_dir().join(name);
    once(&home, &requirements, || {
        package(Command::new("python3").args(["-c", "import ensurepip"]), "python3-venv")?;
        run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        run(Command::new(home.join("bin/pip")).args(["install", "--quiet", "--requirement"]).arg(&requirements))
    })?;
    Ok(home)
}

/// Installs stock Envoy and returns its binary, without the script that would fork it.
pub(crate) fn envoy() -> Result<PathBuf> {
    let library = python("envoy")?.join("lib");
    let found = fs::read_dir(&library)?
        .filter_map(Result::ok)
        .map(|version| version.path().join("site-packages/envoy/_bin/envoy"))
        .find(|binary| binary.is_file());
    found.ok_or_else(|| Missing::new(format!("no Envoy binary under {}", library.display())).into())
}

/// Builds `peers/NAME` with Maven into `.peers/BUILD` and returns the class path of the result.
pub(crate) fn maven(name: &str, build: &str, properties: &[(&str, &str)]) -> Result<String> {
    let source = workspace().join("peers").join(name);
    let build = peers_dir().join(build);
    let class_path = build.join("classpath.txt");
    fs::create_dir_all(&build)?;
    debian("javac", "default-jdk-headless")?;
    debian("mvn", "maven")?;
    let mut command = Command::new("mvn");
    command.args(["-q", "-B", "compile", "dependency:build-classpath"]).current_dir(source);
    command.arg(format!("-Dbuild.folder={}", build.display()));
    command.arg(format!("-Dmdep.outputFile={}", class_path.display()));
    command.args(properties.iter().map(|(key, value)| format!("-D{key}={value}")));
    run(&mut command)?;
    Ok(format!("{}:{}", build.join("classes").display(), fs::read_to_string(class_path)?.trim()))
}

/// Installs the locked packages of `peers/NAME` into `.peers/NAME` and returns that folder.
pub(crate) fn npm(name: &str) -> Result<PathBuf> {
    let source = workspace().join("peers").join(name);
    let home = peers_dir().join(name);
    let lock = source.join("package-lock.json");
    once(&home, &lock, || {
        debian("npm", "npm")?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), home.join(file))?;
        }
        run(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&home))
    })?;
    Ok(home)
}

/// Builds the programs of the Go module `peers/NAME` into `.peers/NAME` and returns that folder; Debian's own Go is too
/// old.
pub(crate) fn go(name: &str) -> Result<PathBuf> {
    let home = peers_dir().join(name);
    fs::create_dir_all(&home)?;
    let mut command = Command::new(python("go")?.join("bin/go"));
    command.args(["build", "-o"]).arg(&home).arg("./...").current_dir(workspace().join("peers").join(name));
    run(&mut command)?;
    Ok(home)
}

/// Builds the program of a package of this workspace and returns its path.
pub(crate) fn cargo(package: &str, profile: &str) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--message-format", "json", "--profile", profile, "--package", package]);
    // a build in increments is cut into other parts, and what is inlined into what would differ from a plain one
    command.env("CARGO_INCREMENTAL", "0");
    let built = command.current_dir(workspace()).output()?;
    ensure!(built.status.success(), "{package} does not build: {}", String::from_utf8_lossy(&built.stderr));
    let artifacts = String::from_utf8(built.stdout)?;
    let executable = artifacts.lines().rev().find_map(|line| {
        let artifact: Value = serde_json::from_str(line).ok()?;
        artifact["executable"].as_str().map(Into::into)
    });
    executable.with_context(|| format!("{package} has no program"))
}

/// Makes sure that a program of a Debian package is there.
pub(crate) fn debian(program: &str, name: &str) -> Result<()> {
    package(Command::new(program).arg("--version"), name)
}

/// Installs a Debian package unless `probe` succeeds.
fn package(probe: &mut Command, name: &str) -> Result<()> {
    let there = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    run(apt().args(["install", "-y", "-qq", name]))
        .or_else(|_| {
            run(apt().args(["update", "-qq"]))?;
            run(apt().args(["install", "-y", "-qq", name]))
        })
        .with_context(|| format!("the Debian package {name} is missing"))
}

fn apt() -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if root {
        return Command::new("apt-get");
    }
    let mut command = Command::new("sudo");
    command.args(["-n", "apt-get"]);
    command
}

/// Runs an installing command to its end; its failure means that the peer is missing.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.output();
    let missing = |why: String| Error::from(Missing::new(format!("{command:?} {why}")));
    let output = output.map_err(|error| missing(format!("did not start: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let said: Vec<&str> = said.lines().filter(|line| !line.is_empty()).take(8).collect();
    Err(missing(format!("ended with {}: {}", output.status, said.join("\n"))))
}

/// Installs into `home` unless that was done before for the same content of `pin`.
fn once(home: &Path, pin: &Path, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let wanted = fs::read(pin).with_context(|| format!("reading {}", pin.display()))?;
    let stamp = home.join("installed");
    if fs::read(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    fs::create_dir_all(home)?;
    install()?;
    Ok(fs::write(stamp, wanted)?)
}
