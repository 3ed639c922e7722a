//! The rate limit services that a proxy may ask: one for each cluster.

use std::{collections::BTreeMap, sync::Arc};

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
pub struct Clients(BTreeMap<String, Arc<Client>>);

impl Clients {
    /// Makes a client for every cluster that has endpoints; it connects when it is first asked.
    pub fn new<'a>(clusters: impl IntoIterator<Item = &'a Cluster>) -> Arc<Self> {
        // a cluster that nobody can connect to is missed where a limit names it
        let client = |cluster: &Cluster| Some((cluster.name.clone(), Arc::new(Client::new(cluster).ok()?)));
        Arc::new(Self(clusters.into_iter().filter_map(client).collect()))
    }
}

impl RateLimiters for Clients {
    fn find(&self, cluster: &str) -> Option<Arc<dyn RateLimiter>> {
        self.0.get(cluster).map(|client| Arc::clone(client) as _)
    }
}
