//! Suite `thrift`: Apache Thrift in Python and Java and thriftpy2, every transport and protocol.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Result;

use super::{
    report::{Comparison, Report, cases},
    way::{Target, Way},
};
use crate::peers::{
    install::{self, peers_dir, workspace},
    process::{Port, Process},
    proxy::Routes,
};

pub(crate) fn run(report: &mut Report, targets: &[Target]) -> Result<()> {
    let python = Python::install()?;
    let java = Java::install()?;
    let (python_server, java_server) = (python.serve()?, java.serve()?);
    let python_ways = Wires::open("thrift-python", targets, &python_server.1)?;
    let java_ways = Wires::open("thrift-java", targets, &java_server.1)?;
    let everything = |_: &str| true;
    let no_header = |wire: &str| !wire.starts_with("header");
    let clients = [
        ("python -> python", python.call("apache", python_ways.arguments(everything))?),
        ("python -> java", python.call("apache", java_ways.arguments(everything))?),
        ("thriftpy2 -> python", python.call("thriftpy2", python_ways.arguments(no_header))?),
        ("java -> python", java.call(python_ways.arguments(no_header))?),
        ("java -> java", java.call(java_ways.arguments(everything))?),
    ];
    for (pair, client) in clients {
        report.compare(pair, targets, &cases(client, CLIENT_LIMIT)?, RULES);
    }
    Ok(())
}

/// The ways to every port of a server, by transport and protocol.
struct Wires {
    names: Vec<String>,
    ways: Vec<Way>,
}

impl Wires {
    fn open(name: &str, targets: &[Target], ports: &[Port]) -> Result<Self> {
        let routes = Routes::Thrift { methods: METHODS, services: &["Shout", "Echo"] };
        let backends: Vec<u16> = ports.iter().map(|port| port.number).collect();
        let ways = Way::open_all(name, targets, routes, &backends)?;
        Ok(Self { names: ports.iter().map(|port| port.name.clone()).collect(), ways })
    }

    /// Renders `TARGET:WIRE:PORT` for each wire that `wanted` takes.
    fn arguments(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let of_way = |way: &Way| -> Vec<String> {
            let wires = self.names.iter().zip(&way.ports).filter(|(wire, _)| wanted(wire));
            wires.map(|(wire, port)| format!("{}:{wire}:{port}", way.target)).collect()
        };
        self.ways.iter().flat_map(of_way).collect()
    }
}

pub(super) struct Python {
    interpreter: PathBuf,
    scripts: PathBuf,
    generated: PathBuf,
}

impl Python {
    pub(super) fn install() -> Result<Self> {
        let home = install::python("thrift-python")?;
        let generated = home.join("generated");
        generate("py", &generated)?;
        let scripts = workspace().join("peers/thrift-python");
        Ok(Self { interpreter: home.join("bin/python"), scripts, generated })
    }

    fn serve(&self) -> Result<(Process, Vec<Port>)> {
        let mut command = self.command("server.py");
        let server = Process::start("thrift-python-server", &mut command)?;
        let ports = server.ports(START_LIMIT)?;
        Ok((server, ports))
    }

    fn call(&self, library: &str, ways: Vec<String>) -> Result<Process> {
        let mut command = self.command("client.py");
        command.arg(idl()).arg(library).args(ways);
        Process::start(&format!("thrift-{library}-client"), &mut command)
    }

    /// A command that runs one of the scripts with the generated code.
    pub(super) fn command(&self, script: &str) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.arg("-B").arg(self.scripts.join(script)).arg(&self.generated);
        command
    }
}

struct Java {
    class_path: String,
}

impl Java {
    fn install() -> Result<Self> {
        let generated = peers_dir().join("thrift-java/generated");
        generate("java:generated_annotations=suppress", &generated)?;
        let generated = generated.display().to_string();
        let class_path = install::maven("thrift-java", "thrift-java", &[("generated.folder", &generated)])?;
        Ok(Self { class_path })
    }

    fn serve(&self) -> Result<(Process, Vec<Port>)> {
        let server = Process::start("thrift-java-server", &mut self.command("peers.Server"))?;
        let ports = server.ports(START_LIMIT)?;
        Ok((server, ports))
    }

    fn call(&self, ways: Vec<String>) -> Result<Process> {
        Process::start("thrift-java-client", self.command("peers.Client").args(ways))
    }

    fn command(&self, main: &str) -> Command {
        let mut command = Command::new("java");
        command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", &self.class_path, main]);
        command
    }
}

/// Generates code from our IDL into `folder`.
fn generate(language: &str, folder: &Path) -> Result<()> {
    install::debian("thrift", "thrift-compiler")?;
    fs::create_dir_all(folder)?;
    install::run(Command::new("thrift").args(["-r", "--gen", language, "-out"]).arg(folder).arg(idl()))
}

fn idl() -> PathBuf {
    workspace().join("peers/thrift/echo.thrift")
}

const METHODS: &[&str] =
    &["echo", "person", "people", "flags", "blob", "half", "nothing", "refuse", "crash", "note", "notes", "absent"];
const RULES: Comparison = Comparison {
    free: &["no route", "local replies"],
    defects: &[
        (Target::Envoy, "compact bools", "Envoy re-encodes a false element as true"),
        (Target::Envoy, "compressed", "Envoy knows no transform"),
    ],
};
const START_LIMIT: Duration = Duration::from_secs(30);
const CLIENT_LIMIT: Duration = Duration::from_secs(120);
