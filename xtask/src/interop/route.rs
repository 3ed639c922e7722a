//! The ways from a client to a server: directly, through Envoy, through our proxy.

use std::{fmt, fs, process::Command, str::FromStr, time::Duration};

use anyhow::{Context, Error, Result, bail};
use serde_json::{Value, json};

use super::{
    install::{self, peers_dir, workspace},
    process::{Process, free_port},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Direct,
    Envoy,
    Ours,
}

impl Target {
    pub(crate) const ALL: [Self; 3] = [Self::Direct, Self::Envoy, Self::Ours];
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Envoy => "envoy",
            Self::Ours => "ours",
        })
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|target| target.to_string() == name).with_context(|| format!("no target {name:?}"))
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

/// One way, open until it is dropped: a listening port for each backend.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) target: Target,
    pub(crate) ports: Vec<u16>,
    _proxy: Option<Process>,
}

impl Way {
    /// Opens the way of `target` to `backends`, ports of 127.0.0.1.
    pub(crate) fn open(name: &str, target: Target, routes: Routes<'_>, backends: &[u16]) -> Result<Self> {
        if target == Target::Direct {
            return Ok(Self { target, ports: backends.to_vec(), _proxy: None });
        }
        let ports = backends.iter().map(|_| free_port()).collect::<Result<Vec<_>>>()?;
        let pairs = || ports.iter().copied().zip(backends.iter().copied());
        let filter = |cluster: &str| match target {
            Target::Envoy => envoy_filter(routes, cluster),
            _ => our_filter(routes, cluster),
        };
        let config = json!({
            "admin": {"address": address(free_port()?)},
            "static_resources": {
                "listeners": pairs().map(|(port, to)| listener(port, filter(&cluster_name(to)))).collect::<Vec<_>>(),
                "clusters": backends.iter().map(|&to| cluster(to)).collect::<Vec<_>>(),
            }
        });
        let proxy = start(&format!("{name}-{target}"), target, &config, &ports)?;
        Ok(Self { target, ports, _proxy: Some(proxy) })
    }

    /// Opens the ways of all `targets`.
    pub(crate) fn open_all(name: &str, targets: &[Target], routes: Routes<'_>, backends: &[u16]) -> Result<Vec<Self>> {
        targets.iter().map(|&target| Self::open(name, target, routes, backends)).collect()
    }
}

/// Starts the proxy of `target` on `config` and waits until it listens on all `ports`.
fn start(name: &str, target: Target, config: &Value, ports: &[u16]) -> Result<Process> {
    let file = peers_dir().join("run").join(format!("{name}.yaml"));
    fs::create_dir_all(peers_dir().join("run"))?;
    fs::write(&file, serde_json::to_vec_pretty(config)?)?;
    let mut command = match target {
        Target::Direct => bail!("there is no proxy on the direct way"),
        Target::Envoy => {
            let mut command = Command::new(install::envoy()?);
            command.args(["--disable-hot-restart", "--concurrency", "1", "-l", "warn", "-c"]);
            command
        }
        Target::Ours => {
            let mut command = Command::new(our_binary()?);
            command.args(["--workers", "1", "-c"]);
            command
        }
    };
    let mut proxy = Process::start(name, command.arg(file))?;
    for &port in ports {
        proxy.wait_listening(port, Duration::from_secs(20))?;
    }
    Ok(proxy)
}

/// The proxy under test: `AERAKI_PROXY`, else built from this workspace.
fn our_binary() -> Result<std::path::PathBuf> {
    if let Some(path) = std::env::var_os("AERAKI_PROXY") {
        return Ok(path.into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "aeraki-proxy", "--message-format", "json"])
        .current_dir(workspace())
        .output()?;
    if !built.status.success() {
        bail!("aeraki-proxy does not build: {}", String::from_utf8_lossy(&built.stderr));
    }
    let artifacts = String::from_utf8(built.stdout)?;
    let executable = artifacts.lines().rev().find_map(|line| {
        let artifact: Value = serde_json::from_str(line).ok()?;
        artifact["executable"].as_str().map(Into::into)
    });
    executable.context("the build of aeraki-proxy made no executable")
}

fn listener(port: u16, filter: Value) -> Value {
    json!({"name": format!("listener-{port}"), "address": address(port), "filter_chains": [{"filters": [filter]}]})
}

fn cluster_name(port: u16) -> String {
    format!("cluster-{port}")
}

fn cluster(port: u16) -> Value {
    let name = cluster_name(port);
    let endpoint = json!({"endpoint": {"address": address(port)}});
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    })
}

fn address(port: u16) -> Value {
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

fn our_filter(routes: Routes<'_>, cluster: &str) -> Value {
    let rule = |key: &str, kind: &str, value: &str| {
        let condition = json!({"name": key, kind: value});
        json!({"name": value, "match": {"metadata": [condition]}, "route": {"cluster": cluster}})
    };
    let (protocol, rules): (_, Vec<_>) = match routes {
        Routes::Dubbo(interfaces) => {
            ("dubbo", interfaces.iter().map(|name| rule("interface", "exact_match", name)).collect())
        }
        Routes::Thrift { methods, services } => {
            let services = services.iter().map(|name| rule("method", "prefix_match", &format!("{name}:")));
            ("thrift", services.chain(methods.iter().map(|name| rule("method", "exact_match", name))).collect())
        }
    };
    let config = json!({
        "@type": "type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy",
        "protocol": {"name": protocol, "codec": {"name": format!("aeraki.meta_protocol.codec.{protocol}")}},
        "statPrefix": protocol,
        "metaProtocolFilters": [{"name": "aeraki.meta_protocol.filters.router"}],
        "routeConfig": {"name": "routes", "routes": rules},
    });
    json!({"name": "aeraki.meta_protocol_proxy", "typed_config": config})
}
