//! Suite `balance`: Envoy and our proxy choose the same endpoint for the same key, whatever ring or table there is.
//!
//! Envoy is asked in HTTP, with the key in a header, and our proxy in Thrift, with the key as the method. Behind both are
//! the same servers, at the same addresses, since these are what rings and tables are made of.

mod clusters;
mod servers;

use std::{collections::BTreeSet, process::Command};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use self::{
    clusters::{Case, cases},
    servers::{KEY, Servers, ask_in_http, ask_in_thrift},
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
        let (theirs, ours) = (ask_in_http(*theirs, &keys)?, ask_in_thrift(*ours, &keys)?);
        let used: BTreeSet<_> = theirs.iter().collect();
        ensure!(used.len() > 1, "{}: Envoy sends all keys to one server", case.name);
        let answers = keys.iter().zip(theirs.into_iter().zip(ours));
        let answers = answers.map(|(key, (promised, seen))| Answer { name: key.clone(), promised, seen });
        report.check(case.name, &answers.collect::<Vec<_>>());
    }
    Ok(())
}

/// A proxy with a listener and a cluster for each case.
struct Proxy {
    ports: Vec<u16>,
    _process: Process,
}

impl Proxy {
    fn start(software: Software, cases: &[Case]) -> Result<Self> {
        let ports = cases.iter().map(|_| free_port()).collect::<Result<Vec<_>>>()?;
        let filter = |case: &Case| match software {
            Software::Envoy => http(case.name),
            Software::Ours => thrift(case.name),
        };
        let listeners = ports.iter().zip(cases).map(|(port, case)| listener(*port, filter(case)));
        let bootstrap = json!({
            "admin": {"address": address(free_port()?)},
            "static_resources": {
                "listeners": listeners.collect::<Vec<_>>(),
                "clusters": cases.iter().map(|case| &case.cluster).collect::<Vec<_>>(),
            }
        });
        let command = Command::new(software.binary("dev")?);
        let process = software.start(&format!("balance-{software:?}"), command, &bootstrap, &ports)?;
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

const SERVERS: usize = 8;
const KEYS: usize = 1000;
