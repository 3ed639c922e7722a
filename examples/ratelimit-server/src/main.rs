//! Envoy's rate limit service: `ratelimit-server --config-dir DIR --addr ADDR`.
//!
//! Each YAML file of the folder holds one domain, in the format of envoyproxy/ratelimit:
//!
//! ```yaml
//! domain: production
//! descriptors:
//!   - key: method
//!     value: sayHello
//!     rate_limit: { unit: minute, requests_per_unit: 10 }
//! ```
//!
//! Proxies ask it over gRPC, `envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit`, in plaintext. It counts in
//! memory, or in Redis where several replicas keep the limits together:
//! `ratelimit-server --config-dir limits --addr 0.0.0.0:8081 --redis redis://127.0.0.1:6379`.
//!
//! A change of the folder takes effect at once, without a restart; a faulty one is logged, and the last good limits
//! stay. At the start a fault is one line and exit code 1. SIGTERM and SIGINT let it answer what was asked before it
//! ends, for ten seconds at most.

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use aeraki_xds::ratelimit::{Limits, MemoryStore, RedisStore, Server, Store};
use anyhow::Context;
use clap::Parser;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
    time::timeout,
};
use tracing_subscriber::EnvFilter;

/// Tells proxies whether a request is over its limits, which are read from a folder of YAML files.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Folder of YAML files, each with the limits of one domain.
    #[arg(long, value_name = "DIR")]
    config_dir: PathBuf,
    /// Address on which the service is offered.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    addr: SocketAddr,
    /// Redis server that counts for several replicas; without it each counts in its own memory.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Counters that are kept in memory per unit of time.
    #[arg(long, value_name = "N", default_value = "100000", conflicts_with = "redis")]
    max_counters: NonZeroUsize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    log.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).init();
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}")),
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    // before the first look, so that no change falls between the two
    let (_watcher, changes) = watch_folder(&args.config_dir)?;
    let limits = Limits::read([&args.config_dir])?;
    match &args.redis {
        Some(url) => {
            serve(&args, Server::new(limits, RedisStore::connect(url).await.context("--redis")?), changes).await
        }
        None => serve(&args, Server::new(limits, MemoryStore::new(args.max_counters)), changes).await,
    }
}

async fn serve<S: Store>(args: &Args, server: Server<S>, changes: watch::Receiver<()>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.addr).await.with_context(|| format!("--addr {}", args.addr))?;
    let stopped = stopped()?;
    tracing::info!("serving rate limits on {}", listener.local_addr()?);
    let (drain, draining) = oneshot::channel::<()>();
    let mut serving = tokio::spawn(server.clone().serve(listener, async { drop(draining.await) }));
    tokio::select! {
        ended = &mut serving => return Ok(ended??),
        () = reload_on(changes, &args.config_dir, &server) => {}
        () = stopped => {}
    }
    drop(drain);
    timeout(DRAIN, serving).await.context("some clients hold on to their questions")???;
    Ok(())
}

/// Puts every good state of the folder in force.
async fn reload_on<S: Store>(mut changes: watch::Receiver<()>, dir: &Path, server: &Server<S>) {
    while changes.changed().await.is_ok() {
        // editors write in steps: the last of them counts
        while let Ok(Ok(())) = timeout(QUIET, changes.changed()).await {}
        match Limits::read([dir]) {
            Ok(limits) => {
                server.reload(limits);
                tracing::info!("new limits are in force");
            }
            Err(error) => tracing::error!("{error}; the last good limits stay"),
        }
    }
}

fn watch_folder(dir: &Path) -> anyhow::Result<(RecommendedWatcher, watch::Receiver<()>)> {
    let (changed, changes) = watch::channel(());
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // reading a file is an event too, and must not lead to reading it again
        if !event.is_ok_and(|event| event.kind.is_access()) {
            changed.send_replace(());
        }
    })?;
    watcher.watch(dir, RecursiveMode::NonRecursive).with_context(|| dir.display().to_string())?;
    Ok((watcher, changes))
}

/// Waits for SIGTERM or SIGINT.
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("ratelimit-server: {reason}");
    ExitCode::FAILURE
}

/// How long a change may go on before it is read.
const QUIET: Duration = Duration::from_millis(100);
/// How long questions that are open may take at the end.
const DRAIN: Duration = Duration::from_secs(10);
