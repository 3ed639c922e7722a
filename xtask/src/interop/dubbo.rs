//! Suite `dubbo`: Apache Dubbo Java 3.3 and 2.7 providers and consumers, and the consumer of npm.

mod leaving;
mod survival;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    report::{Case, Comparison, Report, cases},
    way::{Target, Way},
};
use crate::peers::{
    install::{self, workspace},
    process::Process,
    proxy::Routes,
};

pub(crate) fn run(report: &mut Report, targets: &[Target]) -> Result<()> {
    let java = [Java::install("3.3.6")?, Java::install("2.7.23")?];
    for provider in &java {
        for consumer in &java {
            let pair = format!("java {} -> {}", consumer.version, provider.version);
            let cases = call(&pair, consumer, provider, targets).with_context(|| pair.clone())?;
            report.compare(&pair, targets, &cases, RULES);
        }
    }
    let node = install::npm("dubbo-node")?;
    for provider in &java {
        let pair = format!("node -> {}", provider.version);
        report.compare(&pair, targets, &call_from_node(&node, provider, targets)?, RULES);
    }
    if targets.contains(&Target::Ours) {
        for software in &java {
            report.check(&format!("left {}", software.version), &leaving::run(software)?);
            report.check(&format!("killed {}", software.version), &survival::run(software)?);
        }
    }
    Ok(())
}

/// Runs the consumer of npm, whose packages lie in `packages`, against the provider.
fn call_from_node(packages: &Path, provider: &Java, targets: &[Target]) -> Result<Vec<Case>> {
    let (_server, port) = provider.serve(0)?;
    let ways = Way::open_all("dubbo-node", targets, ROUTES, &[port])?;
    let mut command = Command::new("node");
    command.arg(workspace().join("peers/dubbo-node/consumer.js")).arg(packages);
    command.args(ways.iter().map(|way| format!("{}:{}", way.target, way.ports[0])));
    cases(Process::start("dubbo-node-consumer", &mut command)?, CONSUMER_LIMIT)
}

/// Runs the consumer against the provider, which it asks to be restarted on the way.
fn call(pair: &str, consumer: &Java, provider: &Java, targets: &[Target]) -> Result<Vec<Case>> {
    let (server, port) = provider.serve(0)?;
    let mut server = Some(server);
    let ways = Way::open_all("dubbo-java", targets, ROUTES, &[port])?;
    let arguments = ways.iter().map(|way| format!("{}:{}", way.target, way.ports[0]));
    let mut client = Process::start("dubbo-java-consumer", consumer.command("peers.Consumer").args(arguments))?;
    let mut cases = Vec::new();
    let deadline = Instant::now() + CONSUMER_LIMIT;
    while let Some(line) = client.line(deadline)? {
        match line.as_str() {
            "stop" => {
                server.take().context("the provider runs")?.stop(STOP_LIMIT)?;
                client.tell("stopped")?;
            }
            "start" => {
                server = Some(provider.serve(port)?.0);
                client.tell("started")?;
            }
            case if case.starts_with('{') => cases.push(Case::parse(case)?),
            _ => {}
        }
    }
    client.succeeded().with_context(|| format!("consumer of {pair}"))?;
    Ok(cases)
}

/// One release of Apache Dubbo.
struct Java {
    version: &'static str,
    class_path: String,
}

impl Java {
    fn install(version: &'static str) -> Result<Self> {
        let build = format!("dubbo-java-{version}");
        let class_path = install::maven("dubbo-java", &build, &[("dubbo.version", version)])?;
        Ok(Self { version, class_path })
    }

    /// Starts a provider on `port`, 0 for a free one.
    fn serve(&self, port: u16) -> Result<(Process, u16)> {
        self.serve_counting(port, None)
    }

    /// Starts a provider that counts calls of `peers.Counted` in a file, if there is one.
    fn serve_counting(&self, port: u16, executed: Option<&Path>) -> Result<(Process, u16)> {
        let mut command = self.command("peers.Provider");
        let server = Process::start("dubbo-java-provider", command.arg(port.to_string()).args(executed))?;
        match server.ports(START_LIMIT)?.as_slice() {
            [port] => Ok((server, port.number)),
            ports => bail!("the provider named {} ports", ports.len()),
        }
    }

    fn command(&self, main: &str) -> Command {
        let mut command = Command::new("java");
        command.args(JVM_OPTIONS).args(["-cp", &self.class_path, main]);
        command
    }
}

const ROUTES: Routes<'static> = Routes::Dubbo(&["peers.Demo"]);
const RULES: Comparison = Comparison {
    free: &["no route", "local replies", "provider gone", "provider back"],
    defects: &[(Target::Direct, "provider back", "a consumer of 3.3 does not come back after a read-only event")],
};
/// The number is 127.0.0.1: Dubbo refuses to bind a loopback address that it recognises.
const JVM_OPTIONS: [&str; 9] = [
    "-Xmx256m",
    "-XX:TieredStopAtLevel=1",
    "-DDUBBO_IP_TO_BIND=2130706433",
    "-Ddubbo.network.interface.preferred=lo",
    "-Ddubbo.application.logger=jdk",
    "-Ddubbo.service.shutdown.wait=1000",
    "-Ddubbo.application.serialize-check-status=DISABLE",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.math=ALL-UNNAMED",
];
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const CONSUMER_LIMIT: Duration = Duration::from_secs(180);
