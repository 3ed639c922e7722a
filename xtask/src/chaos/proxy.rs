//! What is called: our proxy with its control plane, or Envoy.

use std::{
    net::SocketAddrV4,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    AGAIN, ONCE,
    client::{self, Way},
    ledger::Ledger,
    secrets::Secrets,
    target::{Change, Target},
};
use crate::{
    interop::frames::Wire,
    peers::{
        mesh::{HOST, Mesh, Service},
        process::{Process, free_port, pause},
        proxy::{Config, Routes, Software},
    },
};

pub(super) struct Proxy {
    pub(super) entrance: u16,
    pub(super) admin: Option<u16>,
    servers: Vec<u16>,
    processes: Processes,
}

enum Processes {
    Ours(Box<Mesh>),
    Envoy(Process, Wire),
}

impl Proxy {
    pub(super) fn start(
        wire: Wire,
        target: Target,
        servers: &[SocketAddrV4],
        secrets: Option<&Secrets>,
    ) -> Result<Self> {
        let ports: Vec<u16> = servers.iter().map(SocketAddrV4::port).collect();
        if target == Target::Envoy {
            let entrance = free_port()?;
            let processes = Processes::Envoy(envoy(wire, entrance, &ports)?, wire);
            return Ok(Self { entrance, admin: None, servers: ports, processes });
        }
        let (protocol, routes) = (wire.to_string(), routes());
        let service = Service { protocol: &protocol, interface: "peers.Echo", routes: &routes, servers: &ports };
        let mesh = Mesh::start_changed(&format!("chaos-{wire}-{}", target.name()), "dev", service, |resources| {
            if let Some(secrets) = secrets {
                secrets.secure(resources);
            }
            if target.has_links() {
                lead_over_links(&mut resources["clusters"][1], servers);
                look_after(&mut resources["clusters"][1], wire, target);
            }
        })?;
        // the counters of each process are its own
        let admin = (target != Target::Changing).then_some(mesh.admin);
        Ok(Self { entrance: mesh.entrance, admin, servers: ports, processes: Processes::Ours(Box::new(mesh)) })
    }

    /// Waits for `time`, and sees to it that there is a proxy afterwards.
    pub(super) fn keep(&mut self, ledger: &Ledger, time: Duration) -> Result<()> {
        pause(time);
        match &mut self.processes {
            Processes::Ours(mesh) => mesh.runs(),
            Processes::Envoy(process, wire) => {
                if process.ended()?.is_some() {
                    ledger.died();
                    *process = envoy(*wire, self.entrance, &self.servers)?;
                }
                Ok(())
            }
        }
    }

    /// Makes a change of what runs.
    pub(super) fn change(&mut self, change: Change) -> Result<()> {
        match (&mut self.processes, change) {
            (Processes::Ours(mesh), Change::LoseServer) => mesh.serve_by(&self.servers[1..]),
            (Processes::Ours(mesh), Change::GainServer) => mesh.serve_by(&self.servers),
            (Processes::Ours(mesh), Change::Process) => mesh.renew(),
            _ => Ok(()),
        }
    }

    /// Calls until many calls in a row are answered.
    pub(super) fn recovers(&mut self, way: &Way, ledger: &Ledger) -> Result<()> {
        let deadline = Instant::now() + RECOVERY;
        let mut good = 0;
        while good < ENOUGH {
            if Instant::now() > deadline {
                ledger.violated(format!("it did not recover within {RECOVERY:?}"));
                return Ok(());
            }
            self.keep(ledger, Duration::ZERO)?;
            good = if client::one(way, ledger) { good + 1 } else { 0 };
        }
        Ok(())
    }
}

fn envoy(wire: Wire, entrance: u16, servers: &[u16]) -> Result<Process> {
    let config = Config {
        software: Software::Envoy,
        routes: match wire {
            Wire::Dubbo => wire.routes(),
            Wire::Thrift => Routes::Thrift { methods: &[ONCE, AGAIN], services: &[] },
        },
        listeners: &[(entrance, servers)],
        concurrent: false,
        rate_limit: None,
        fails_on_request: false,
    };
    config.start(&format!("chaos-{wire}-envoy"), Command::new(Software::Envoy.binary("release")?))
}

/// One method may be executed again, and one must not.
fn routes() -> String {
    let route = |method: &str, retries: &str| {
        format!(
            "- name: {method}\n  match: {{attributes: {{method: {{exact: {method}}}}}}}\n  timeout: 2s\n  \
             retries: {{{retries}}}\n  route: [{{destination: {{host: {HOST}}}}}]\n"
        )
    };
    let again = "attempts: 3, repeatable: true, retryOn: 'connect-failure,reset,refused,timeout', perTryTimeout: 0.5s";
    [route(AGAIN, again), route(ONCE, "attempts: 3")].concat()
}

/// Puts the servers where they are: behind links.
fn lead_over_links(cluster: &mut Value, servers: &[SocketAddrV4]) {
    let endpoint = |server: &SocketAddrV4| {
        let address = json!({"address": server.ip().to_string(), "port_value": server.port()});
        json!({"endpoint": {"address": {"socket_address": address}}})
    };
    let endpoints: Vec<_> = servers.iter().map(endpoint).collect();
    cluster["load_assignment"]["endpoints"] = json!([{"lb_endpoints": endpoints}]);
}

/// Has the proxy find out by itself who cannot be reached.
fn look_after(cluster: &mut Value, wire: Wire, target: Target) {
    let probes = json!({"keepalive_time": 1, "keepalive_interval": 1, "keepalive_probes": 2});
    cluster["upstream_connection_options"] = json!({"tcp_keepalive": probes});
    cluster["outlier_detection"] =
        json!({"consecutive_5xx": 3, "interval": "0.5s", "base_ejection_time": "1s", "max_ejection_percent": 50});
    if target == Target::CutChecked {
        let mut check =
            json!({"timeout": "0.5s", "interval": "0.5s", "unhealthy_threshold": 2, "healthy_threshold": 1});
        match wire {
            Wire::Dubbo => check["custom_health_check"] = json!({"name": "aeraki.health_checkers.dubbo"}),
            Wire::Thrift => check["tcp_health_check"] = json!({}),
        }
        cluster["health_checks"] = json!([check]);
    }
}

const RECOVERY: Duration = Duration::from_secs(20);
const ENOUGH: usize = 100;
