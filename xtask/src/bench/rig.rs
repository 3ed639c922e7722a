//! Everything that runs during a measurement: the server, and every target in front of it.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    crowd::SIZE,
    options::Options,
    sample::Sample,
    table::Table,
    tls::Tls,
    what::{Load, Protocol, Target},
};
use crate::peers::{
    install,
    process::{Process, free_port},
    proxy::{Config, Software},
};

/// The server and all targets, started; ended on drop.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) protocol: Protocol,
    yardstick: PathBuf,
    server_port: u16,
    _server: Process,
    /// What clients and proxies speak; none: plain text.
    tls: Option<Tls>,
    candidates: Vec<Candidate>,
}

/// What a crowd of clients was to a target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// Resident memory without clients.
    pub(crate) before_kib: f64,
    /// With all of them, each quiet.
    pub(crate) after_kib: f64,
    pub(crate) upstream_connections: u64,
    pub(crate) errors: u64,
}

/// A started target.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) target: Target,
    port: u16,
    /// None where nothing stands between.
    pub(crate) process: Option<Process>,
}

impl Rig {
    pub(crate) fn start(protocol: Protocol, size: usize, targets: &[Target], tls: Option<Tls>) -> Result<Self> {
        let yardstick = install::cargo("aeraki-bench", "bench")?;
        let server_port = free_port()?;
        let mut command = part(on_core(GENERATOR_CORE), &yardstick, protocol, "serve");
        command.args(["--size", &size.to_string(), "--listen", &local(server_port)]);
        let mut server = Process::start("bench-server", &mut command)?;
        server.wait_listening(server_port, START_LIMIT)?;
        let mut rig = Self { protocol, yardstick, server_port, _server: server, tls, candidates: Vec::new() };
        for target in targets.iter().filter(|target| target.applies(protocol)) {
            rig.candidates.push(rig.start_target(*target, on_core(PROXY_CORE))?);
        }
        Ok(rig)
    }

    /// Whether clients speak TLS.
    pub(crate) const fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    /// Runs all rounds of one load.
    pub(crate) fn measure(&self, load: Load, options: &Options) -> Result<Table> {
        let targets = self.candidates.iter().map(|it| it.target);
        let mut table = Table::new(self.protocol, load, self.is_secured(), targets);
        for round in 0..options.rounds {
            let mut order: Vec<usize> = (0..self.candidates.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let sample = self.sample(load, &self.candidates[index], WARM_MS, options.measure_ms)?;
                table.push(index, sample);
            }
        }
        table.finish();
        Ok(table)
    }

    /// Starts one target by `prefix`, which runs the program that follows it.
    pub(crate) fn start_target(&self, target: Target, prefix: Command) -> Result<Candidate> {
        let port = free_port()?;
        let process = match target {
            Target::Direct => return Ok(Candidate { target, port: self.server_port, process: None }),
            Target::Relay => self.start_relay("copy", prefix, port)?,
            Target::Framed => self.start_relay("framed", prefix, port)?,
            Target::Envoy | Target::EnvoyTcp => self.start_proxy(target, Software::Envoy, prefix, port)?,
            Target::Ours | Target::OursConcurrent => self.start_proxy(target, Software::Ours, prefix, port)?,
        };
        Ok(Candidate { target, port, process: Some(process) })
    }

    /// Drives one target once.
    pub(crate) fn sample(&self, load: Load, candidate: &Candidate, warm_ms: u64, measure_ms: u64) -> Result<Sample> {
        let mut command = part(on_core(GENERATOR_CORE), &self.yardstick, self.protocol, "load");
        command.args(["--target", &local(candidate.port), "--upstream-port", &self.server_port.to_string()]);
        command.args(["--connections", &load.connections.to_string(), "--depth", &load.depth.to_string()]);
        command.args(["--size", &load.size.to_string()]);
        command.args(["--warm-ms", &warm_ms.to_string(), "--measure-ms", &measure_ms.to_string()]);
        if let Some(process) = &candidate.process {
            command.args(["--pid", &process.id().to_string()]);
        }
        if let Some(tls) = &self.tls {
            command.arg("--authority").arg(tls.authority());
        }
        Sample::parse(&line(command, Duration::from_millis(warm_ms + measure_ms) + START_LIMIT)?)
    }

    /// Connects so many clients to every target in turn.
    pub(crate) fn crowds(&self, clients: usize) -> Result<Vec<(Target, Crowd)>> {
        self.candidates.iter().map(|candidate| Ok((candidate.target, self.crowd(candidate, clients)?))).collect()
    }

    fn crowd(&self, candidate: &Candidate, clients: usize) -> Result<Crowd> {
        let process = candidate.process.as_ref().context("a crowd needs a process")?;
        let mut command = part(on_core(GENERATOR_CORE), &self.yardstick, self.protocol, "crowd");
        command.args(["--target", &local(candidate.port), "--upstream-port", &self.server_port.to_string()]);
        command.args(["--clients", &clients.to_string(), "--size", &SIZE.to_string()]);
        command.args(["--pid", &process.id().to_string()]);
        let figures: Value = serde_json::from_str(&line(command, CROWD_LIMIT)?)?;
        let get = |key: &str| figures[key].as_u64().with_context(|| format!("{figures} has no {key}"));
        Ok(Crowd {
            before_kib: get("before_kib")? as f64,
            after_kib: get("after_kib")? as f64,
            upstream_connections: get("upstream_connections")?,
            errors: get("errors")?,
        })
    }

    fn start_relay(&self, mode: &str, prefix: Command, port: u16) -> Result<Process> {
        let mut command = part(prefix, &self.yardstick, self.protocol, "relay");
        command.args(["--mode", mode, "--listen", &local(port), "--to", &local(self.server_port)]);
        let mut relay = Process::start(&format!("bench-{mode}"), &mut command)?;
        relay.wait_listening(port, START_LIMIT)?;
        Ok(relay)
    }

    fn start_proxy(&self, target: Target, software: Software, mut prefix: Command, port: u16) -> Result<Process> {
        let config = Config {
            software,
            routes: self.protocol.routes(),
            listeners: &[(port, &[self.server_port])],
            concurrent: target == Target::OursConcurrent,
            rate_limit: None,
            fails_on_request: false,
        };
        prefix.arg(software.binary("bench")?);
        config.start_changed(&format!("bench-{target}"), prefix, |bootstrap| {
            let resources = &mut bootstrap["static_resources"];
            let cluster = resources["clusters"][0]["name"].clone();
            let chain = &mut resources["listeners"][0]["filter_chains"][0];
            if target == Target::EnvoyTcp {
                chain["filters"] = tcp_proxy(&cluster);
            }
            if let Some(tls) = &self.tls {
                tls.secure(chain);
            }
        })
    }
}

/// Envoy's filter that looks at nothing.
fn tcp_proxy(cluster: &Value) -> Value {
    let kind = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    let config = json!({"@type": kind, "stat_prefix": "tcp", "cluster": cluster});
    json!([{"name": "envoy.filters.network.tcp_proxy", "typed_config": config}])
}

/// Runs a part of the generator and returns the line that it prints within `limit`.
fn line(mut command: Command, limit: Duration) -> Result<String> {
    let generator = Process::start("bench-load", &mut command)?;
    let line = generator.line(Instant::now() + limit)?.context("the generator printed nothing")?;
    generator.succeeded()?;
    Ok(line)
}

/// A part of the yardstick, run by `prefix`.
fn part(mut prefix: Command, yardstick: &Path, protocol: Protocol, name: &str) -> Command {
    prefix.arg(yardstick).args(["--protocol", &protocol.to_string(), name]);
    prefix
}

/// Runs the program that follows on one core and ahead of the rest of the machine.
pub(crate) fn on_core(core: &str) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "-10", "taskset", "-c", core]);
    command
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

pub(crate) const PROXY_CORE: &str = "1";
const GENERATOR_CORE: &str = "0";
const WARM_MS: u64 = 150;
const START_LIMIT: Duration = Duration::from_secs(20);
const CROWD_LIMIT: Duration = Duration::from_secs(120);
