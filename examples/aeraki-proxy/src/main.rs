//! The data plane: `aeraki-proxy -c FILE`, a MetaProtocol proxy from an Envoy bootstrap YAML.
//!
//! The way of a configuration: [`Bootstrap`] reads and checks the file, [`Proxy`] compiles it, a
//! [`Subscriber`](aeraki_xds::client::Subscriber) for each
//! control plane keeps dynamic routes up to date while the proxy runs.

mod routes;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use aeraki_codec::Registry;
use aeraki_core::{
    proxy::{Proxy, Running},
    stack::Filters,
};
use aeraki_xds::{
    bootstrap::{Bootstrap, Warning},
    ratelimit::Clients,
};
use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Runs a MetaProtocol proxy from an Envoy bootstrap YAML.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The bootstrap YAML.
    #[arg(short = 'c', long, value_name = "FILE")]
    config_path: PathBuf,
    /// Serve, or only check the configuration.
    #[arg(long, value_enum, default_value_t = Mode::Serve)]
    mode: Mode,
    /// Number of worker threads; one for each core unless said.
    #[arg(long, alias = "concurrency", value_name = "N")]
    workers: Option<usize>,
    /// Seconds that requests under way have to finish after SIGTERM.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_time_s: u64,
    /// Serve although the configuration names filters that are not enforced.
    #[arg(long)]
    allow_unenforced: bool,
    /// What to log: off, error, warn, info, debug or trace; RUST_LOG is finer.
    #[arg(short = 'l', long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Serve,
    Validate,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => return fail(error.to_string().lines().next().unwrap_or_default()),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&args.log_level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    log.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).init();
    match run(&args).with_context(|| args.config_path.display().to_string()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}")),
    }
}

fn run(args: &Args) -> Result<()> {
    let text = std::fs::read_to_string(&args.config_path)?;
    let Bootstrap { proxy: config, warnings, .. } = Bootstrap::from_yaml(&text)?;
    let filters = Filters::new().with_rate_limiters(Clients::new(&config.clusters));
    let proxy = Proxy::with_filters(config, &Registry::builtin(), &filters)?;
    warn(&warnings);
    if args.mode == Mode::Validate {
        tracing::info!("{}: the configuration is good", args.config_path.display());
        return Ok(());
    }
    if !args.allow_unenforced
        && let Some(warning) = warnings.iter().find(|warning| matches!(warning, Warning::NotEnforced { .. }))
    {
        bail!("{warning}; --allow-unenforced serves all the same");
    }
    serve(proxy, args)
}

/// Serves until SIGTERM or SIGINT, then lets requests under way finish.
fn serve(proxy: Proxy, args: &Args) -> Result<()> {
    let workers = args.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    // the workers have threads of their own: this runtime only follows the control plane and waits for signals
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let stopped = stopped()?;
    routes::follow(&proxy)?;
    let running = proxy.start(workers)?;
    drop(entered);
    tell_addresses(&running, workers);
    runtime.block_on(async {
        stopped.await;
        let grace = Duration::from_secs(args.drain_time_s);
        tracing::info!(?grace, "draining");
        running.shutdown(grace).await;
    });
    Ok(())
}

/// Waits for SIGTERM or SIGINT, from now on.
fn stopped() -> Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn tell_addresses(running: &Running, workers: usize) {
    for (listener, address) in running.addresses() {
        tracing::info!(listener, %address, workers, "listening");
    }
    if let Some(address) = running.admin() {
        tracing::info!(%address, "admin interface");
    }
}

/// Tells in one line what has no effect, and in one line what is not enforced.
fn warn(warnings: &[Warning]) {
    let (unenforced, unused): (Vec<_>, Vec<_>) =
        warnings.iter().partition(|warning| matches!(warning, Warning::NotEnforced { .. }));
    for group in [unused, unenforced].iter().filter(|group| !group.is_empty()) {
        let lines: Vec<String> = group.iter().map(ToString::to_string).collect();
        tracing::warn!("{}", lines.join("; "));
    }
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("aeraki-proxy: {reason}");
    ExitCode::FAILURE
}
