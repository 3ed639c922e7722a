//! Stock Envoy and our proxy, each configured for the same listeners, routes and backends.

use std::{env, fs, path::PathBuf, process::Command, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    install::{self, peers_dir},
    process::{Process, free_port},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Software {
    Envoy,
    Ours,
}

impl Software {
    /// The program: ours is `AERAKI_PROXY`, else built from this workspace in the cargo profile.
    pub(crate) fn binary(self, profile: &str) -> Result<PathBuf> {
        match self {
            Self::Envoy => install::envoy(),
            Self::Ours => env::var_os("AERAKI_PROXY")
                .map_or_else(|| install::cargo("aeraki-proxy", profile), |path| Ok(path.into())),
        }
    }

    /// Starts the proxy by `command`, which runs its binary, with one worker, and waits until it listens on all
    /// `ports`.
    pub(crate) fn start(self, name: &str, mut command: Command, bootstrap: &Value, ports: &[u16]) -> Result<Process> {
        let file = peers_dir().join("run").join(format!("{name}.yaml"));
        fs::create_dir_all(peers_dir().join("run"))?;
        fs::write(&file, serde_json::to_vec_pretty(bootstrap)?)?;
        command.args(match self {
            Self::Envoy => ["--disable-hot-restart", "--concurrency", "1", "-l", "warn", "-c"].as_slice(),
            Self::Ours => &["--workers", "1", "-c"],
        });
        let mut proxy = Process::start(name, command.arg(file))?;
        for port in ports {
            proxy.wait_listening(*port, START_LIMIT)?;
        }
        Ok(proxy)
    }
}

/// What the proxies let through; all else has no route.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Routes<'a> {
    /// Dubbo interfaces, every method of each.
    Dubbo(&'a [&'a str]),
    /// Thrift methods, and services of a multiplexed server.
    Thrift { methods: &'a [&'a str], services: &'a [&'a str] },
}

/// A proxy with the same routes on every listener, each with a cluster of one backend, on ports of 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config<'a> {
    pub(crate) software: Software,
    pub(crate) routes: Routes<'a>,
    /// The port to listen on and the ports of the servers behind it.
    pub(crate) listeners: &'a [(u16, &'a [u16])],
    /// Whether the clusters are declared to work on several requests of a connection at a time (ours only).
    pub(crate) concurrent: bool,
    /// What is asked before a request passes (ours only).
    pub(crate) rate_limit: Option<RateLimit<'a>>,
    /// Whether a request may name the reason for which the proxy fails it (ours only): a Dubbo call by the attachment
    /// `fail`, a Thrift call by its method, `fail_<reason>`.
    pub(crate) fails_on_request: bool,
}

/// A rate limit service that is asked, by the name of the method, about one Thrift method.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimit<'a> {
    /// The port of the service.
    pub(crate) port: u16,
    pub(crate) domain: &'a str,
    pub(crate) method: &'a str,
}

impl Config<'_> {
    /// Starts the proxy by `command`, which runs its binary, with one worker, and waits until it listens.
    pub(crate) fn start(self, name: &str, command: Command) -> Result<Process> {
        self.start_changed(name, command, |_| {})
    }

    /// Starts the proxy with what `change` makes of its bootstrap.
    pub(crate) fn start_changed(
        self,
        name: &str,
        command: Command,
        change: impl FnOnce(&mut Value),
    ) -> Result<Process> {
        let mut bootstrap = self.render()?;
        change(&mut bootstrap);
        let ports: Vec<u16> = self.listeners.iter().map(|(port, _)| *port).collect();
        self.software.start(name, command, &bootstrap, &ports)
    }

    fn render(self) -> Result<Value> {
        let filter = |cluster: &str| match self.software {
            Software::Envoy => envoy_filter(self.routes, cluster),
            Software::Ours => our_filter(self, cluster),
        };
        let listeners = self.listeners.iter().map(|(port, servers)| listener(*port, filter(&cluster_name(servers))));
        let backends = self.listeners.iter().map(|(_, servers)| cluster(servers, self.concurrent));
        let clusters = backends.chain(self.rate_limit.map(|limit| cluster(&[limit.port], false)));
        Ok(json!({
            "admin": {"address": address(free_port()?)},
            "static_resources": {
                "listeners": listeners.collect::<Vec<_>>(),
                "clusters": clusters.collect::<Vec<_>>(),
            }
        }))
    }
}

/// A listener on 127.0.0.1 with one filter.
pub(crate) fn listener(port: u16, filter: Value) -> Value {
    json!({"name": format!("listener-{port}"), "address": address(port), "filter_chains": [{"filters": [filter]}]})
}

fn cluster_name(servers: &[u16]) -> String {
    let ports: Vec<_> = servers.iter().map(u16::to_string).collect();
    format!("cluster-{}", ports.join("-"))
}

fn cluster(servers: &[u16], concurrent: bool) -> Value {
    let name = cluster_name(servers);
    let endpoint = |port: &u16| json!({"endpoint": {"address": address(*port)}});
    let endpoints: Vec<_> = servers.iter().map(endpoint).collect();
    let mut cluster = json!({
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    });
    if concurrent {
        cluster["metadata"] = json!({"filter_metadata": {"aeraki": {"concurrent": true}}});
    }
    cluster
}

/// A port of 127.0.0.1.
pub(crate) fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn envoy_filter(routes: Routes<'_>, cluster: &str) -> Value {
    let typed = |name: &str, url: &str, mut config: Value| {
        config["@type"] = format!("type.googleapis.com/envoy.extensions.filters.network.{url}").into();
        config["stat_prefix"] = name.into();
        json!({"name": name, "typed_config": config})
    };
    match routes {
        Routes::Dubbo(interfaces) => {
            let all =
                json!({"match": {"method": {"name": {"safe_regex": {"regex": ".*"}}}}, "route": {"cluster": cluster}});
            let config = |name: &&str| json!({"name": name, "interface": name, "routes": [all]});
            let configs: Vec<_> = interfaces.iter().map(config).collect();
            typed("dubbo", "dubbo_proxy.v3.DubboProxy", json!({"route_config": configs}))
        }
        Routes::Thrift { methods, services } => {
            let by = |kind: &str, name: &str| json!({"match": {kind: name}, "route": {"cluster": cluster}});
            let services = services.iter().map(|name| by("service_name", name));
            let routes: Vec<_> = services.chain(methods.iter().map(|name| by("method_name", name))).collect();
            let config = json!({"route_config": {"name": "routes", "routes": routes}});
            typed("thrift", "thrift_proxy.v3.ThriftProxy", config)
        }
    }
}

fn our_filter(config: Config<'_>, cluster: &str) -> Value {
    let rule = |key: &str, kind: &str, value: &str| {
        let condition = json!({"name": key, kind: value});
        json!({"name": value, "match": {"metadata": [condition]}, "route": {"cluster": cluster}})
    };
    let (protocol, rules): (_, Vec<_>) = match config.routes {
        Routes::Dubbo(interfaces) => {
            ("dubbo", interfaces.iter().map(|name| rule("interface", "exact_match", name)).collect())
        }
        Routes::Thrift { methods, services } => {
            let services = services.iter().map(|name| rule("method", "prefix_match", &format!("{name}:")));
            ("thrift", services.chain(methods.iter().map(|name| rule("method", "exact_match", name))).collect())
        }
    };
    let router = json!({"name": "aeraki.meta_protocol.filters.router"});
    let limit = config.rate_limit.map(rate_limit_filter);
    let faults = if config.fails_on_request { faults(config.routes) } else { Vec::new() };
    let filters: Vec<_> = limit.into_iter().chain(faults).chain([router]).collect();
    let config = json!({
        "@type": "type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy",
        "protocol": {"name": protocol, "codec": {"name": format!("aeraki.meta_protocol.codec.{protocol}")}},
        "statPrefix": protocol,
        "metaProtocolFilters": filters,
        "routeConfig": {"name": "routes", "routes": rules},
    });
    json!({"name": "aeraki.meta_protocol_proxy", "typed_config": config})
}

/// A request is refused when the service cannot be asked, which has more time than the 20 ms that it has by default.
fn rate_limit_filter(limit: RateLimit<'_>) -> Value {
    let config = json!({
        "@type": "type.googleapis.com/aeraki.meta_protocol_proxy.filters.ratelimit.v1alpha.RateLimit",
        "match": {"metadata": [{"name": "method", "exact_match": limit.method}]},
        "domain": limit.domain,
        "timeout": "5s",
        "failure_mode_deny": true,
        "descriptors": [{"property": "method", "descriptor_key": "method"}],
        "rate_limit_service": {"grpc_service": {"envoy_grpc": {"cluster_name": cluster_name(&[limit.port])}}},
    });
    json!({"name": "aeraki.meta_protocol.filters.ratelimit", "config": config})
}

/// A filter for every reason that a proxy may have to answer itself.
fn faults(routes: Routes<'_>) -> Vec<Value> {
    let fault = |reason: &&str| {
        let (key, value) = match routes {
            Routes::Dubbo(_) => ("fail", (*reason).to_owned()),
            Routes::Thrift { .. } => ("method", format!("fail_{reason}")),
        };
        let config = json!({
            "@type": "type.googleapis.com/aeraki.meta_protocol_proxy.filters.fault.v1alpha.Fault",
            "match": {"metadata": [{"name": key, "exact_match": value}]},
            "abort": {"reason": reason},
        });
        json!({"name": "aeraki.meta_protocol.filters.fault", "config": config})
    };
    REASONS.iter().map(fault).collect()
}

/// As `aeraki_codec::Reason` names them.
const REASONS: [&str; 14] = [
    "route_not_found",
    "cluster_not_found",
    "no_healthy_upstream",
    "connect_failure",
    "upstream_closed",
    "overflow",
    "timeout",
    "over_limit",
    "denied",
    "fault",
    "shed",
    "bad_request",
    "bad_response",
    "unspecified",
];

/// Long enough for a start under cachegrind.
const START_LIMIT: Duration = Duration::from_secs(120);
