//! Everything that runs during a measurement: the server, and every target in front of it.

use std::{
    fmt,
    path::PathBuf,
    process::Command,
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context, Error, Result, bail};

use super::{options::Options, sample::Sample, table::Table};
use crate::peers::{
    install,
    process::{Process, free_port},
    proxy::{Config, Routes, Software},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Dubbo,
    Thrift,
}

impl Protocol {
    pub(crate) const ALL: [Self; 2] = [Self::Dubbo, Self::Thrift];

    fn routes(self) -> Routes<'static> {
        match self {
            Self::Dubbo => Routes::Dubbo(&["org.example.EchoService"]),
            Self::Thrift => Routes::Thrift { methods: &["echo"], services: &[] },
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dubbo => "dubbo",
            Self::Thrift => "thrift",
        })
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|it| it.to_string() == name).with_context(|| format!("no protocol {name:?}"))
    }
}

/// What stands between generator and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Nothing.
    Direct,
    /// Tokio's `copy_bidirectional`: what ratios are taken against.
    Relay,
    /// A relay that finds frames, routes and rewrites ids.
    Framed,
    /// Envoy's own filter for the protocol.
    Envoy,
    Ours,
    /// Ours, the cluster declared to work on several requests of a connection at a time; Thrift only.
    OursConcurrent,
}

impl Target {
    pub(crate) const ALL: [Self; 6] =
        [Self::Direct, Self::Relay, Self::Framed, Self::Envoy, Self::Ours, Self::OursConcurrent];

    /// Whether the target differs from another one for this protocol.
    fn applies(self, protocol: Protocol) -> bool {
        self != Self::OursConcurrent || protocol == Protocol::Thrift
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
            Self::Framed => "framed",
            Self::Envoy => "envoy",
            Self::Ours => "ours",
            Self::OursConcurrent => "ours-concurrent",
        })
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|it| it.to_string() == name).with_context(|| format!("no target {name:?}"))
    }
}

/// A closed loop: connections x requests in flight on each x bytes of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) depth: usize,
    pub(crate) size: usize,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.connections, self.depth, self.size)
    }
}

impl FromStr for Load {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split('x').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
        match numbers[..] {
            [connections, depth, size] => Ok(Self { connections, depth, size }),
            _ => bail!("a load is CONNECTIONSxDEPTHxBYTES, not {text:?}"),
        }
    }
}

/// The server and all targets, started; ended on drop.
#[derive(Debug)]
pub(crate) struct Rig {
    protocol: Protocol,
    yardstick: PathBuf,
    server_port: u16,
    _server: Process,
    candidates: Vec<Candidate>,
}

/// A started target.
#[derive(Debug)]
struct Candidate {
    target: Target,
    port: u16,
    /// None where nothing stands between.
    process: Option<Process>,
}

impl Rig {
    pub(crate) fn start(protocol: Protocol, size: usize, targets: &[Target]) -> Result<Self> {
        let yardstick = install::cargo("aeraki-bench", "bench")?;
        let server_port = free_port()?;
        let mut command = part(&yardstick, protocol, "serve", GENERATOR_CORE);
        command.args(["--size", &size.to_string(), "--listen", &local(server_port)]);
        let mut server = Process::start("bench-server", &mut command)?;
        server.wait_listening(server_port, START_LIMIT)?;
        let mut rig = Self { protocol, yardstick, server_port, _server: server, candidates: Vec::new() };
        for target in targets.iter().filter(|target| target.applies(protocol)) {
            rig.candidates.push(rig.start_target(*target)?);
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
                table.push(index, self.sample(load, &self.candidates[index], options)?);
            }
        }
        table.finish();
        Ok(table)
    }

    fn start_target(&self, target: Target) -> Result<Candidate> {
        let port = free_port()?;
        let process = match target {
            Target::Direct => return Ok(Candidate { target, port: self.server_port, process: None }),
            Target::Relay => self.start_relay("copy", port)?,
            Target::Framed => self.start_relay("framed", port)?,
            Target::Envoy => self.start_proxy(target, Software::Envoy, port)?,
            Target::Ours | Target::OursConcurrent => self.start_proxy(target, Software::Ours, port)?,
        };
        Ok(Candidate { target, port, process: Some(process) })
    }

    fn start_relay(&self, mode: &str, port: u16) -> Result<Process> {
        let mut command = part(&self.yardstick, self.protocol, "relay", PROXY_CORE);
        command.args(["--mode", mode, "--listen", &local(port), "--to", &local(self.server_port)]);
        let mut relay = Process::start(&format!("bench-{mode}"), &mut command)?;
        relay.wait_listening(port, START_LIMIT)?;
        Ok(relay)
    }

    fn start_proxy(&self, target: Target, software: Software, port: u16) -> Result<Process> {
        let config = Config {
            software,
            routes: self.protocol.routes(),
            listeners: &[(port, self.server_port)],
            concurrent: target == Target::OursConcurrent,
        };
        let mut command = pinned(PROXY_CORE);
        command.arg(software.binary("bench")?);
        config.start(&format!("bench-{target}"), command)
    }

    fn sample(&self, load: Load, candidate: &Candidate, options: &Options) -> Result<Sample> {
        let mut command = part(&self.yardstick, self.protocol, "load", GENERATOR_CORE);
        command.args(["--target", &local(candidate.port)]);
        command.args(["--connections", &load.connections.to_string(), "--depth", &load.depth.to_string()]);
        command.args(["--size", &load.size.to_string(), "--measure-ms", &options.measure_ms.to_string()]);
        if let Some(process) = &candidate.process {
            command.args(["--pid", &process.id().to_string(), "--upstream-port", &self.server_port.to_string()]);
        }
        let generator = Process::start("bench-load", &mut command)?;
        let deadline = Instant::now() + Duration::from_millis(options.measure_ms) + START_LIMIT;
        let line = generator.line(deadline)?.context("the generator printed nothing")?;
        generator.succeeded()?;
        Sample::parse(&line)
    }
}

/// A part of the yardstick on one core.
fn part(yardstick: &PathBuf, protocol: Protocol, name: &str, core: &str) -> Command {
    let mut command = pinned(core);
    command.arg(yardstick).args(["--protocol", &protocol.to_string(), name]);
    command
}

/// A program, still to be named, on one core and ahead of the rest of the machine.
fn pinned(core: &str) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "-10", "taskset", "-c", core]);
    command
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

const GENERATOR_CORE: &str = "0";
const PROXY_CORE: &str = "1";
const START_LIMIT: Duration = Duration::from_secs(20);
