//! Our control plane and our proxy, with routes from a MetaRouter.

use std::{
    fmt::Write,
    fs, mem,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::{
    install::{self, peers_dir},
    process::{Process, free_port},
};

/// One service behind one listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service<'a> {
    /// `dubbo` or `thrift`.
    pub(crate) protocol: &'a str,
    /// What the routes are for: a Dubbo interface, or nothing that matters.
    pub(crate) interface: &'a str,
    /// The `routes` of the MetaRouter, in YAML.
    pub(crate) routes: &'a str,
    /// The ports of the servers on 127.0.0.1.
    pub(crate) servers: &'a [u16],
}

/// Both programs; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Mesh {
    name: String,
    control: Process,
    proxy: Process,
    /// How many processes of the proxy there have been.
    proxies: u32,
    binary: PathBuf,
    folder: PathBuf,
    bootstrap: Value,
    /// The port to call.
    pub(crate) entrance: u16,
    pub(crate) admin: u16,
}

impl Mesh {
    /// Starts both, built in the cargo profile, and waits until the routes are there.
    pub(crate) fn start(name: &str, profile: &str, service: Service<'_>) -> Result<Self> {
        Self::start_changed(name, profile, service, |_| {})
    }

    /// Starts both, the proxy with what `change` makes of its `static_resources`: the listener, and as second cluster
    /// the servers.
    pub(crate) fn start_changed(
        name: &str,
        profile: &str,
        service: Service<'_>,
        change: impl FnOnce(&mut Value),
    ) -> Result<Self> {
        let folder = peers_dir().join("run").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(folder.join("mesh"))?;
        fs::write(folder.join("mesh/service.yaml"), service.objects()?)?;
        let (entrance, admin, xds) = (free_port()?, free_port()?, free_port()?);
        let mut command = Command::new(install::cargo("aeraki", profile)?);
        command.args(["--xds-addr", &format!("127.0.0.1:{xds}"), "--config-dir"]).arg(folder.join("mesh"));
        let mut control = Process::start(&format!("{name}-control-plane"), &mut command)?;
        control.wait_listening(xds, START_LIMIT)?;
        let mut bootstrap = service.bootstrap(entrance, admin, xds);
        change(&mut bootstrap["static_resources"]);
        let (name, binary) = (name.to_owned(), install::cargo("aeraki-proxy", profile)?);
        let mut proxy = start_proxy(&format!("{name}-proxy"), &binary, &folder, &bootstrap)?;
        proxy.wait_listening(entrance, START_LIMIT)?;
        Ok(Self { name, control, proxy, proxies: 1, binary, folder, bootstrap, entrance, admin })
    }

    /// Has the proxy send requests to these servers from now on, by a bootstrap that it reads again.
    pub(crate) fn serve_by(&mut self, servers: &[u16]) -> Result<()> {
        self.bootstrap["static_resources"]["clusters"][1] = cluster(&cluster_name(), servers);
        write_bootstrap(&self.folder, &self.bootstrap)?;
        self.proxy.signal("HUP")
    }

    /// Has another process of the proxy take over, and waits until the one before has ended.
    pub(crate) fn renew(&mut self) -> Result<()> {
        self.proxies += 1;
        let name = format!("{}-proxy-{}", self.name, self.proxies);
        let next = start_proxy(&name, &self.binary, &self.folder, &self.bootstrap)?;
        let before = mem::replace(&mut self.proxy, next);
        before.end_of_output(START_LIMIT)?;
        before.succeeded()
    }

    /// Fails unless both programs run.
    pub(crate) fn runs(&mut self) -> Result<()> {
        for program in [&mut self.control, &mut self.proxy] {
            if let Some(status) = program.ended()? {
                bail!("{} ended with {status}{}", program.name(), program.log_tail());
            }
        }
        Ok(())
    }
}

impl Service<'_> {
    fn objects(self) -> Result<String> {
        let Self { protocol, interface, routes, .. } = self;
        let mut text = String::new();
        write!(
            text,
            "apiVersion: networking.istio.io/v1beta1\nkind: ServiceEntry\n\
             metadata: {{name: service, namespace: demo, annotations: {{interface: {interface}}}}}\n\
             spec:\n  hosts: [{HOST}]\n  ports: [{{number: {PORT}, name: tcp-metaprotocol-{protocol}-service, protocol: TCP}}]\n\
             ---\napiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n\
             metadata: {{name: service, namespace: demo}}\nspec:\n  hosts: [{HOST}]\n  routes:\n"
        )?;
        routes.lines().try_for_each(|line| writeln!(text, "  {line}"))?;
        Ok(text)
    }

    fn bootstrap(self, entrance: u16, admin: u16, xds: u16) -> Value {
        let Self { protocol, servers, .. } = self;
        let control = json!({"envoy_grpc": {"cluster_name": "control"}});
        let source = json!({"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": control});
        let proxy = json!({
            "@type": "type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy",
            "protocol": {"name": protocol, "codec": {"name": format!("aeraki.meta_protocol.codec.{protocol}")}},
            "statPrefix": protocol,
            "metaProtocolFilters": [{"name": "aeraki.meta_protocol.filters.router"}],
            "rds": {
                "route_config_name": format!("{HOST}_{PORT}"),
                "config_source": {"resource_api_version": "V3", "api_config_source": source},
            },
        });
        let filter = json!({"name": "aeraki.meta_protocol_proxy", "typed_config": proxy});
        let listener = json!({
            "name": "in", "address": address(entrance), "filter_chains": [{"filters": [filter]}],
        });
        let clusters = [cluster("control", &[xds]), cluster(&cluster_name(), servers)];
        json!({
            "node": {"id": "mesh", "cluster": "mesh"},
            "admin": {"address": address(admin)},
            "static_resources": {"listeners": [listener], "clusters": clusters},
        })
    }
}

fn start_proxy(name: &str, binary: &Path, folder: &Path, bootstrap: &Value) -> Result<Process> {
    let mut command = Command::new(binary);
    command.args(["--workers", "1", "--hot-restart-path"]).arg(folder.join("proxy.sock"));
    Process::start(name, command.arg("-c").arg(write_bootstrap(folder, bootstrap)?))
}

fn write_bootstrap(folder: &Path, bootstrap: &Value) -> Result<PathBuf> {
    let file = folder.join("proxy.yaml");
    fs::write(&file, serde_json::to_vec_pretty(bootstrap)?)?;
    Ok(file)
}

/// The cluster of the servers, as the control plane calls it.
fn cluster_name() -> String {
    format!("outbound|{PORT}||{HOST}")
}

fn cluster(name: &str, ports: &[u16]) -> Value {
    let endpoint = |port: &u16| json!({"endpoint": {"address": address(*port)}});
    let endpoints: Vec<_> = ports.iter().map(endpoint).collect();
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    })
}

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

/// The host of a destination in `routes`.
pub(crate) const HOST: &str = "service.example";
const PORT: u16 = 20880;
const START_LIMIT: Duration = Duration::from_secs(60);
