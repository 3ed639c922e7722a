//! The data plane: `aeraki-proxy -c FILE`, a MetaProtocol proxy from an Envoy bootstrap YAML.
//!
//! The way of a configuration: [`Bootstrap`](aeraki_xds::bootstrap::Bootstrap) reads and checks the file,
//! [`Proxy`](aeraki_core::proxy::Proxy) compiles it, a [`Subscriber`](aeraki_xds::client::Subscriber) for each control
//! plane keeps dynamic routes up to date while the proxy runs. SIGHUP puts the file in force as it is then.

mod routes;
mod serve;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use self::serve::Program;

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
    #[arg(long, alias = "concurrency", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Seconds that requests under way have to finish after SIGTERM, for a successor, and where listeners change.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_time_s: u64,
    /// A Unix socket at which this process takes the sockets of the one before, if there is one, and waits for the next
    /// one: a restart refuses no connection.
    #[arg(long, value_name = "PATH")]
    hot_restart_path: Option<PathBuf>,
    /// Take a configuration although it names filters that are not enforced.
    #[arg(long)]
    allow_unenforced: bool,
    /// What to log: off, error, warn, info, debug or trace; RUST_LOG is finer.
    #[arg(short = 'l', long, value_name = "LEVEL", default_value_t = LevelFilter::INFO)]
    log_level: LevelFilter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Serve,
    Validate,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = match log_filter(&args) {
        Ok(filter) => filter,
        Err(error) => return fail(&format!("{error:#}")),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    log.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).init();
    match run(&args).with_context(|| args.config_path.display().to_string()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}")),
    }
}

/// A filter that is misspelt would hide what somebody wants to see, so that it is refused.
fn log_filter(args: &Args) -> Result<EnvFilter> {
    match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(finer) if !finer.is_empty() => EnvFilter::try_new(finer).context(EnvFilter::DEFAULT_ENV),
        _ => Ok(EnvFilter::default().add_directive(args.log_level.into())),
    }
}

fn run(args: &Args) -> Result<()> {
    let program = Program::new(args);
    let proxy = program.load()?;
    if args.mode == Mode::Validate {
        tracing::info!("{}: the configuration is good", args.config_path.display());
        return Ok(());
    }
    program.serve(proxy)
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("aeraki-proxy: {reason}");
    ExitCode::FAILURE
}
