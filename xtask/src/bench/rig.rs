//! Everything that runs during a measurement: the server, and every target in front of it.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{
    options::Options,
    sample::Sample,
    table::Table,
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
    candidates: Vec<Candidate>,
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
    pub(crate) fn start(protocol: Protocol, size: usize, targets: &[Target]) -> Result<Self> {
        let yardstick = install::cargo("aeraki-bench", "bench")?;
        let server_port = free_port()?;
        let mut command = part(on_core(GENERATOR_CORE), &yardstick, protocol, "serve");
        command.args(["--size", &size.to_string(), "--listen", &local(server_port)]);
        let mut server = Process::start("bench-server", &mut command)?;
        server.wait_listening(server_port, START_LIMIT)?;
        let mut rig = Self { protocol, yardstick, server_port, _server: server, candidates: Vec::new() };
        for target in targets.iter().filter(|target| target.applies(protocol)) {
            rig.candidates.push(rig.start_target(*target, on_core(PROXY_CORE))?);
        }
        Ok(rig)
    }

    /// Runs all rounds of one load.
    pub(crate) fn measure(&self, load: Load, options: &Options) -> Result<Table> {
        let mut table = Table::new(self.protocol, load, self.candidates.iter().map(|it| it.target));
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
            Target::Envoy => self.start_proxy(target, Software::Envoy, prefix, port)?,
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
        let generator = Process::start("bench-load", &mut command)?;
        let deadline = Instant::now() + Duration::from_millis(warm_ms + measure_ms) + START_LIMIT;
        let line = generator.line(deadline)?.context("the generator printed nothing")?;
        generator.succeeded()?;
        Sample::parse(&line)
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
        config.start(&format!("bench-{target}"), prefix)
    }
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
