//! The data plane: a listener for every service, routes and clusters from the control plane.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Weak},
    time::Duration,
};

use aeraki_codec::Registry;
use aeraki_core::{
    observe::Stats,
    proxy::{Proxy, Running},
    stack::Filters,
};
use aeraki_kube::Translation;
use aeraki_route::{
    SharedRules,
    config::{
        self, Address, Cluster, Filter, Listener, MetaProtocolProxy, Node, ProtocolConfig, RouteSource,
        TrafficDirection,
    },
};
use aeraki_xds::{
    client::{Event, Subscriber},
    ratelimit::Clients,
};
use anyhow::{Context, Result};
use tokio::{sync::watch, time::timeout};

use super::{ControlPlane, Messages, limiter, say};
use crate::{
    caller::Group,
    expect::{Expectation, expect},
    wire::Wire,
};

/// A service port of the mesh and where its versions really listen: ports in the YAML are logical.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) wire: Wire,
    pub(crate) host: &'static str,
    pub(crate) versions: BTreeMap<&'static str, SocketAddr>,
    /// What calls pass in the data plane before they are routed.
    pub(crate) filters: Vec<Filter>,
}

/// A running data plane.
pub(crate) struct DataPlane {
    running: Arc<Running>,
    /// The rules of each service.
    rules: BTreeMap<&'static str, Arc<SharedRules>>,
    clusters: watch::Receiver<Clusters>,
    /// The tables that have come, marked as changed whenever one comes.
    accepted: watch::Receiver<BTreeSet<String>>,
}

type Clusters = BTreeMap<String, Cluster>;

impl DataPlane {
    /// Starts one worker with a listener for every port, and subscribes to the routes of each.
    pub(crate) async fn start(control: &ControlPlane, ports: &[Port], messages: &Messages) -> Result<Self> {
        let node = Node::new(NODE, "quickstart");
        let source = Cluster::new(CONTROL_PLANE).with_endpoint(control.address);
        let limiter = Cluster::new(limiter::CLUSTER).with_endpoint(limiter::start().await?);
        let mut config = config::Proxy::new(node.clone()).with_cluster(source.clone()).with_cluster(limiter);
        for port in ports {
            config = config.with_listener(listener(port, control)?);
        }
        let mut published = control.published.clone();
        let first = clusters(&published.borrow_and_update(), ports);
        config.clusters.extend(first.values().cloned());
        let filters = Filters::new().with_rate_limiters(Clients::new(&config.clusters));
        let proxy = Proxy::with_filters(config, &Registry::builtin(), &filters)?;
        let rules = ports.iter().filter_map(|port| Some((port.host, Arc::clone(proxy.rules(port.host).next()?))));
        let rules: BTreeMap<_, _> = rules.collect();

        let (tell, mut accepted) = watch::channel(BTreeSet::new());
        subscribe(&proxy, Subscriber::new(&source, &node)?, tell, messages.clone());
        let tables = proxy.subscriptions().count();
        let running = Arc::new(proxy.start(1)?);
        let (tell, clusters) = watch::channel(first);
        let follower = Follower { ports: ports.to_vec(), rules: rules.values().cloned().collect(), clusters: tell };
        tokio::spawn(follower.follow(published, Arc::downgrade(&running), messages.clone()));
        let all_here = timeout(PATIENCE, accepted.wait_for(|names| names.len() == tables)).await;
        all_here.context("the routes did not come in time")??;
        Ok(Self { running, rules, clusters, accepted })
    }

    /// Returns where calls of a service go.
    pub(crate) fn address(&self, host: &str) -> Option<SocketAddr> {
        self.running.address(host)
    }

    /// Returns what the data plane counts.
    pub(crate) fn stats(&self) -> &Stats {
        self.running.stats()
    }

    /// Works out what calls of `group` to the service `host` should see by what is in force now.
    pub(crate) fn expect(&self, host: &str, group: &Group) -> Expectation {
        let rules = self.rules.get(host).map(|rules| rules.load());
        rules.map_or_else(Expectation::default, |rules| expect(group, &rules, &self.clusters.borrow()))
    }

    /// Returns the name of the first route that is in force for a service.
    pub(crate) fn first_route(&self, host: &str) -> Option<Arc<str>> {
        let rules = self.rules.get(host)?.load();
        Some(Arc::clone(rules.table()?.routes().first()?.name()))
    }

    /// Waits until something else is in force.
    pub(crate) async fn changed(&mut self) {
        tokio::select! {
            // neither ends before the data plane does
            _ = self.accepted.changed() => {}
            _ = self.clusters.changed() => {}
        }
    }

    /// Finishes what is under way and ends.
    pub(crate) async fn shutdown(self) {
        if let Ok(running) = Arc::try_unwrap(self.running) {
            running.shutdown(Duration::from_secs(2)).await;
        }
    }
}

fn listener(port: &Port, control: &ControlPlane) -> Result<Listener> {
    let routes = control.routes_of(port.host).with_context(|| format!("the mesh has no service {:?}", port.host))?;
    let protocol = ProtocolConfig::new(port.wire.protocol().name());
    let source = RouteSource::dynamic(&routes, CONTROL_PLANE);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let service = MetaProtocolProxy::new(port.host, protocol, source);
    let service = port.filters.iter().cloned().fold(service, MetaProtocolProxy::with_filter);
    Ok(Listener::of(port.host, address, service).with_direction(TrafficDirection::Outbound))
}

/// Keeps every table of `proxy` at what the control plane says; `accepted` gets the names of those that have come.
fn subscribe(proxy: &Proxy, subscriber: Subscriber, accepted: watch::Sender<BTreeSet<String>>, messages: Messages) {
    let subscriber = Arc::new(subscriber.with_observer(move |event| {
        if let Event::Accepted { name, .. } = event {
            accepted.send_modify(|names| _ = names.insert((*name).to_owned()));
        }
        tell(event, &messages);
    }));
    for (subscription, rules) in proxy.subscriptions() {
        let (subscriber, rules) = (Arc::clone(&subscriber), Arc::clone(rules));
        let name = subscription.route_config_name.clone();
        tokio::spawn(async move { subscriber.drive(&name, rules).await });
    }
}

fn tell(event: &Event<'_>, messages: &Messages) {
    match event {
        Event::Accepted { name, version } => say(messages, format!("routes {name} {version} are in force")),
        Event::Rejected { name, version, reason } => {
            say(messages, format!("routes {name} {version} were refused, the last good ones stay: {reason}"));
        }
        Event::Empty { name } => say(messages, format!("routes {name} are gone, the last good ones stay")),
        Event::Disconnected { reason, .. } => {
            say(messages, format!("the control plane is away, the last good routes stay: {reason}"));
        }
        _ => {}
    }
}

/// Keeps the clusters of a proxy at what the control plane says.
struct Follower {
    ports: Vec<Port>,
    rules: Vec<Arc<SharedRules>>,
    clusters: watch::Sender<Clusters>,
}

impl Follower {
    async fn follow(self, mut published: watch::Receiver<Translation>, running: Weak<Running>, messages: Messages) {
        while published.changed().await.is_ok() {
            let mut next = clusters(&published.borrow_and_update(), &self.ports);
            self.keep_in_use(&mut next);
            let Some(running) = running.upgrade() else { return };
            match update(&running, &next) {
                Ok(()) => _ = self.clusters.send_replace(next),
                Err(error) => say(&messages, format!("{error}; the last good clusters stay")),
            }
        }
    }

    /// Keeps what routes in force name until the next change, because new routes come a moment later than new clusters.
    fn keep_in_use(&self, next: &mut Clusters) {
        let last = self.clusters.borrow();
        for rules in &self.rules {
            let rules = rules.load();
            let routes = rules.table().into_iter().flat_map(|table| table.routes());
            for (name, _) in routes.flat_map(|route| route.clusters()) {
                if let Some((name, cluster)) = last.get_key_value(&**name) {
                    next.entry(name.clone()).or_insert_with(|| cluster.clone());
                }
            }
        }
    }
}

fn update(running: &Running, clusters: &Clusters) -> Result<(), config::ConfigError> {
    let clusters: Vec<Cluster> = clusters.values().cloned().collect();
    running.update_clusters(&clusters)
}

/// Lists the clusters of a translation, each endpoint with the address where its version really listens.
fn clusters(translation: &Translation, ports: &[Port]) -> Clusters {
    let mut clusters = translation.clusters.clone();
    for (name, cluster) in &mut clusters {
        let Some(port) = ports.iter().find(|port| name.ends_with(&format!("|{}", port.host))) else { continue };
        for endpoint in &mut cluster.endpoints {
            let real = endpoint.metadata.get("version").and_then(|version| port.versions.get(version.as_str()));
            if let Some(address) = real {
                endpoint.address = Address::from(*address);
            }
        }
    }
    clusters
}

const PATIENCE: Duration = Duration::from_secs(5);
const CONTROL_PLANE: &str = "control-plane";
/// The id of the node that the data plane is on.
pub(crate) const NODE: &str = "sidecar~quickstart";
