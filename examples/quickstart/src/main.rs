//! A whole mesh in one process: control plane, data plane, two versions each of a Dubbo and a Thrift service, and
//! callers, all on loopback. Edit the YAML in `examples/quickstart/mesh` and watch traffic follow.

mod caller;
mod expect;
mod features;
mod mesh;
mod monitor;
mod service;
mod socket;
mod tally;
mod view;
mod wire;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    caller::Group,
    mesh::{ControlPlane, DataPlane, Port},
    monitor::Monitor,
    service::Seen,
    tally::Tally,
    view::View,
    wire::Wire,
};

/// Runs a whole mesh in one process.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Folder of the MetaRouters, ServiceEntries and DestinationRules.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/mesh"))]
    mesh: PathBuf,
    /// End after this many seconds with a summary.
    #[arg(long)]
    seconds: Option<u64>,
    /// Fail unless every share lies within 3 points of its weight and nothing went wrong; 20 seconds unless said.
    #[arg(long)]
    check: bool,
    /// Put the YAML of every feature in `examples/quickstart/features` in force in turn, and fail unless calls show its
    /// effect.
    #[arg(long, conflicts_with_all = ["seconds", "check"])]
    check_all: bool,
    /// Print lines even on a terminal.
    #[arg(long)]
    plain: bool,
    /// Calls of each group of callers in a second.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let run = || {
        tokio::runtime::Runtime::new()?.block_on(async {
            if arguments.check_all { features::check_all(&arguments.mesh).await } else { run(&arguments).await }
        })
    };
    match run() {
        Ok(faults) if faults.is_empty() || !(arguments.check || arguments.check_all) => ExitCode::SUCCESS,
        Ok(faults) => {
            faults.iter().for_each(|fault| eprintln!("error: {fault}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the mesh and returns what was wrong with it.
async fn run(arguments: &Arguments) -> Result<Vec<String>> {
    let stopped = stopped()?;
    let (tell, messages) = mpsc::unbounded_channel();
    let control = ControlPlane::start(&arguments.mesh, &tell).await?;
    let mut data = DataPlane::start(&control, &start_services(&Arc::default()).await?, &tell).await?;
    let mut monitor = Monitor::default();
    let started = Instant::now();
    start_callers(&data, arguments.rate, &mut monitor)?;

    let mut view = View::new(arguments.plain, &arguments.mesh)?;
    let watched = watch(&mut data, &mut monitor, &mut view, messages);
    let seconds = arguments.seconds.or_else(|| arguments.check.then_some(20));
    tokio::select! {
        watched = watched => watched?,
        () = stopped => {}
        () = sleep(Duration::from_secs(seconds.unwrap_or_default())), if seconds.is_some() => {}
    }
    let rows = monitor.summary(started.elapsed());
    view.finish(&rows)?;
    data.shutdown().await;
    Ok(monitor::faults(&rows, 3.0))
}

/// Shows what happens until the person at the terminal has seen enough.
async fn watch(
    data: &mut DataPlane,
    monitor: &mut Monitor,
    view: &mut View,
    mut messages: mpsc::UnboundedReceiver<String>,
) -> Result<()> {
    let (mut reports, mut keys) = (interval(Duration::from_secs(1)), interval(Duration::from_millis(100)));
    reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
    keys.set_missed_tick_behavior(MissedTickBehavior::Delay);
    reports.tick().await;
    let mut last = Instant::now();
    while !view.stopped()? {
        tokio::select! {
            biased;
            () = data.changed() => monitor.settle(|host, group| data.expect(host, group)),
            Some(message) = messages.recv() => view.announce(message)?,
            _ = reports.tick() => {
                view.report(monitor.report(last.elapsed()))?;
                last = Instant::now();
            }
            _ = keys.tick() => {}
        }
    }
    Ok(())
}

/// Waits for SIGTERM or SIGINT.
fn stopped() -> Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Starts both versions of both services.
async fn start_services(seen: &Arc<Seen>) -> Result<Vec<Port>> {
    let mut ports = Vec::new();
    for (wire, host) in [(Wire::Dubbo, DUBBO_HOST), (Wire::Thrift, THRIFT_HOST)] {
        let v1 = service::start(wire, "v1", seen).await?;
        let v2 = service::start(wire, "v2", seen).await?;
        ports.push(Port { wire, host, versions: [("v1", v1), ("v2", v2)].into(), filters: Vec::new() });
    }
    Ok(ports)
}

fn start_callers(data: &DataPlane, rate: u32, monitor: &mut Monitor) -> Result<()> {
    let dubbo = |user| Group { wire: Wire::Dubbo, interface: "dubbo.demo.Greeter", method: "greet", user, rate };
    let thrift = Group { wire: Wire::Thrift, interface: "", method: "add", user: "anybody", rate };
    let groups = [
        ("dubbo, everybody", DUBBO_HOST, dubbo("anybody")),
        ("dubbo, user=vip", DUBBO_HOST, dubbo("vip")),
        ("thrift, everybody", THRIFT_HOST, thrift),
    ];
    for (name, host, group) in groups {
        let tally = Arc::new(Tally::new()?);
        let proxy = data.address(host).context("a listener for every service")?;
        caller::start(&group, CALLERS, proxy, &tally);
        monitor.watch(name, host, group, tally);
    }
    monitor.settle(|host, group| data.expect(host, group));
    Ok(())
}

const DUBBO_HOST: &str = "dubbo.demo.greeter";
const THRIFT_HOST: &str = "thrift.demo.calculator";
const CALLERS: u32 = 8;
