//! The control plane on files: `aeraki --config-dir DIR --xds-addr ADDR`.
//!
//! The way of a configuration: a [`FileSource`] watches the folder and yields a world of objects, a [`Controller`]
//! translates each world and publishes it, a [`Server`] hands it to every proxy that subscribes to its routes.

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use aeraki_kube::{Controller, FileOptions, FileSource, Options, Translation, World, translate};
use aeraki_xds::{Publisher, Server, server::Event};
use anyhow::{Context, bail};
use clap::Parser;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

/// Serves the routes of MetaRouters, read from a folder of YAML files, to proxies.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Folder of YAML files: MetaRouter, MetaAuthorizationPolicy, DubboAuthorizationPolicy, ApplicationProtocol,
    /// ServiceEntry, DestinationRule, Service. What they mean stands in docs/control-plane.md.
    #[arg(long, value_name = "DIR")]
    config_dir: PathBuf,
    /// Address on which MetaRDS is served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15010")]
    xds_addr: SocketAddr,
    /// Namespace of objects that name none.
    #[arg(long, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// Domain that completes short host names.
    #[arg(long, value_name = "DOMAIN", default_value = aeraki_kube::DEFAULT_DOMAIN)]
    domain: String,
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
    let options = FileOptions::default().with_namespace(args.namespace).with_domain(args.domain);
    let source = FileSource::open(&args.config_dir, &options)?;
    refuse_faulty_start(&source.worlds().borrow())?;
    let listener = TcpListener::bind(args.xds_addr).await.with_context(|| format!("--xds-addr {}", args.xds_addr))?;
    tracing::info!("serving MetaRDS on {}", listener.local_addr()?);

    // before anything says that it runs, so that whoever waits for that may end it
    let stop = stopped()?;
    let publisher = Publisher::new();
    let controller = Controller::new(publisher.clone(), Options::default());
    let publishing = tokio::spawn(controller.run(source.worlds(), report));
    let served = Server::observed(publisher, log_event).serve(listener, stop).await;
    publishing.abort();
    Ok(served?)
}

/// At the start there is no last good state, so that nothing may be refused.
fn refuse_faulty_start(world: &World) -> anyhow::Result<()> {
    let translation = translate(world, &Options::default());
    let faults: Vec<_> = translation.rejections.iter().filter(|rejection| rejection.refuses()).collect();
    if let Some((last, others)) = faults.split_last() {
        others.iter().for_each(|fault| tracing::error!("{fault}"));
        bail!("{last}");
    }
    Ok(())
}

fn report(translation: &Translation) {
    let kept = translation.held().count();
    tracing::info!(routes = translation.routes.len(), kept, "published");
}

fn log_event(event: &Event<'_>) {
    match event {
        Event::Connected { node } => tracing::info!(node = node.id, "subscribed"),
        Event::Acked { node, version, .. } => tracing::info!(node = node.id, version, "accepted"),
        Event::Nacked { node, version, reason, .. } => tracing::error!(node = node.id, version, "refused: {reason}"),
        Event::Absent { node, names, .. } => {
            let names = some_of(names);
            tracing::warn!(node = node.id, "asks for what is not there: {names}; tables are called <host>_<port>");
        }
        Event::Disconnected { node } => tracing::info!(node = node.id, "gone"),
        _ => {}
    }
}

/// Names the first of them: whoever asks may ask for thousands.
fn some_of(names: &[String]) -> String {
    let mut text = names.iter().take(MOST_NAMED).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = names.len().checked_sub(MOST_NAMED) {
        text.push_str(&format!(" and {more} more"));
    }
    text
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
    eprintln!("aeraki: {reason}");
    ExitCode::FAILURE
}

/// How many of many names are told.
const MOST_NAMED: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_names_some_are_told() {
        let names: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
        assert_eq!(some_of(&names[..1]), r#""0""#);
        assert_eq!(some_of(&names[..10]), r#""0", "1", "2", "3", "4", "5", "6", "7", "8", "9""#);
        assert_eq!(some_of(&names), r#""0", "1", "2", "3", "4", "5", "6", "7", "8", "9" and 990 more"#);
    }
}
