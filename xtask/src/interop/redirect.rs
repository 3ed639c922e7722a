//! Suite `redirect`: connections that iptables redirects to our proxy, in a network namespace that this suite makes.

use std::{
    env,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::{
    backend::{Backend, Frames},
    frames::Wire,
    report::{Answer, Report},
    way::Target,
};
use crate::peers::{
    install,
    process::{Process, free_port},
    proxy::{Config, Software},
};

pub(crate) fn run(report: &mut Report, targets: &[Target]) -> Result<()> {
    install::debian("iptables", "iptables")?;
    // `ss` says its version, `ip` of the same package does not
    install::debian("ss", "iproute2")?;
    if !targets.contains(&Target::Ours) {
        return Ok(());
    }
    if env::var_os(INSIDE).is_some() {
        report.check("iptables -> our proxy", &Bench::start()?.call()?);
        return Ok(());
    }
    let namespace = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net"]);
        command
    };
    if !namespace().arg("true").status().is_ok_and(|status| status.success()) {
        // nobody's software is missing, and nothing could be installed
        report.skip("this machine gives no network namespace to its users");
        return Ok(());
    }
    let again = format!("ip link set lo up && exec {:?} interop redirect", env::current_exe()?);
    let proxy = Software::Ours.binary("dev")?;
    let mut inside = namespace();
    let status = inside.args(["sh", "-c", &again]).env(INSIDE, "1").env("AERAKI_PROXY", proxy).status()?;
    ensure!(status.success(), "it fails inside the namespace");
    report.pass();
    Ok(())
}

/// Two servers, and a proxy that sends clients to the one that they meant.
struct Bench {
    servers: [Backend; 2],
    /// Where the proxy listens: for everybody, and for those who mean the first server.
    ports: [u16; 2],
    _proxy: Process,
}

impl Bench {
    fn start() -> Result<Self> {
        let servers = [Backend::start(WIRE)?, Backend::start(WIRE)?];
        let ports = [free_port()?, free_port()?];
        let first = servers[0].port;
        let config = Config {
            software: Software::Ours,
            routes: WIRE.routes(),
            listeners: &[(ports[0], &[first]), (ports[1], &[servers[1].port])],
            concurrent: false,
            rate_limit: None,
            fails_on_request: false,
        };
        let proxy = Command::new(Software::Ours.binary("dev")?);
        let proxy = config.start_changed("redirect-proxy", proxy, |bootstrap| {
            let resources = &mut bootstrap["static_resources"];
            for listener in resources["listeners"].as_array_mut().into_iter().flatten() {
                listener["listener_filters"] = json!([{"name": "envoy.filters.listener.original_dst"}]);
            }
            allow_only(&mut resources["listeners"][1], first);
            for cluster in resources["clusters"].as_array_mut().into_iter().flatten() {
                cluster["type"] = "ORIGINAL_DST".into();
                cluster["lb_policy"] = "CLUSTER_PROVIDED".into();
                if let Some(fields) = cluster.as_object_mut() {
                    fields.remove("load_assignment");
                }
            }
        })?;
        for (source, port) in SOURCES.iter().zip(ports) {
            redirect(*source, port)?;
        }
        Ok(Self { servers, ports, _proxy: proxy })
    }

    fn call(&self) -> Result<Vec<Answer>> {
        let [first, second] = self.servers.each_ref().map(|server| server.port);
        let [anybody, chosen] = SOURCES;
        let cases = [
            ("to the first server", anybody, first, "reply from the first"),
            ("to the second server", anybody, second, "reply from the second"),
            ("to a port where nobody listens", anybody, free_port()?, FAILED),
            ("to the server that a policy allows", chosen, first, "reply from the first"),
            ("to another server than the policy allows", chosen, second, FAILED),
            ("to the proxy itself", Ipv4Addr::LOCALHOST, self.ports[0], FAILED),
        ];
        let answer = |(name, source, port, promised): (&str, _, _, &str)| {
            let seen = self.seen(source, port)?;
            Ok(Answer { name: name.to_owned(), promised: promised.to_owned(), seen })
        };
        cases.into_iter().map(answer).collect()
    }

    /// Calls a port of 127.0.0.1 from an address, and tells what comes back and who has sent it.
    fn seen(&self, source: Ipv4Addr, port: u16) -> Result<String> {
        self.servers.iter().for_each(Backend::forget);
        let mut stream = connect(source, port).context("connecting")?;
        stream.write_all(&WIRE.request("echo", "hello", 7))?;
        let Some(answer) = Frames::new(WIRE).next(&mut stream)? else { return Ok("refused".to_owned()) };
        let outcome = WIRE.outcome(&answer);
        if outcome != "reply" {
            return Ok(outcome);
        }
        let asked = self.servers.each_ref().map(|server| server.frames(1, Duration::ZERO).is_ok());
        Ok(match asked {
            [true, false] => "reply from the first".to_owned(),
            [false, true] => "reply from the second".to_owned(),
            _ => format!("reply, and {asked:?} were asked"),
        })
    }
}

/// Has connections from an address redirected to a port.
fn redirect(source: Ipv4Addr, port: u16) -> Result<()> {
    let (source, port) = (source.to_string(), port.to_string());
    let rule = ["-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-s", &source, "-j", "REDIRECT", "--to-ports", &port];
    let status = Command::new("iptables").args(rule).status()?;
    ensure!(status.success(), "iptables takes no rule");
    Ok(())
}

/// Allows clients of a listener one port only.
fn allow_only(listener: &mut Value, port: u16) {
    let policy = json!({"name": "first", "rules": [{"to": [{"ports": [port]}]}]});
    let config = json!({
        "@type": "type.googleapis.com/aeraki.meta_protocol_proxy.filters.authorization.v1alpha.Authorization",
        "policies": [policy],
    });
    let filters = &mut listener["filter_chains"][0]["filters"][0]["typed_config"]["metaProtocolFilters"];
    if let Some(filters) = filters.as_array_mut() {
        filters.insert(0, json!({"name": "aeraki.meta_protocol.filters.authorization", "config": config}));
    }
}

fn connect(source: Ipv4Addr, port: u16) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

const WIRE: Wire = Wire::Thrift;
/// What a call that no server gets ends in.
const FAILED: &str = "exception 6";
/// Where clients come from whose connections are redirected, one for each listener.
const SOURCES: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 9), Ipv4Addr::new(127, 0, 0, 10)];
const PATIENCE: Duration = Duration::from_secs(30);
/// Set for the run inside the namespace.
const INSIDE: &str = "AERAKI_REDIRECT_INSIDE";
