//! The program as its user meets it: what it prints, how it ends, and what it serves.

mod audit;
mod bad_input;
mod fixtures;
mod limited;
mod relay;
mod replacing;
mod running;
mod serving;
mod shipped;
#[path = "../../../quickstart/src/socket.rs"]
mod socket;
#[path = "../../../quickstart/src/wire.rs"]
mod wire;

use std::process::{Command, Output};

use tempfile::NamedTempFile;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aeraki-proxy"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

/// Runs the program until it ends by itself; returns its exit code and what it says.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command(arguments).output().expect("the program runs");
    (status.code(), String::from_utf8(stderr).expect("text"))
}

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::with_suffix(".yaml").expect("a file");
    std::fs::write(&file, text).expect("written");
    file
}

/// A bootstrap with an admin interface and listeners and clusters in flow style.
fn bootstrap(listeners: &[String], clusters: &[String]) -> String {
    format!(
        "node: {{id: me, cluster: us}}\n\
         admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}\n\
         static_resources:\n  listeners: [{}]\n  clusters: [{}]\n",
        listeners.join(", "),
        clusters.join(", ")
    )
}

/// A listener called `in` on `port`; `fields` are those of the MetaProtocol proxy that its protocol and routes need.
fn listener(port: u16, fields: &str) -> String {
    format!(
        "{{name: in, address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}, \
         filter_chains: {{filters: {{name: aeraki.meta_protocol_proxy, typed_config: {{\
         '@type': type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy, stat_prefix: test, {fields}}}}}}}}}"
    )
}

fn protocol(name: &str) -> String {
    format!("protocol: {{name: {name}, codec: {{name: aeraki.meta_protocol.codec.{name}}}}}")
}

fn to_cluster(name: &str) -> String {
    format!("route_config: {{routes: [{{name: all, route: {{cluster: {name}}}}}]}}")
}

fn cluster(name: &str, port: u16) -> String {
    format!(
        "{{name: {name}, type: STATIC, connect_timeout: 5s, load_assignment: {{cluster_name: {name}, endpoints: \
         {{lb_endpoints: {{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}}}}}}}"
    )
}
