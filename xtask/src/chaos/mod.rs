//! Servers that misbehave in every way they can, under load, behind our proxy and behind Envoy.
//!
//! Whatever the servers do, every request has exactly one end, no client gets the answer of another, nothing that must not
//! be repeated is executed twice, and when the servers are well again so is everything. Clients and servers run in this
//! process and count what they see; the proxy's own counters must agree.

mod client;
mod ledger;
mod server;
mod statistics;

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use self::{
    ledger::{Counts, Ledger},
    server::{Mode, Server},
};
use crate::{
    interop::frames::Wire,
    peers::{
        mesh::{HOST, Mesh, Service},
        process::{Process, free_port, pause},
        proxy::{Config, Routes, Software},
    },
};

/// Runs every protocol through every proxy, and fails where ours breaks a promise.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Options { seconds, targets } = Options::parse(arguments)?;
    let runs = u32::try_from(Wire::ALL.len() * targets.len())?;
    let time = Duration::from_secs(seconds) / runs.max(1);
    let mut broken = Vec::new();
    println!(
        "| protocol | proxy | {} |\n|---|---|{}",
        Counts::COLUMNS.join(" | "),
        "---|".repeat(Counts::COLUMNS.len())
    );
    for wire in Wire::ALL {
        for target in &targets {
            let name = target.name();
            let ledger = storm(wire, *target, time).with_context(|| format!("{wire} through {name}"))?;
            println!("| {wire} | {name} | {} |", ledger.counts().row());
            let violations = ledger.violations();
            violations.iter().take(10).for_each(|violation| println!("  {wire} through {name}: {violation}"));
            if *target != Target::Envoy && !violations.is_empty() {
                broken.push(format!("{wire}: {}", violations.len()));
            }
        }
    }
    ensure!(broken.is_empty(), "promises that our proxy broke: {}", broken.join(", "));
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Envoy,
    Ours,
    /// Ours, while its servers come and go and one process of it takes over from another.
    Changing,
}

impl Target {
    const ALL: [Self; 3] = [Self::Envoy, Self::Ours, Self::Changing];

    fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|target| target.name() == name);
        found.with_context(|| format!("no target is named {name:?}"))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Envoy => "envoy",
            Self::Ours => "ours",
            Self::Changing => "ours-changing",
        }
    }
}

struct Options {
    seconds: u64,
    targets: Vec<Target>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { seconds: 60, targets: Target::ALL.to_vec() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match (argument.as_str(), arguments.next().map(String::as_str)) {
                ("--seconds", Some(seconds)) => options.seconds = seconds.parse().context("--seconds")?,
                ("--targets", Some(list)) => {
                    options.targets = list.split(',').map(Target::parse).collect::<Result<_>>()?;
                }
                _ => bail!("chaos takes --seconds N and --targets LIST, not {argument:?}"),
            }
        }
        Ok(options)
    }
}

/// Lets clients call through one proxy while servers misbehave, and looks whether all recover.
fn storm(wire: Wire, target: Target, time: Duration) -> Result<Ledger> {
    let ledger = Arc::new(Ledger::default());
    let servers = (0..SERVERS).map(|_| Server::start(wire, &ledger)).collect::<Result<Vec<_>>>()?;
    let ports: Vec<u16> = servers.iter().map(Server::port).collect();
    let mut proxy = Proxy::start(wire, target, &ports)?;
    let ends = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (ledger, ends, port) = (Arc::clone(&ledger), Arc::clone(&ends), proxy.entrance);
            thread::spawn(move || client::run(wire, port, number, &ledger, &ends))
        })
        .collect();
    let conducted = conduct(&servers, &mut proxy, &ledger, time);
    ends.store(true, Relaxed);
    conducted?;
    for client in clients {
        client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }
    // what was given up may still be executed
    pause(SETTLE);
    ledger.close();
    proxy.recovers(wire, &ledger)?;
    if let Some(admin) = proxy.admin {
        statistics::compare(admin, wire, &ledger)?;
    }
    drop(proxy);
    drop(servers);
    Arc::try_unwrap(ledger).map_err(|_| anyhow::anyhow!("a server still runs"))
}

/// Has one or two servers at a time misbehave, each in every way in turn.
fn conduct(servers: &[Server], proxy: &mut Proxy, ledger: &Ledger, time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    let mut modes = Mode::BAD.iter().cycle();
    let mut victims = servers.iter().cycle();
    let ports: Vec<u16> = servers.iter().map(Server::port).collect();
    let mut changes = [Change::Servers(&ports[1..]), Change::Process, Change::Servers(&ports)].into_iter().cycle();
    while Instant::now() < end {
        let (Some(first), Some(second), Some(victim), Some(other)) =
            (modes.next(), modes.next(), victims.next(), victims.next())
        else {
            break;
        };
        victim.set(*first);
        proxy.keep(ledger, SPELL / 2)?;
        other.set(*second);
        proxy.keep(ledger, SPELL / 2)?;
        victim.set(Mode::Well);
        proxy.keep(ledger, SPELL / 2)?;
        other.set(Mode::Well);
        // so that the next round begins with another server
        victims.next();
        proxy.change(&mut changes)?;
    }
    servers.iter().for_each(|server| server.set(Mode::Well));
    Ok(())
}

/// What becomes of a proxy that serves.
#[derive(Clone, Copy)]
enum Change<'a> {
    Servers(&'a [u16]),
    Process,
}

/// What is called.
struct Proxy {
    entrance: u16,
    admin: Option<u16>,
    changes: bool,
    processes: Processes,
}

enum Processes {
    Ours(Box<Mesh>),
    Envoy { process: Process, wire: Wire, servers: Vec<u16> },
}

impl Proxy {
    fn start(wire: Wire, target: Target, servers: &[u16]) -> Result<Self> {
        let name = format!("chaos-{wire}-{}", target.name());
        match target {
            Target::Ours | Target::Changing => {
                let protocol = wire.to_string();
                let routes = routes();
                let interface = "peers.Echo";
                let mesh =
                    Mesh::start(&name, "dev", Service { protocol: &protocol, interface, routes: &routes, servers })?;
                let changes = target == Target::Changing;
                // the counters of each process are its own
                let admin = (!changes).then_some(mesh.admin);
                Ok(Self { entrance: mesh.entrance, admin, changes, processes: Processes::Ours(Box::new(mesh)) })
            }
            Target::Envoy => {
                let entrance = free_port()?;
                let process = envoy(wire, entrance, servers)?;
                Ok(Self {
                    entrance,
                    admin: None,
                    changes: false,
                    processes: Processes::Envoy { process, wire, servers: servers.to_vec() },
                })
            }
        }
    }

    /// Waits for `time`, and sees to it that there is a proxy afterwards.
    fn keep(&mut self, ledger: &Ledger, time: Duration) -> Result<()> {
        pause(time);
        match &mut self.processes {
            Processes::Ours(mesh) => mesh.runs(),
            Processes::Envoy { process, wire, servers } => {
                if process.ended()?.is_some() {
                    ledger.died();
                    *process = envoy(*wire, self.entrance, servers)?;
                }
                Ok(())
            }
        }
    }

    /// Makes the next change, where the proxy is one that changes.
    fn change<'a>(&mut self, changes: &mut impl Iterator<Item = Change<'a>>) -> Result<()> {
        match &mut self.processes {
            Processes::Ours(mesh) if self.changes => match changes.next() {
                Some(Change::Servers(ports)) => mesh.serve_by(ports),
                Some(Change::Process) => mesh.renew(),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Calls until many calls in a row are answered.
    fn recovers(&mut self, wire: Wire, ledger: &Ledger) -> Result<()> {
        let deadline = Instant::now() + RECOVERY;
        let mut good = 0;
        while good < ENOUGH {
            if Instant::now() > deadline {
                ledger.violated(format!("it did not recover within {RECOVERY:?}"));
                return Ok(());
            }
            self.keep(ledger, Duration::ZERO)?;
            good = if client::one(wire, self.entrance, ledger) { good + 1 } else { 0 };
        }
        Ok(())
    }
}

fn envoy(wire: Wire, entrance: u16, servers: &[u16]) -> Result<Process> {
    let config = Config {
        software: Software::Envoy,
        routes: match wire {
            Wire::Dubbo => wire.routes(),
            Wire::Thrift => Routes::Thrift { methods: &[ONCE, AGAIN], services: &[] },
        },
        listeners: &[(entrance, servers)],
        concurrent: false,
        rate_limit: None,
        fails_on_request: false,
    };
    config.start(&format!("chaos-{wire}-envoy"), Command::new(Software::Envoy.binary("release")?))
}

/// One method may be executed again, and one must not.
fn routes() -> String {
    let route = |method: &str, retries: &str| {
        format!(
            "- name: {method}\n  match: {{attributes: {{method: {{exact: {method}}}}}}}\n  timeout: 2s\n  \
             retries: {{{retries}}}\n  route: [{{destination: {{host: {HOST}}}}}]\n"
        )
    };
    let again = "attempts: 3, repeatable: true, retryOn: 'connect-failure,reset,refused,timeout', perTryTimeout: 0.5s";
    [route(AGAIN, again), route(ONCE, "attempts: 3")].concat()
}

/// The method that may be executed again.
const AGAIN: &str = "again";
/// The method that must not be executed twice.
const ONCE: &str = "once";
const SERVERS: usize = 4;
const CLIENTS: usize = 8;
/// How long a server misbehaves in one way.
const SPELL: Duration = Duration::from_millis(600);
const SETTLE: Duration = Duration::from_secs(3);
const RECOVERY: Duration = Duration::from_secs(20);
const ENOUGH: usize = 100;
