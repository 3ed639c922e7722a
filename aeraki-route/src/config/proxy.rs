//! A whole proxy: what a bootstrap gives.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    cluster::{self, Cluster},
    endpoint::Locality,
    error::ConfigError,
    filter_chain::NetworkFilter,
    listener::{self, Listener},
    meta_protocol_proxy::{RouteSource, RouteSubscription},
    socket_address::SocketAddress,
};

/// Everything that a proxy starts with; the parts of `envoy.config.bootstrap.v3.Bootstrap` that mean something here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Proxy {
    /// Who the proxy is.
    pub node: Node,
    /// Where the admin interface listens; none: nowhere.
    pub admin: Option<SocketAddr>,
    /// Connections of all listeners together, beyond which new ones are closed; none: any number. Not zero.
    pub max_connections: Option<u32>,
    /// Its listeners.
    pub listeners: Vec<Listener>,
    /// Its clusters.
    pub clusters: Vec<Cluster>,
    /// The cluster of which the proxy itself is an endpoint, so that others can tell how much of their load stays in
    /// its zone; none: zones do not count. Envoy's `cluster_manager.local_cluster_name`.
    pub local_cluster: Option<String>,
}

impl Proxy {
    /// Creates a proxy without listeners and clusters.
    pub fn new(node: Node) -> Self {
        Self { node, ..Self::default() }
    }

    /// Sets where the admin interface listens.
    #[must_use]
    pub fn with_admin(mut self, address: SocketAddr) -> Self {
        self.admin = Some(address);
        self
    }

    /// Sets how many connections all listeners have together.
    #[must_use]
    pub fn with_max_connections(mut self, connections: u32) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Adds a listener.
    #[must_use]
    pub fn with_listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Adds a cluster.
    #[must_use]
    pub fn with_cluster(mut self, cluster: Cluster) -> Self {
        self.clusters.push(cluster);
        self
    }

    /// Sets the cluster of which the proxy itself is an endpoint.
    #[must_use]
    pub fn with_local_cluster(mut self, name: impl Into<String>) -> Self {
        self.local_cluster = Some(name.into());
        self
    }

    /// Checks every listener and cluster, and that they fit together.
    ///
    /// # Errors
    ///
    /// The first fault: one of a single object, two listeners or clusters of one name, two listeners, or one and the
    /// admin interface, on one address, or a route, mirror or subscription that names a cluster that is not there, or
    /// that the proxy is said to belong to.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.max_connections == Some(0) {
            return Err(ConfigError::new("proxy", "maxConnections", "must not be zero; leave it out for no limit"));
        }
        self.clusters.iter().try_for_each(Cluster::validate)?;
        self.listeners.iter().try_for_each(Listener::validate)?;
        check_unique(cluster::KIND, self.clusters.iter().map(|cluster| &*cluster.name))?;
        check_unique(listener::KIND, self.listeners.iter().map(|listener| &*listener.name))?;
        self.check_addresses()?;
        self.check_tables()?;
        let clusters: HashSet<_> = self.clusters.iter().map(|cluster| &*cluster.name).collect();
        if let Some(unknown) = self.local_cluster.as_deref().filter(|local| !clusters.contains(local)) {
            return Err(ConfigError::new("proxy", "localCluster", format!("there is no cluster {unknown:?}")));
        }
        self.listeners.iter().try_for_each(|listener| listener.check_clusters(&|name| clusters.contains(name)))
    }

    /// Refuses a table that is asked for in two places: listeners share a table by its name.
    fn check_tables(&self) -> Result<(), ConfigError> {
        let mut known = HashMap::new();
        for listener in &self.listeners {
            for (path, chain) in listener.chains() {
                let NetworkFilter::MetaProtocolProxy(service) = &chain.filter else { continue };
                let RouteSource::Dynamic(RouteSubscription { route_config_name: name, origin, .. }) = &service.routes
                else {
                    continue;
                };
                let (first, of) = known.entry(name).or_insert((origin, &listener.name));
                if *first != origin {
                    let path = format!("{path}.{}.routes.dynamic.origin", chain.filter.path());
                    let reason = format!(
                        "listener {of:?} takes the table {name:?} from elsewhere; tables are told apart by name"
                    );
                    return Err(of_listener(listener, path, reason));
                }
            }
        }
        Ok(())
    }

    fn check_addresses(&self) -> Result<(), ConfigError> {
        for (index, listener) in self.listeners.iter().enumerate() {
            if let Some(reason) = taken(&listener.address, &self.listeners[..index]) {
                return Err(of_listener(listener, "address", reason));
            }
        }
        let admin = self.admin.and_then(|admin| taken(&admin.into(), &self.listeners));
        admin.map_or(Ok(()), |reason| Err(ConfigError::new("proxy", "admin", reason)))
    }
}

/// Who a proxy is, as it tells its control plane and its peers; `envoy.config.core.v3.Node`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Node {
    /// Its own name.
    pub id: String,
    /// The name of the service that it belongs to.
    pub cluster: String,
    /// What else is known about it.
    pub metadata: Map<String, Value>,
    /// Where it runs; default: nobody knows.
    pub locality: Locality,
}

impl Node {
    /// Creates a node without metadata.
    pub fn new(id: impl Into<String>, cluster: impl Into<String>) -> Self {
        Self { id: id.into(), cluster: cluster.into(), ..Self::default() }
    }

    /// Sets where it runs.
    #[must_use]
    pub fn with_locality(mut self, locality: Locality) -> Self {
        self.locality = locality;
        self
    }

    /// Sets one entry of the metadata.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

fn check_unique<'a>(kind: &str, names: impl Iterator<Item = &'a str>) -> Result<(), ConfigError> {
    let mut seen = HashSet::new();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        Some(name) => Err(ConfigError::new(format!("{kind} {name:?}"), "name", "is there twice")),
        None => Ok(()),
    }
}

/// Tells why an address cannot be had beside these listeners; none: it can.
fn taken(address: &SocketAddress, listeners: &[Listener]) -> Option<String> {
    let other = listeners.iter().find(|other| other.address.excludes(address))?;
    Some(match &other.address {
        same if same == address => format!("{address} is taken by listener {:?}", other.name),
        wider => format!("{address} is taken by listener {:?} on {wider}", other.name),
    })
}

fn of_listener(listener: &Listener, field: impl Into<String>, reason: impl Into<String>) -> ConfigError {
    ConfigError::new(format!("{} {:?}", listener::KIND, listener.name), field, reason)
}
