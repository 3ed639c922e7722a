//! Suite `balance`: Envoy and our proxy choose the same endpoint for the same key, whatever ring or table there is.
//!
//! Envoy is asked in HTTP, with the key in a header, and our proxy in Thrift, with the key as the method; both are
//! asked over plain TCP from many addresses. Behind both are the same servers, at the same addresses, since these are
//! what rings and tables are made of.

mod clusters;
mod servers;

use std::{collections::BTreeSet, net::Ipv4Addr, process::Command};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use self::{
    clusters::{Case, cases},
    servers::{KEY, Servers, ask_from, ask_in_http, ask_in_thrift},
};
use super::{
    report::{Answer, Report},
    way::Target,
};
use crate::peers::{
    process::{Process, free_port},
    proxy::{Software, address, listener},
};

pub(crate) fn run(report: &mut Report, targets: &[Target]) -> Result<()> {
    if ![Target::Envoy, Target::Ours].iter().all(|target| targets.contains(target)) {
        return Ok(());
    }
    let servers = Servers::start(SERVERS)?;
    let cases = cases(&servers);
    let [theirs, ours] = [Proxy::start(Software::Envoy, &cases)?, Proxy::start(Software::Ours, &cases)?];
    let keys: Vec<String> = (0..KEYS).map(|key| format!("key-{key}")).collect();
    for (case, (theirs, ours)) in cases.iter().zip(theirs.ports.iter().zip(&ours.ports)) {
        let (promised, seen) = (ask_in_http(theirs.requests, &keys)?, ask_in_thrift(ours.requests, &keys)?);
        compare(report, case.name, keys.iter().cloned(), promised, seen)?;
        let sources = (0..KEYS).map(source);
        let (promised, seen) = (ask_from(sources.clone(), theirs.bytes)?, ask_from(sources.clone(), ours.bytes)?);
        let name = format!("{}, by address", case.name);
        compare(report, &name, sources.map(|source| source.to_string()), promised, seen)?;
    }
    Ok(())
}

fn compare(
    report: &mut Report,
    name: &str,
    keys: impl Iterator<Item = String>,
    promised: Vec<String>,
    seen: Vec<String>,
) -> Result<()> {
    let used: BTreeSet<_> = promised.iter().collect();
    ensure!(used.len() > 1, "{name}: Envoy sends all keys to one server");
    let answers = keys.zip(promised.iter().zip(seen));
    let answers = answers.map(|(name, (promised, seen))| Answer { name, promised: promised.clone(), seen });
    report.check(name, &answers.collect::<Vec<_>>());
    Ok(())
}

/// Returns one of the addresses of this machine that clients come from.
fn source(number: usize) -> Ipv4Addr {
    let [.., high, low] = u32::try_from(number + 1).unwrap_or(1).to_be_bytes();
    Ipv4Addr::new(127, 0, high, low)
}

/// A proxy with two listeners and a cluster for each case.
struct Proxy {
    ports: Vec<Ports>,
    _process: Process,
}

/// Where a cluster is reached.
struct Ports {
    /// By requests with a key each.
    requests: u16,
    /// By whoever connects.
    bytes: u16,
}

impl Proxy {
    fn start(software: Software, cases: &[Case]) -> Result<Self> {
        let ports = cases.iter().map(|_| Ok(Ports { requests: free_port()?, bytes: free_port()? }));
        let ports = ports.collect::<Result<Vec<_>>>()?;
        let filter = |case: &Case| match software {
            Software::Envoy => http(case.name),
            Software::Ours => thrift(case.name),
        };
        let listeners = ports
            .iter()
            .zip(cases)
            .flat_map(|(ports, case)| [listener(ports.requests, filter(case)), listener(ports.bytes, tcp(case.name))]);
        let bootstrap = json!({
            "admin": {"address": address(free_port()?)},
            "static_resources": {
                "listeners": listeners.collect::<Vec<_>>(),
                "clusters": cases.iter().map(|case| &case.cluster).collect::<Vec<_>>(),
            }
        });
        let command = Command::new(software.binary("dev")?);
        let all: Vec<_> = ports.iter().flat_map(|ports| [ports.requests, ports.bytes]).collect();
        let process = software.start(&format!("balance-{software:?}"), command, &bootstrap, &all)?;
        Ok(Self { ports, _process: process })
    }
}

/// Sends all requests to a cluster, by the hash of a header.
fn http(cluster: &str) -> Value {
    let filters = "type.googleapis.com/envoy.extensions.filters";
    let route = json!({"cluster": cluster, "hash_policy": [{"header": {"header_name": KEY}}]});
    let router = json!({"name": "router", "typed_config": {"@type": format!("{filters}.http.router.v3.Router")}});
    let routes = json!([{"match": {"prefix": "/"}, "route": route}]);
    let config = json!({
        "@type": format!("{filters}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "http",
        "http_filters": [router],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    });
    json!({"name": "http", "typed_config": config})
}

/// Sends all calls to a cluster, by the hash of the method.
fn thrift(cluster: &str) -> Value {
    let config = json!({
        "@type": "type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy",
        "protocol": {"name": "thrift", "codec": {"name": "aeraki.meta_protocol.codec.thrift"}},
        "statPrefix": "thrift",
        "metaProtocolFilters": [{"name": "aeraki.meta_protocol.filters.router"}],
        "routeConfig": {"name": "all", "routes": [
            {"name": "all", "match": {}, "route": {"cluster": cluster, "hash_policy": ["method"]}},
        ]},
    });
    json!({"name": "aeraki.meta_protocol_proxy", "typed_config": config})
}

/// Sends all connections to a cluster, by the hash of the client's address.
fn tcp(cluster: &str) -> Value {
    let config = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": format!("tcp {cluster}"),
        "cluster": cluster,
        "hash_policy": [{"source_ip": {}}],
    });
    json!({"name": "tcp", "typed_config": config})
}

const SERVERS: usize = 8;
const KEYS: usize = 1000;
