//! A provider that is killed and started again under load: what may be repeated must not fail, and nothing else may be
//! executed twice. The provider counts, in a file that outlives it.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::json;

use super::Java;
use crate::interop::report::Answer;
use crate::peers::{
    install::{self, peers_dir},
    process::{Process, free_port},
};

/// Kills the provider three times under the calls of a consumer that come by our proxy and our control plane.
pub(super) fn run(java: &Java) -> Result<Vec<Answer>> {
    let folder = peers_dir().join("run/survival");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("mesh"))?;
    let executed = folder.join("executed");
    let (server, port) = java.serve_counting(0, Some(&executed))?;
    let (_mesh, entrance) = mesh(&folder, port)?;
    let mut consumer = Process::start("dubbo-java-survivor", java.command("peers.Survivor").arg(entrance.to_string()))?;
    let mut calls = Calls::default();
    let mut server = Some(server);
    for _ in 0..KILLS {
        calls.hear(&consumer, CALLS)?;
        // dropped: killed, without a goodbye to anybody
        drop(server.take());
        server = Some(java.serve_counting(port, Some(&executed))?.0);
    }
    calls.hear(&consumer, CALLS)?;
    consumer.tell("end")?;
    calls.hear_all(&consumer)?;
    consumer.succeeded()?;
    Ok(calls.answers(&fs::read_to_string(&executed)?))
}

/// Starts control plane and proxy for a provider on `port`; returns the port to call.
fn mesh(folder: &Path, port: u16) -> Result<([Process; 2], u16)> {
    let (entrance, xds) = (free_port()?, free_port()?);
    fs::write(folder.join("mesh/counted.yaml"), MESH)?;
    let mut control = Command::new(install::cargo("aeraki", "dev")?);
    control.args(["--xds-addr", &format!("127.0.0.1:{xds}"), "--config-dir"]).arg(folder.join("mesh"));
    let mut control = Process::start("survival-control-plane", &mut control)?;
    control.wait_listening(xds, START_LIMIT)?;
    let file = folder.join("proxy.yaml");
    fs::write(&file, serde_json::to_vec_pretty(&bootstrap(entrance, xds, port))?)?;
    let mut proxy = Command::new(install::cargo("aeraki-proxy", "dev")?);
    let mut proxy = Process::start("survival-proxy", proxy.args(["--workers", "1", "-c"]).arg(file))?;
    proxy.wait_listening(entrance, START_LIMIT)?;
    Ok(([control, proxy], entrance))
}

fn bootstrap(entrance: u16, xds: u16, port: u16) -> serde_json::Value {
    let address = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let cluster = |name: &str, port: u16| {
        let endpoints = json!([{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]);
        json!({
            "name": name, "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        })
    };
    let control = json!({"envoy_grpc": {"cluster_name": "control"}});
    let source = json!({"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": control});
    let proxy = json!({
        "@type": "type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy",
        "protocol": {"name": "dubbo", "codec": {"name": "aeraki.meta_protocol.codec.dubbo"}},
        "statPrefix": "dubbo",
        "metaProtocolFilters": [{"name": "aeraki.meta_protocol.filters.router"}],
        "rds": {
            "route_config_name": "counted.example_20880",
            "config_source": {"resource_api_version": "V3", "api_config_source": source},
        },
    });
    let filter = json!({"name": "aeraki.meta_protocol_proxy", "typed_config": proxy});
    json!({
        "node": {"id": "survival", "cluster": "survival"},
        "static_resources": {
            "listeners": [{
                "name": "in", "address": address(entrance), "filter_chains": [{"filters": [filter]}],
            }],
            "clusters": [cluster("control", xds), cluster("outbound|20880||counted.example", port)],
        }
    })
}

/// What a consumer said of its calls, by id.
#[derive(Default)]
struct Calls(BTreeMap<String, bool>);

impl Calls {
    /// Waits for the ends of `count` calls.
    fn hear(&mut self, consumer: &Process, count: usize) -> Result<()> {
        let (deadline, enough) = (Instant::now() + LIMIT, self.0.len() + count);
        while self.0.len() < enough {
            let line = consumer.line(deadline)?.context("the consumer ended early")?;
            self.take(&line);
        }
        Ok(())
    }

    /// Waits for the end of the consumer.
    fn hear_all(&mut self, consumer: &Process) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while let Some(line) = consumer.line(deadline)? {
            self.take(&line);
        }
        Ok(())
    }

    fn take(&mut self, line: &str) {
        if let Some((said @ ("ok" | "failed"), id)) = line.split_once(' ') {
            self.0.insert(id.to_owned(), said == "ok");
        }
    }

    /// Holds what was said against what was executed.
    fn answers(&self, executed: &str) -> Vec<Answer> {
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        executed.lines().for_each(|id| *times.entry(id).or_default() += 1);
        let of = |id: &str| times.get(id).copied().unwrap_or(0);
        let calls = |method| self.0.iter().filter(move |(id, _)| id.starts_with(method));
        let count = |name: &str, wrong: usize| Answer {
            name: name.to_owned(),
            promised: "0".to_owned(),
            seen: wrong.to_string(),
        };
        let interrupted = calls("once").filter(|(_, ok)| !**ok).count() + times.values().filter(|n| **n > 1).count();
        println!(
            "     {} calls, {} of them hit by a kill: {} failed, {} executed again",
            self.0.len(),
            interrupted,
            self.0.values().filter(|ok| !**ok).count(),
            times.values().filter(|times| **times > 1).count(),
        );
        vec![
            count("repeatable calls that failed", calls("again").filter(|(_, ok)| !**ok).count()),
            count("repeatable calls that were not executed", calls("again").filter(|(id, _)| of(id) == 0).count()),
            count("other calls that were executed twice", calls("once").filter(|(id, _)| of(id) > 1).count()),
            count("answers without execution", calls("once").filter(|(id, ok)| **ok && of(id) != 1).count()),
            count("kills that hit nobody", KILLS.saturating_sub(interrupted)),
        ]
    }
}

/// Tries last for as long as a provider takes to start.
const MESH: &str = "\
apiVersion: networking.istio.io/v1beta1
kind: ServiceEntry
metadata: {name: counted, namespace: demo, annotations: {interface: peers.Counted}}
spec:
  hosts: [counted.example]
  ports: [{number: 20880, name: tcp-metaprotocol-dubbo-counted, protocol: TCP}]
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: counted, namespace: demo}
spec:
  hosts: [counted.example]
  routes:
  - name: again
    match: {attributes: {method: {exact: again}}}
    retries: {attempts: 10, repeatable: true, backOff: {base: 0.5s, max: 5s}, budget: {minPerSecond: 100}}
    route: [{destination: {host: counted.example}}]
  - name: once
    retries: {attempts: 10, backOff: {base: 0.5s, max: 5s}, budget: {minPerSecond: 100}}
    route: [{destination: {host: counted.example}}]
";
const KILLS: usize = 3;
/// Calls between two kills.
const CALLS: usize = 300;
const START_LIMIT: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(120);
