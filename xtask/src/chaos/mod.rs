//! Servers that misbehave in every way they can, under load, behind our proxy and behind Envoy.
//!
//! Whatever the servers do, every request has exactly one end, no client gets the answer of another, nothing that must
//! not be repeated is executed twice, and when the servers are well again so is everything. Clients and servers run in
//! this process and count what they see; the proxy's own counters must agree.

mod client;
mod ledger;
mod links;
mod proxy;
mod secrets;
mod server;
mod statistics;
mod stream;
mod target;

use std::{
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use self::{
    client::Way,
    ledger::{Counts, Ledger},
    links::{Inside, Links, Side, address},
    proxy::Proxy,
    secrets::Secrets,
    server::{Mode, Place, Server},
    target::{Change, Target},
};
use crate::{
    interop::frames::Wire,
    peers::{are_required, install::peers_dir, process::pause},
};

/// Runs every protocol through every proxy, and fails where ours breaks a promise.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Options { seconds, targets, wires } = Options::parse(arguments)?;
    let runs = u32::try_from(wires.len() * targets.len())?;
    let time = Duration::from_secs(seconds) / runs.max(1);
    if !links::is_inside() {
        let columns = Counts::COLUMNS.join(" | ");
        println!("| protocol | proxy | {columns} |\n|---|---|{}", "---|".repeat(Counts::COLUMNS.len()));
    }
    let mut broken = Vec::new();
    for wire in wires {
        for target in &targets {
            let name = target.name();
            let kept = hold(wire, *target, time).with_context(|| format!("{wire} through {name}"))?;
            if *target != Target::Envoy && !kept {
                broken.push(format!("{wire} through {name}"));
            }
        }
    }
    ensure!(broken.is_empty(), "promises were broken: {}", broken.join(", "));
    Ok(())
}

/// Puts one proxy through a storm and says what became of it; tells whether all promises were kept.
fn hold(wire: Wire, target: Target, time: Duration) -> Result<bool> {
    let (name, protocol) = (target.name(), wire.to_string());
    if target.has_links() && !links::is_inside() {
        let seconds = time.as_secs().to_string();
        let inside = links::run_inside(&["--targets", name, "--protocols", &protocol, "--seconds", &seconds])?;
        let kept = inside.is_kept(are_required());
        if inside == Inside::Nowhere {
            let what = if kept { "skipped, since" } else { "required, but" };
            println!("  {wire} through {name}: {what} this machine gives no network namespace to its users");
        }
        return Ok(kept);
    }
    let ledger = storm(wire, target, time)?;
    println!("| {wire} | {name} | {} |", ledger.counts().row());
    let violations = ledger.violations();
    violations.iter().take(10).for_each(|violation| println!("  {wire} through {name}: {violation}"));
    Ok(violations.is_empty())
}

struct Options {
    seconds: u64,
    targets: Vec<Target>,
    wires: Vec<Wire>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { seconds: 240, targets: Target::ALL.to_vec(), wires: Wire::ALL.to_vec() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match (argument.as_str(), arguments.next().map(String::as_str)) {
                ("--seconds", Some(seconds)) => options.seconds = seconds.parse().context("--seconds")?,
                ("--targets", Some(list)) => {
                    options.targets = list.split(',').map(Target::parse).collect::<Result<_>>()?;
                }
                ("--protocols", Some(list)) => {
                    options.wires = list.split(',').map(parse_wire).collect::<Result<_>>()?;
                }
                _ => bail!("chaos takes --seconds N, --targets LIST and --protocols LIST, not {argument:?}"),
            }
        }
        Ok(options)
    }
}

fn parse_wire(name: &str) -> Result<Wire> {
    let found = Wire::ALL.into_iter().find(|wire| wire.to_string() == name);
    found.with_context(|| format!("no protocol is named {name:?}"))
}

/// Lets clients call through one proxy while servers misbehave, and looks whether all recover.
fn storm(wire: Wire, target: Target, time: Duration) -> Result<Ledger> {
    let ledger = Arc::new(Ledger::default());
    let scene = Scene::set(wire, target, &ledger)?;
    let mut proxy = Proxy::start(wire, target, &scene.addresses(), scene.secrets.as_ref())?;
    let way = scene.way(&proxy);
    let ends = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (ledger, ends, way) = (Arc::clone(&ledger), Arc::clone(&ends), way.clone());
            thread::spawn(move || client::run(&way, number, &ledger, &ends))
        })
        .collect();
    let conducted = scene.conduct(&mut proxy, &ledger, time);
    ends.store(true, Relaxed);
    conducted?;
    for client in clients {
        client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }
    // what was given up may still be executed
    pause(SETTLE);
    ledger.close();
    // before further calls, which are not in the ledger
    if let Some(admin) = proxy.admin {
        statistics::compare(admin, wire, target, &ledger)?;
    }
    proxy.recovers(&way, &ledger)?;
    drop(proxy);
    drop(scene);
    Arc::try_unwrap(ledger).map_err(|_| anyhow::anyhow!("a server still runs"))
}

/// The servers, and what else belongs to the target.
struct Scene {
    wire: Wire,
    target: Target,
    servers: Vec<Server>,
    secrets: Option<Secrets>,
    links: Option<Links>,
}

impl Scene {
    fn set(wire: Wire, target: Target, ledger: &Arc<Ledger>) -> Result<Self> {
        let name = format!("chaos-{wire}-{}", target.name());
        let folder = peers_dir().join("run").join(format!("{name}-secrets"));
        let secrets = (target == Target::Tls).then(|| Secrets::new(folder)).transpose()?;
        let links = target.has_links().then(|| Links::new(&format!("{name}-links"))).transpose()?;
        let place = |number: usize| Place {
            host: links.as_ref().map_or(Ipv4Addr::LOCALHOST, |_| address(Side::Servers, number % Links::COUNT)),
            namespace: links.as_ref().map(Links::namespace),
            tls: secrets.as_ref().map(|secrets| Arc::clone(&secrets.servers)),
        };
        let servers = (0..SERVERS).map(|number| Server::start(wire, place(number), ledger)).collect::<Result<_>>()?;
        Ok(Self { wire, target, servers, secrets, links })
    }

    fn addresses(&self) -> Vec<SocketAddrV4> {
        self.servers.iter().map(Server::address).collect()
    }

    fn way(&self, proxy: &Proxy) -> Way {
        let tls = self.secrets.as_ref().map(|secrets| Arc::clone(&secrets.clients));
        let patience = if self.target == Target::Envoy { UNBOUNDED } else { BOUNDED };
        Way { wire: self.wire, port: proxy.entrance, tls, patience }
    }

    /// Has one or two servers at a time misbehave, each in every way in turn, and everything else happen between.
    fn conduct(&self, proxy: &mut Proxy, ledger: &Ledger, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        let mut modes = Mode::BAD.iter().cycle();
        let mut victims = self.servers.iter().cycle();
        let mut changes = self.target.changes().iter().cycle();
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
            if let Some(change) = changes.next() {
                self.change(*change, proxy)?;
            }
        }
        self.servers.iter().for_each(|server| server.set(Mode::Well));
        self.change(Change::Mend, proxy)
    }

    fn change(&self, change: Change, proxy: &mut Proxy) -> Result<()> {
        if let Some(links) = &self.links {
            change.carry_out(links)?;
        }
        if let Change::Cut(cut, _) = change {
            for link in cut {
                let server = self.servers[*link].address().into();
                ensure!(TcpStream::connect_timeout(&server, SILENCE).is_err(), "link {link} is cut and still carries");
            }
        }
        if let (Some(secrets), Change::Certificates) = (&self.secrets, change) {
            secrets.renew()?;
        }
        proxy.change(change)
    }
}

/// The method that may be executed again.
const AGAIN: &str = "again";
/// The method that must not be executed twice.
const ONCE: &str = "once";
const SERVERS: usize = 4;
const CLIENTS: usize = 8;
/// How long a server misbehaves in one way.
const SPELL: Duration = Duration::from_millis(600);
/// How long a link that is cut is listened to.
const SILENCE: Duration = Duration::from_millis(200);
const SETTLE: Duration = Duration::from_secs(3);
/// How long clients wait for an answer: twice as long as the routes of our proxy allow.
const BOUNDED: Duration = Duration::from_secs(4);
/// How long clients wait for an answer of a proxy whose routes have no timeout.
const UNBOUNDED: Duration = Duration::from_secs(10);
