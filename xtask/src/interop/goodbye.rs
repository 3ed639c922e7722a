//! Suite `goodbye`: our proxy between two of Envoy's Thrift proxies, of which the server drains, and then ours.
//!
//! ```text
//! client -- framed --> Envoy -- header --> ours -- header --> Envoy -- framed --> server
//! ```

use std::{
    io::{ErrorKind, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    backend::{Frames, connect},
    frames::Wire,
    report::{Answer, Report},
    way::Target,
};
use crate::peers::{
    admin,
    process::{Process, free_port, pause},
    proxy::{Config, Software},
};

pub(crate) fn run(report: &mut Report, targets: &[Target]) -> Result<()> {
    if !targets.contains(&Target::Ours) || !targets.contains(&Target::Envoy) {
        return Ok(());
    }
    let mut chain = Chain::start()?;
    let mut answers = vec![chain.answer("before", Chain::call)];
    admin::ask(chain.server.admin, "POST", "/healthcheck/fail")?;
    answers.extend((0..CALLS).map(|_| chain.answer("while the server drains", Chain::call)));
    answers.push(chain.counted(&chain.ours, "upstream_cx_drain_close", CALLS));
    answers.push(chain.counted(&chain.client, "thrift.upstream_cx_drain_close", 0));
    admin::ask(chain.server.admin, "POST", "/healthcheck/ok")?;
    answers.push(chain.answer("when ours drains", Chain::call_while_ours_drains));
    answers.push(chain.counted(&chain.client, "thrift.upstream_cx_drain_close", 1));
    report.check("envoy -> ours -> envoy", &answers);
    Ok(())
}

/// The proxies in a row, and both of their ends.
struct Chain {
    client: Link,
    ours: Link,
    server: Link,
    caller: TcpStream,
    frames: Frames,
    backend: TcpListener,
    /// What the last proxy has connected to the server.
    connected: Option<(TcpStream, Frames)>,
}

/// One of the proxies, with one listener and one cluster.
struct Link {
    process: Option<Process>,
    port: u16,
    admin: u16,
    /// Where its cluster is.
    next: u16,
}

impl Chain {
    fn start() -> Result<Self> {
        let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let server = Link::start("server", Software::Envoy, backend.local_addr()?.port(), Some("FRAMED"))?;
        let ours = Link::start("ours", Software::Ours, server.port, None)?;
        let client = Link::start("client", Software::Envoy, ours.port, Some("HEADER"))?;
        let caller = connect(client.port, LIMIT)?;
        Ok(Self { client, ours, server, caller, frames: Frames::new(WIRE), backend, connected: None })
    }

    fn answer(&mut self, name: &str, call: impl FnOnce(&mut Self) -> Result<String>) -> Answer {
        let seen = call(self).unwrap_or_else(|error| format!("{error:#}"));
        Answer { name: name.to_owned(), promised: "reply".to_owned(), seen }
    }

    fn counted(&self, link: &Link, name: &str, promised: u64) -> Answer {
        let seen = link.count(name, promised).map_or_else(|error| format!("{error:#}"), |count| count.to_string());
        Answer { name: name.to_owned(), promised: promised.to_string(), seen }
    }

    fn call(&mut self) -> Result<String> {
        let request = self.ask()?;
        self.reply(&request)
    }

    /// Has a request reach the server, ours asked to end, and only then the answer sent.
    fn call_while_ours_drains(&mut self) -> Result<String> {
        let request = self.ask()?;
        let ours = self.ours.process.take().context("it runs")?;
        let ending = thread::spawn(move || ours.terminate(LIMIT));
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.ours.port)).is_ok() {
            ensure!(Instant::now() < deadline, "it still listens");
            pause(Duration::from_millis(10));
        }
        let seen = self.reply(&request)?;
        ending.join().ok().context("a panic")??;
        Ok(seen)
    }

    /// Sends a request, and returns what the server gets.
    fn ask(&mut self) -> Result<Vec<u8>> {
        self.caller.write_all(&WIRE.request("echo", "hello", 7))?;
        let (stream, frames) = match &mut self.connected {
            Some(connected) => connected,
            none => none.insert((accept(&self.backend)?, Frames::new(WIRE))),
        };
        frames.next(stream)?.context("no request")
    }

    /// Answers it, and returns what the client gets.
    fn reply(&mut self, request: &[u8]) -> Result<String> {
        let (server, _) = self.connected.as_mut().context("nobody has connected")?;
        server.write_all(&WIRE.answer(request).context("no answer")?)?;
        let answer = self.frames.next(&mut self.caller)?.context("closed")?;
        ensure!(WIRE.id(&answer) == Some(7), "an answer to another request");
        Ok(WIRE.outcome(&answer))
    }
}

impl Link {
    /// Starts a proxy in front of `next`, to which it speaks the `transport`, or else that of its client.
    fn start(name: &str, software: Software, next: u16, transport: Option<&str>) -> Result<Self> {
        let port = free_port()?;
        let config = Config {
            software,
            routes: WIRE.routes(),
            listeners: &[(port, &[next])],
            concurrent: false,
            rate_limit: None,
            fails_on_request: false,
        };
        let mut admin = None;
        let command = Command::new(software.binary("dev")?);
        let process = config.start_changed(&format!("goodbye-{name}"), command, |bootstrap| {
            admin = admin::port(bootstrap);
            if let Some(transport) = transport {
                bootstrap["static_resources"]["clusters"][0]["typed_extension_protocol_options"] = speaks(transport);
            }
        })?;
        Ok(Self { process: Some(process), port, admin: admin.context("no admin interface")?, next })
    }

    /// Waits until a counter of the cluster is as it was promised, and returns what it is then or at last.
    fn count(&self, name: &str, promised: u64) -> Result<u64> {
        let name = format!("cluster.cluster-{}.{name}", self.next);
        let deadline = Instant::now() + LIMIT;
        loop {
            let stats = admin::ask(self.admin, "GET", "/stats")?;
            // Envoy has no counter before it counts
            let count = admin::count(&stats, &name).unwrap_or(0);
            if count == promised || Instant::now() > deadline {
                return Ok(count);
            }
            pause(Duration::from_millis(50));
        }
    }
}

fn accept(listener: &TcpListener) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + LIMIT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(LIMIT))?;
                return Ok(stream);
            }
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) => ensure!(Instant::now() < deadline, "nobody connects to the server"),
        }
        pause(Duration::from_millis(5));
    }
}

fn speaks(transport: &str) -> Value {
    json!({"envoy.filters.network.thrift_proxy": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.thrift_proxy.v3.ThriftProtocolOptions",
        "transport": transport,
        "protocol": "BINARY",
    }})
}

const WIRE: Wire = Wire::Thrift;
const CALLS: u64 = 3;
const LIMIT: Duration = Duration::from_secs(10);
