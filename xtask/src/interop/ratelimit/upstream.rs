//! Upstream's own configurations of rate limits, unchanged but for their ports, before an Apache Thrift client and
//! server.

use std::{
    env, fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    super::{
        report::{Answer, Report},
        thrift::Python,
    },
    Service,
};
use crate::peers::{
    install::{peers_dir, workspace},
    process::{Process, free_port},
    proxy::Software,
};

/// Has each do what its description says; `service` allows five calls of `sayHello`.
pub(super) fn run(report: &mut Report, service: Service) -> Result<()> {
    let folder = workspace().join("../shared/fixtures/meta-protocol-proxy");
    if !folder.is_dir() {
        ensure!(env::var("AERAKI_FIXTURES").as_deref() != Ok("required"), "{} is required", folder.display());
        report.skip("upstream's configurations are absent");
        return Ok(());
    }
    let python = Python::install()?;
    let peers = Greeters { folder, server: Greeter::start(&python)?, python };
    let fill = ["reply", "reply", REFUSED, "reply after about 30 s"];
    let local = [
        ("local-ratelimit/test-only-global-token", "wait", 3, fill.to_vec()),
        ("local-ratelimit/test-full-match-condition", "wait", 3, fill.to_vec()),
        ("local-ratelimit/test-no-global-bucket-no-matched-condition", "call", 20, vec!["reply"; 20]),
    ];
    // all at once: two of them wait for a bucket to be filled again
    let started = local.map(|(name, mode, count, promised)| (name, peers.limited(name, 0, mode, count), promised));
    let mut answers = Vec::new();
    for (name, calls, promised) in started {
        answers.push(calls?.answer(name, &promised)?);
    }
    let global = "global-ratelimit/test";
    let proxy = peers.proxy(global, service.port)?;
    let promised = [vec!["reply"; 5], vec![REFUSED; 2]].concat();
    answers.push(peers.call(&proxy, "call", promised.len())?.answer(global, &promised)?);
    drop(service);
    answers.push(peers.call(&proxy, "call", 1)?.answer("global-ratelimit/test without its service", &[REFUSED])?);
    report.check("upstream's configurations", &answers);
    Ok(())
}

struct Greeters {
    folder: PathBuf,
    python: Python,
    server: Greeter,
}

struct Greeter {
    port: u16,
    _program: Process,
}

impl Greeter {
    fn start(python: &Python) -> Result<Self> {
        let program = Process::start("hello-server", python.command("hello.py").arg("serve"))?;
        let port = program.ports(LIMIT)?.first().context("the server names no port")?.number;
        Ok(Self { port, _program: program })
    }
}

/// A proxy with one of the configurations.
struct Limited {
    port: u16,
    _program: Process,
}

/// A client that calls, and the proxy if it is its own.
struct Calls {
    client: Process,
    _proxy: Option<Limited>,
}

impl Greeters {
    fn limited(&self, name: &str, service: u16, mode: &str, count: usize) -> Result<Calls> {
        let proxy = self.proxy(name, service)?;
        let Calls { client, .. } = self.call(&proxy, mode, count)?;
        Ok(Calls { client, _proxy: Some(proxy) })
    }

    fn proxy(&self, name: &str, service: u16) -> Result<Limited> {
        let mut config = fs::read_to_string(self.folder.join(name).with_extension("yaml"))?;
        let port = free_port()?;
        let ports =
            [(9090, port), (9091, self.server.port), (8081, service), (8080, free_port()?), (8888, free_port()?)];
        // in two steps: a free port may be one that is yet to be replaced
        for (theirs, _) in ports {
            config = config.replace(&format!("port_value: {theirs}"), &format!("port_value: <{theirs}>"));
        }
        for (theirs, ours) in ports {
            config = config.replace(&format!("<{theirs}>"), &ours.to_string());
        }
        let name = name.replace('/', "-");
        let file = peers_dir().join("run").join(&name).with_extension("yaml");
        fs::create_dir_all(peers_dir().join("run"))?;
        fs::write(&file, config.replace("0.0.0.0", "127.0.0.1"))?;
        let mut command = Command::new(Software::Ours.binary("dev")?);
        let mut program = Process::start(&name, command.args(["--workers", "1", "-c"]).arg(file))?;
        program.wait_listening(port, LIMIT)?;
        Ok(Limited { port, _program: program })
    }

    fn call(&self, proxy: &Limited, mode: &str, count: usize) -> Result<Calls> {
        let mut command = self.python.command("hello.py");
        let client = Process::start("hello-client", command.args([mode, &proxy.port.to_string(), &count.to_string()]))?;
        Ok(Calls { client, _proxy: None })
    }
}

impl Calls {
    /// Waits for the end of the calls.
    fn answer(self, name: &str, promised: &[&str]) -> Result<Answer> {
        let deadline = Instant::now() + LIMIT;
        let mut seen = Vec::new();
        while let Some(line) = self.client.line(deadline)? {
            seen.push(line);
        }
        self.client.succeeded()?;
        Ok(Answer { name: name.to_owned(), promised: promised.join(", "), seen: seen.join(", ") })
    }
}

const REFUSED: &str = "exception 6";
const LIMIT: Duration = Duration::from_secs(90);
