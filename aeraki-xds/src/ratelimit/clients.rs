//! The rate limit services that a proxy may ask: one for each cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use aeraki_core::stack::{RateLimiter, RateLimiters};
use aeraki_route::config::Cluster;

use super::Client;

/// The rate limit services behind the clusters of a proxy, each asked by a [`Client`] of its own.
///
/// ```
/// use aeraki_core::{codec::Registry, proxy::Proxy, route::config, stack::Filters};
/// use aeraki_xds::ratelimit::Clients;
///
/// let config = config::Proxy::default();
/// let filters = Filters::new().with_rate_limiters(Clients::new(&config.clusters));
/// let proxy = Proxy::with_filters(config, &Registry::builtin(), &filters)?;
/// # Ok::<_, config::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Clients(RwLock<BTreeMap<String, (Cluster, Arc<Client>)>>);

impl Clients {
    /// Makes a client for every cluster that has endpoints; it connects when it is first asked.
    pub fn new<'a>(clusters: impl IntoIterator<Item = &'a Cluster>) -> Arc<Self> {
        let clients = Self(RwLock::default());
        clients.add(clusters);
        Arc::new(clients)
    }

    /// Makes clients for more clusters while others ask; one whose cluster is the same as before stays.
    pub fn add<'a>(&self, clusters: impl IntoIterator<Item = &'a Cluster>) {
        let mut clients = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for cluster in clusters {
            if clients.get(&cluster.name).is_some_and(|(known, _)| known == cluster) {
                continue;
            }
            // a cluster that nobody can connect to is missed where a limit names it
            match Client::new(cluster) {
                Ok(client) => clients.insert(cluster.name.clone(), (cluster.clone(), Arc::new(client))),
                Err(_) => clients.remove(&cluster.name),
            };
        }
    }

    /// Forgets the clients of all clusters but these.
    pub fn keep<'a>(&self, clusters: impl IntoIterator<Item = &'a Cluster>) {
        let kept: BTreeSet<_> = clusters.into_iter().map(|cluster| cluster.name.as_str()).collect();
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|name, _| kept.contains(name.as_str()));
    }
}

impl RateLimiters for Clients {
    fn find(&self, cluster: &str) -> Option<Arc<dyn RateLimiter>> {
        let clients = self.0.read().unwrap_or_else(PoisonError::into_inner);
        clients.get(cluster).map(|(_, client)| Arc::clone(client) as _)
    }
}
