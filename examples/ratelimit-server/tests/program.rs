//! The program as its user meets it: what it prints, and how it ends.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

/// A running program, ended when the test is.
struct Program(Child);

impl Program {
    /// Starts it on a free port; returns also what it says.
    fn start(dir: &Path) -> (Self, impl Iterator<Item = String> + use<>) {
        let mut child = command(dir, &["--addr", "127.0.0.1:0"]).spawn().expect("the program starts");
        let said = child.stderr.take().expect("it is piped");
        (Self(child), BufReader::new(said).lines().map_while(Result::ok))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // it may have ended by itself
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn command(dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ratelimit-server"));
    command.arg("--config-dir").arg(dir).args(more).env_remove("RUST_LOG").stderr(Stdio::piped());
    command
}

/// Runs it until it refuses to start; returns the one line that it says, without its name.
fn refusal(dir: &Path, more: &[&str]) -> String {
    let output = command(dir, more).output().expect("the program runs");
    let said = String::from_utf8(output.stderr).expect("is text");
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    said.trim_end().strip_prefix("ratelimit-server: ").expect("begins with its name").to_owned()
}

/// A folder with the limits of one domain.
fn folder(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), text);
    dir
}

fn write(dir: &Path, text: &str) {
    fs::write(dir.join("shop.yaml"), text).expect("is written");
}

#[test]
fn a_start_that_cannot_be_is_one_line() {
    let good = folder(GOOD);
    let output = command(good.path(), &["--prot", "1"]).output().expect("the program runs");
    let said = String::from_utf8(output.stderr).expect("is text");
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: unexpected argument '--prot' found\n") && said.contains("Usage: "), "{said}");
    let said = refusal(good.path(), &["--redis", "redis://127.0.0.1:1"]);
    assert!(
        said.starts_with("--redis: the counters cannot be reached: ") && said.matches("refused").count() == 1,
        "{said}"
    );
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    let said = refusal(good.path(), &["--addr", &addr]);
    assert!(said.starts_with(&format!("--addr {addr}: ")), "{said}");
    let said = refusal(Path::new("/nowhere/at/all"), &[]);
    assert!(said.starts_with("/nowhere/at/all: "), "{said}");
}

#[test]
fn bad_limits_are_one_line() {
    let bad =
        folder("domain: shop\ndescriptors: [{ key: user, rate_limit: { unit: decade, requests_per_unit: 1 } }]\n");
    let said = refusal(bad.path(), &[]);
    let start = format!("{}/shop.yaml: descriptors[0].rate_limit.unit: unknown unit \"decade\"", bad.path().display());
    assert!(said.starts_with(&start), "{said}");
}

#[test]
fn changes_take_effect_and_faults_do_not() {
    let dir = folder(GOOD);
    let (_program, mut lines) = Program::start(dir.path());
    let mut wait_for =
        |part: &str| lines.find(|line| line.contains(part)).unwrap_or_else(|| panic!("no line with {part}"));
    wait_for("serving rate limits on 127.0.0.1:");
    write(dir.path(), "domian: shop");
    let line = wait_for("the last good limits stay");
    assert!(line.contains("shop.yaml: domian: unknown field `domian`"), "{line}");
    write(dir.path(), GOOD);
    wait_for("new limits are in force");
}

#[test]
fn it_ends_when_told_to() {
    let dir = folder(GOOD);
    let (mut program, mut lines) = Program::start(dir.path());
    lines.find(|line| line.contains("serving")).expect("it serves");
    let pid = program.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    assert!(program.0.wait().expect("it ends").success());
}

const GOOD: &str = "domain: shop\ndescriptors: [{ key: user, rate_limit: { unit: day, requests_per_unit: 1 } }]\n";
