//! The program as its user meets it: what it prints, and how it ends.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use aeraki_route::config::{Cluster, ConfigError, Node, RouteConfig};
use aeraki_xds::client::Subscriber;

const MESH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../quickstart/mesh");

/// A running program, ended when the test is.
struct Program(Child);

impl Program {
    fn start(args: &[&str]) -> (Self, impl Iterator<Item = String> + use<>) {
        let mut child = command(args).spawn().expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        (Self(child), lines)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // it may have ended by itself
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aeraki"));
    command.args(args).env_remove("RUST_LOG").stderr(Stdio::piped());
    command
}

/// Runs the program until it refuses to start; returns what it says.
fn refusal(args: &[&str]) -> String {
    let (code, said) = ended(args);
    assert_eq!(code, Some(1), "{said}");
    said
}

/// Runs the program until it ends by itself; returns its exit code and what it says.
fn ended(args: &[&str]) -> (Option<i32>, String) {
    let output = command(args).output().expect("the program runs");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

fn mesh_with(change: impl Fn(String) -> String) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    write_mesh(dir.path(), change);
    dir
}

fn write_mesh(dir: &Path, change: impl Fn(String) -> String) {
    let text = fs::read_to_string(format!("{MESH}/dubbo-greeter.yaml")).expect("the quickstart's mesh");
    fs::write(dir.join("greeter.yaml"), change(text)).expect("written");
}

#[test]
fn bad_arguments_are_told_with_the_usage() {
    let (code, said) = ended(&["--config-dir", MESH, "--prot", "1"]);
    assert!(code == Some(2) && said.starts_with("error: unexpected argument '--prot' found\n"), "{code:?} {said}");
    assert!(said.contains("Usage: aeraki --config-dir <DIR>"), "{said}");
}

#[test]
fn a_folder_that_is_not_there_is_one_line() {
    let missing = refusal(&["--config-dir", "/nowhere/at/all"]);
    assert_eq!(missing, "aeraki: /nowhere/at/all: No such file or directory (os error 2)\n");
}

#[test]
fn a_port_in_use_is_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    let said = refusal(&["--config-dir", MESH, "--xds-addr", &addr]);
    assert!(said.starts_with(&format!("aeraki: --xds-addr {addr}: ")) && said.lines().count() == 1, "{said}");
}

#[test]
fn a_faulty_object_is_one_line_at_the_start() {
    let misspelt = mesh_with(|text| text.replace("      weight: 80", "      wieght: 80"));
    let dir = misspelt.path().display().to_string();
    let said = refusal(&["--config-dir", &dir]);
    let expected = format!("aeraki: {dir}/greeter.yaml:68:7: spec.routes[1].route[0].wieght: unknown field `wieght`, ");
    assert!(said.starts_with(&expected) && said.lines().count() == 1, "{said}");

    let unbalanced = mesh_with(|text| text.replace("weight: 80", "weight: 70"));
    let said = refusal(&["--config-dir", &unbalanced.path().display().to_string()]);
    assert!(
        said.contains("MetaRouter demo/dubbo-greeter: spec.routes[1].route: the weights must sum up to 100, not 90"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn a_fault_at_run_time_is_told_and_mended() {
    let mesh = mesh_with(|text| text);
    let dir = mesh.path().display().to_string();
    let (_program, mut lines) = Program::start(&["--config-dir", &dir, "--xds-addr", "127.0.0.1:0"]);
    let mut wait_for =
        |part: &str| lines.find(|line| line.contains(part)).unwrap_or_else(|| panic!("no line with {part}"));
    wait_for("serving MetaRDS on 127.0.0.1:");
    wait_for("published routes=1 kept=0");
    write_mesh(mesh.path(), |text| text.replace("subset: v2", "subset: v3"));
    wait_for("declares the subset `v3` of `dubbo.demo.greeter`, only `v1`, `v2`; the last good state stays");
    wait_for("published routes=1 kept=1");
    write_mesh(mesh.path(), |text| text.replace("spec:", "spce:"));
    wait_for("unknown field `spce`");
    write_mesh(mesh.path(), |text| text);
    wait_for("published routes=1 kept=0");
}

#[test]
fn what_is_removed_is_named_and_an_emptied_file_removes_nothing() {
    let mesh = mesh_with(|text| text);
    let dir = mesh.path().display().to_string();
    let (_program, mut lines) = Program::start(&["--config-dir", &dir, "--xds-addr", "127.0.0.1:0"]);
    let mut wait_for =
        |part: &str| lines.find(|line| line.contains(part)).unwrap_or_else(|| panic!("no line with {part}"));
    wait_for("published routes=1 kept=0");
    write_mesh(mesh.path(), |_| String::new());
    wait_for("greeter.yaml: is empty; remove the file to remove its objects; the last good state stays");
    wait_for("published routes=1 kept=0");
    fs::remove_file(mesh.path().join("greeter.yaml")).expect("removed");
    let removed = wait_for("MetaRouter demo/dubbo-greeter: is removed");
    assert!(removed.contains("INFO") && removed.contains(&format!("{dir}/greeter.yaml:")), "{removed}");
    wait_for("published routes=0 kept=0");
}

#[test]
fn a_policy_that_loses_its_services_is_told_with_them() {
    let policy = |host: &str| {
        format!(
            "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaAuthorizationPolicy\n\
             metadata: {{name: lock, namespace: demo}}\nspec: {{action: DENY, hosts: [{host}], rules: [{{}}]}}\n"
        )
    };
    let mesh = mesh_with(|text| text);
    let write = |host: &str| fs::write(mesh.path().join("lock.yaml"), policy(host)).expect("written");
    write("dubbo.demo.greeter");
    let dir = mesh.path().display().to_string();
    let (_program, mut lines) = Program::start(&["--config-dir", &dir, "--xds-addr", "127.0.0.1:0"]);
    let mut wait_for =
        |part: &str| lines.find(|line| line.contains(part)).unwrap_or_else(|| panic!("no line with {part}"));
    wait_for("published routes=1 kept=0");
    write("dubbo.demo.greter");
    wait_for("WARN the authorization policy `demo/lock` no longer decides for `dubbo.demo.greeter_20880`");
    let told = "demo/lock: spec.hosts[0]: no service has the host `dubbo.demo.greter`: the policy holds for nobody";
    assert!(wait_for(told).contains("WARN"));
}

/// Subscribes to a table until the process ends; what comes is refused with `reason`, and handed over.
fn subscribe(address: SocketAddr, table: &'static str, reason: &'static str) -> mpsc::Receiver<RouteConfig> {
    let (tell, told) = mpsc::channel();
    let cluster = Cluster::new("aeraki").with_endpoint(address);
    let subscriber = Subscriber::new(&cluster, &Node::new("sidecar-1", "demo")).expect("an endpoint");
    let refuse = move |routes: &RouteConfig| {
        // the test may be over
        _ = tell.send(routes.clone());
        Err(ConfigError::new(format!("route configuration {:?}", routes.name), "routes[0].x", reason))
    };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(subscriber.watch(table, refuse));
    });
    told
}

/// `docs/control-plane.md` names the table and the clusters of the quickstart's mesh.
#[test]
fn a_proxy_that_refuses_a_table_or_asks_for_one_that_is_not_there_is_told() {
    let (_program, mut lines) = Program::start(&["--config-dir", MESH, "--xds-addr", "127.0.0.1:0"]);
    let mut wait_for =
        |part: &str| lines.find(|line| line.contains(part)).unwrap_or_else(|| panic!("no line with {part}"));
    let serving = wait_for("serving MetaRDS on ");
    let address = serving.rsplit(' ').next().expect("an address").parse().expect("an address");
    wait_for("published");
    let routes = subscribe(address, "dubbo.demo.greeter_20880", "cannot be done");
    let refused = wait_for("refused: ");
    assert!(refused.contains("ERROR") && refused.contains("sidecar-1"), "{refused}");
    assert!(
        refused.contains("route configuration \"dubbo.demo.greeter_20880\": routes[0].x: cannot be done"),
        "{refused}"
    );
    let _absent = subscribe(address, "dubbo.demo.greeter", "");
    let absent = wait_for("asks for ");
    assert!(absent.contains("WARN") && absent.contains("sidecar-1"), "{absent}");
    assert!(absent.contains("asks for what is not there: \"dubbo.demo.greeter\"; tables are called <host>_<port>"));

    let documented = include_str!("../../../docs/control-plane.md");
    let table = routes.recv_timeout(Duration::from_secs(20)).expect("it came before it was refused");
    assert!(documented.contains(&format!("route_config_name: {}\n", table.name)));
    for (_, cluster) in table.clusters() {
        assert!(documented.contains(&format!("  - name: {cluster}\n")), "{cluster} is not documented");
    }
}

#[test]
fn help_names_every_kind() {
    let output = command(&["--help"]).output().expect("the program runs");
    let help = String::from_utf8(output.stdout).expect("text");
    let kinds = ["MetaRouter", "MetaAuthorizationPolicy", "DubboAuthorizationPolicy", "ApplicationProtocol"];
    for kind in kinds.into_iter().chain(["ServiceEntry", "DestinationRule", "Service."]) {
        assert!(help.contains(kind), "{kind} is not in {help}");
    }
}

#[test]
fn it_ends_when_told_to() {
    let (mut program, mut lines) = Program::start(&["--config-dir", MESH, "--xds-addr", "127.0.0.1:0"]);
    lines.find(|line| line.contains("published")).expect("it serves");
    let pid = program.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    assert!(program.0.wait().expect("it ends").success());
}
