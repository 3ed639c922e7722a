//! The program as its user meets it: YAML files that are edited while it runs, and what it says.

use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/mesh");
const GREETER: &str = "dubbo-greeter.yaml";
const CALCULATOR: &str = "thrift-calculator.yaml";

/// What an edit may take until it is in force: a second on a machine that is not busy, and some more on one that is.
const SHIFT: Duration = Duration::from_secs(3);

/// A running mesh, ended when the test is.
struct Quickstart {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Quickstart {
    /// Starts on `mesh`; by itself it ends only if the test has been stuck for long.
    fn start(mesh: &TempDir, arguments: &[&str]) -> Self {
        let mut command = quickstart(mesh.path(), &["--seconds", "60", "--rate", "200"]);
        let mut child = command.args(arguments).spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// Waits for a line that contains all `parts`.
    fn wait_for(&mut self, parts: &[&str]) -> String {
        let has_all = |line: &String| parts.iter().all(|part| line.contains(part));
        let found = self.lines.by_ref().map_while(Result::ok).find(has_all);
        found.unwrap_or_else(|| panic!("no line with {parts:?}"))
    }

    /// Waits for a line for each of `wanted`, in any order.
    fn wait_for_all<const N: usize>(&mut self, wanted: [&[&str]; N]) -> [String; N] {
        let mut found = [const { None }; N];
        while let Some(missing) = found.iter().position(Option::is_none) {
            let line =
                self.lines.next().and_then(Result::ok).unwrap_or_else(|| panic!("no line with {:?}", wanted[missing]));
            for (place, parts) in found.iter_mut().zip(wanted) {
                if place.is_none() && parts.iter().all(|part| line.contains(part)) {
                    *place = Some(line.clone());
                }
            }
        }
        found.map(Option::unwrap_or_default)
    }

    /// Waits for the next two reports of `group`, of which at least one began after now, and returns the later one.
    fn next_report(&mut self, group: &str) -> String {
        self.wait_for(&[group, "route"]);
        self.wait_for(&[group, "route"])
    }

    /// Asks the program to end and returns its summary and whether it was content.
    fn end(mut self) -> (Vec<String>, bool) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        self.wait_for(&["summary of the whole run:"]);
        let summary = self.lines.by_ref().map_while(Result::ok).collect();
        (summary, self.child.wait().expect("it ends").success())
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        // it may have ended by itself
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn quickstart(mesh: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
    command.arg("--plain").arg("--mesh").arg(mesh).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs until the program ends by itself.
fn run(mesh: &Path, arguments: &[&str]) -> (Output, String) {
    let output = quickstart(mesh, arguments).output().expect("the program runs");
    let errors = String::from_utf8(output.stderr.clone()).expect("text");
    (output, errors)
}

/// The shipped mesh in a folder of its own.
fn mesh() -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    edit(&dir, GREETER, |text| text);
    edit(&dir, CALCULATOR, |text| text);
    dir
}

/// A mesh without chance: every call of everybody goes to v1.
fn certain_mesh() -> TempDir {
    let dir = mesh();
    edit(&dir, GREETER, |text| weights(&text, 100, 0));
    edit(&dir, CALCULATOR, |text| text.replacen("weight: 50", "weight: 100", 1).replacen("weight: 50", "weight: 0", 1));
    dir
}

/// Writes a file of the mesh: the shipped one, changed.
fn edit(mesh: &TempDir, file: &str, change: impl Fn(String) -> String) {
    let shipped = fs::read_to_string(Path::new(SHIPPED).join(file)).expect("the shipped mesh");
    fs::write(mesh.path().join(file), change(shipped)).expect("written");
}

fn weights(greeter: &str, v1: u32, v2: u32) -> String {
    assert!(greeter.contains("weight: 80") && greeter.contains("weight: 20"), "{greeter}");
    greeter.replace("weight: 80", &format!("weight: {v1}")).replace("weight: 20", &format!("weight: {v2}"))
}

fn assert_no_errors(summary: &[String]) {
    assert!(summary.len() == 3 && summary.iter().all(|line| line.contains("  errors 0")), "{summary:#?}");
}

#[test]
fn an_edited_weight_moves_traffic_without_a_failed_call() {
    let mesh = certain_mesh();
    let mut program = Quickstart::start(&mesh, &["--check"]);
    let before = program.next_report("dubbo, everybody");
    assert!(before.contains("v1 100.0 % (weight 100.0 %)"), "{before}");

    let edited = Instant::now();
    edit(&mesh, GREETER, |text| weights(&text, 0, 100));
    program.wait_for(&["routes dubbo.demo.greeter_20880", "are in force"]);
    let took = edited.elapsed();
    assert!(took <= SHIFT, "in force after {took:?}");
    let after = program.next_report("dubbo, everybody");
    assert!(after.contains("v2 100.0 % (weight 100.0 %)"), "{after}");
    let (summary, content) = program.end();
    assert_no_errors(&summary);
    assert!(content, "every answer counts for the weights that were in force when it came: {summary:#?}");
}

#[test]
fn a_subset_may_go_together_with_its_routes() {
    let mesh = certain_mesh();
    let mut program = Quickstart::start(&mesh, &["--check"]);
    program.next_report("dubbo, everybody");
    edit(&mesh, GREETER, |text| {
        let without_v2 = text.replace("  - name: v2\n    labels:\n      version: v2\n", "").replace("v2", "v1");
        without_v2
            .replace("        subset: v1\n      weight: 20", "      weight: 0")
            .replace("weight: 80", "weight: 100")
    });
    program.wait_for(&["routes dubbo.demo.greeter_20880", "are in force"]);
    let after = program.next_report("dubbo, user=vip");
    let (summary, content) = program.end();
    assert_no_errors(&summary);
    assert!(content, "{after}\n{summary:#?}");
}

#[test]
fn a_destination_that_is_not_there_is_told_and_nothing_is_said_to_be_answered() {
    let mesh = certain_mesh();
    let mut program = Quickstart::start(&mesh, &[]);
    program.next_report("dubbo, everybody");
    edit(&mesh, GREETER, |text| text.replace("        host: dubbo.demo.greeter", "        host: dubbo.demo.nobody"));
    let field = "MetaRouter demo/dubbo-greeter: spec.routes[0].route[0].destination.host: ";
    let [said, _] = program.wait_for_all([&[field], &["routes dubbo.demo.greeter_20880", "are in force"]]);
    assert!(said.contains("no service has the host `dubbo.demo.nobody`") && !said.contains("last good"), "{said}");
    let report = program.next_report("dubbo, everybody");
    assert!(report.contains("     0/s  no answers  errors "), "{report}");
    assert!(report.contains("(the last: an error instead of an answer: cluster_not_found: "), "{report}");
}

#[test]
fn a_broken_file_is_shown_and_changes_nothing() {
    let mesh = mesh();
    let mut program = Quickstart::start(&mesh, &[]);
    program.next_report("dubbo, everybody");
    let file = mesh.path().join(GREETER).display().to_string();

    edit(&mesh, GREETER, |text| weights(&text, 30, 70).replace("weight: 30", "wieght: 30"));
    let place = format!("{file}:68:7: spec.routes[1].route[0].wieght: unknown field `wieght`");
    program.wait_for(&[&place, "; the last good state stays"]);
    let report = program.next_report("dubbo, everybody");
    assert!(report.contains("(weight 80.0 %)"), "{report}");

    edit(&mesh, GREETER, |text| text);
    program.wait_for(&["all files can be read again"]);

    edit(&mesh, GREETER, |text| weights(&text, 80, 30));
    let place = format!("{file}:45: MetaRouter demo/dubbo-greeter: spec.routes[1].route: ");
    program.wait_for(&[&place, "must sum up to 100, not 110; the last good state stays"]);
    let report = program.next_report("dubbo, everybody");
    assert!(report.contains("(weight 80.0 %)"), "{report}");

    edit(&mesh, GREETER, |text| weights(&text, 30, 70));
    program.wait_for(&["all objects are good again"]);
    program.wait_for(&["dubbo, everybody", "v1 ", "(weight 30.0 %)"]);
    assert_no_errors(&program.end().0);
}

#[test]
fn the_shipped_mesh_passes_its_check() {
    let (output, errors) = run(Path::new(SHIPPED), &["--check", "--seconds", "5", "--rate", "2000"]);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).expect("text");
    let (_, summary) = text.split_once("summary of the whole run:\n").expect("a summary");
    assert_no_errors(&summary.lines().map(str::to_owned).collect::<Vec<_>>());
}

#[test]
fn every_feature_shows_its_effect() {
    let (output, errors) = run(Path::new(SHIPPED), &["--check-all"]);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).expect("text");
    let shown: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let shipped = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/features")).expect("the shipped features");
    let shipped = shipped.map(|entry| entry.expect("readable").path());
    let mut shipped: Vec<_> = shipped.map(|path| path.file_stem().expect("a name").display().to_string()).collect();
    shipped.sort();
    let mut sorted = shown.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, shipped, "{text}");
}

#[test]
fn shares_off_their_weights_fail_the_check() {
    // every caller makes one call: 8 calls cannot lie within 3 points of 80 to 20
    let (output, errors) = run(Path::new(SHIPPED), &["--check", "--seconds", "1", "--rate", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors.contains("error: dubbo, everybody: v1 got ") && errors.contains(", its weight is 80.0 %"),
        "{errors}"
    );
    let (output, _) = run(Path::new(SHIPPED), &["--seconds", "1", "--rate", "1"]);
    assert!(output.status.success(), "only --check is about shares");
}

#[test]
fn a_mesh_that_cannot_be_started_is_one_line() {
    let refused = |mesh: &Path| {
        let (output, errors) = run(mesh, &["--check", "--seconds", "60"]);
        assert_eq!((output.status.code(), errors.lines().count()), (Some(1), 1), "{errors}");
        errors
    };
    let nowhere = Path::new("/nowhere/at/all");
    assert_eq!(refused(nowhere), "error: /nowhere/at/all: No such file or directory (os error 2)\n");

    let dir = mesh();
    fs::remove_file(dir.path().join(CALCULATOR)).expect("it is there");
    assert_eq!(refused(dir.path()), "error: the mesh has no service \"thrift.demo.calculator\"\n");

    edit(&dir, CALCULATOR, |text| text.replace("weight: 50", "weight: fifty"));
    let said = refused(dir.path());
    assert!(said.contains("thrift-calculator.yaml:57:15: "), "{said}");
    edit(&dir, CALCULATOR, |text| text.replacen("weight: 50", "weight: 60", 1));
    let said = refused(dir.path());
    assert!(said.contains("the weights must sum up to 100, not 110"), "{said}");
}
