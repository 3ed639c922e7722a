//! The data plane: a listener for every service, routes from the control plane, clusters from what is in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Weak},
    time::Duration,
};

use aeraki_codec::Registry;
use aeraki_core::proxy::{Proxy, Running};
use aeraki_route::config::{self, Address, Cluster, Listener, Node, ProtocolConfig, RouteSource, TrafficDirection};
use aeraki_xds::client::{Event, Subscriber};
use anyhow::{Context, Result};
use tokio::{sync::watch, time::timeout};

use super::{ControlPlane, InForce};
use crate::wire::Wire;

/// A service port of the mesh and where its versions really listen: ports in the YAML are logical.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) wire: Wire,
    pub(crate) host: &'static str,
    pub(crate) versions: BTreeMap<&'static str, SocketAddr>,
}

/// A running data plane.
pub(crate) struct DataPlane {
    running: Arc<Running>,
}

impl DataPlane {
    /// Starts one worker with a listener for every port, and subscribes to the routes of each.
    pub(crate) async fn start(control: &ControlPlane, ports: &[Port]) -> Result<Self> {
        let in_force = control.in_force.borrow().clone();
        let node = Node::new("sidecar~quickstart", "quickstart");
        let mut config = config::Proxy::new(node.clone());
        config = config.with_cluster(Cluster::new(CONTROL_PLANE).with_endpoint(control.address));
        for port in ports {
            config = config.with_listener(listener(port, &in_force)?);
        }
        for cluster in clusters(&in_force, ports) {
            config = config.with_cluster(cluster);
        }

        let proxy = Proxy::new(config, &Registry::builtin())?;
        let source = Cluster::new(CONTROL_PLANE).with_endpoint(control.address);
        let (accepted, mut warm) = watch::channel(BTreeSet::new());
        let subscriber = Subscriber::new(&source, &node)?.with_observer(move |event| {
            if let Event::Accepted { name, .. } = event {
                accepted.send_modify(|names: &mut BTreeSet<String>| _ = names.insert((*name).to_owned()));
            }
        });
        let subscriber = Arc::new(subscriber);
        for (subscription, rules) in proxy.subscriptions() {
            let (subscriber, rules) = (Arc::clone(&subscriber), Arc::clone(rules));
            let name = subscription.route_config_name.clone();
            tokio::spawn(async move { subscriber.drive(&name, rules).await });
        }
        let tables = proxy.subscriptions().count();
        let running = Arc::new(proxy.start(1)?);
        tokio::spawn(follow(control.in_force.clone(), Arc::downgrade(&running), ports.to_vec()));
        let all_here = timeout(PATIENCE, warm.wait_for(|names| names.len() == tables)).await;
        all_here.context("the routes did not come in time")??;
        Ok(Self { running })
    }

    /// Returns where calls of a service go.
    pub(crate) fn address(&self, host: &str) -> Option<SocketAddr> {
        self.running.address(host)
    }

    /// Finishes what is under way and ends.
    pub(crate) async fn shutdown(self) {
        if let Ok(running) = Arc::try_unwrap(self.running) {
            running.shutdown(Duration::from_secs(2)).await;
        }
    }
}

fn listener(port: &Port, in_force: &InForce) -> Result<Listener> {
    let routes = in_force.routes(port.host).with_context(|| format!("the mesh has no service {:?}", port.host))?;
    let protocol = ProtocolConfig::new(port.wire.protocol().name());
    let source = RouteSource::dynamic(&routes.name, CONTROL_PLANE);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(Listener::new(port.host, address, protocol, source).with_direction(TrafficDirection::Outbound))
}

/// Lists the clusters that are in force, each endpoint with the address where its version really listens.
fn clusters(in_force: &InForce, ports: &[Port]) -> Vec<Cluster> {
    let mut clusters: Vec<Cluster> = in_force.clusters().values().cloned().collect();
    for cluster in &mut clusters {
        let Some(port) = ports.iter().find(|port| cluster.name.ends_with(&format!("|{}", port.host))) else { continue };
        for endpoint in &mut cluster.endpoints {
            let real = endpoint.metadata.get("version").and_then(|version| port.versions.get(version.as_str()));
            if let Some(address) = real {
                endpoint.address = Address::from(*address);
            }
        }
    }
    clusters
}

/// Keeps the clusters of the proxy at what is in force.
async fn follow(mut in_force: watch::Receiver<InForce>, running: Weak<Running>, ports: Vec<Port>) {
    while in_force.changed().await.is_ok() {
        let Some(running) = running.upgrade() else { return };
        let now = clusters(&in_force.borrow_and_update(), &ports);
        if let Err(error) = running.update_clusters(&now) {
            eprintln!("error: {error}; the last good clusters stay");
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
const CONTROL_PLANE: &str = "control-plane";
