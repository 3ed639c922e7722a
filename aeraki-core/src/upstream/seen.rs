//! The endpoints of clusters as the admin interface shows them.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use aeraki_route::config::{self, HealthStatus};

use super::{Cluster, endpoint::Endpoint};

/// An endpoint at one moment.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) config: Arc<config::Endpoint>,
    /// What is against it, in Envoy's words; nothing: it is healthy.
    pub(crate) flags: Vec<&'static str>,
    /// Connections that are open or being made, of all workers.
    pub(crate) connections: i64,
    /// Requests under way.
    pub(crate) requests: u64,
}

impl Seen {
    fn new(endpoint: &Endpoint, config: Arc<config::Endpoint>) -> Self {
        let said = match config.health_status {
            HealthStatus::Degraded => Some("/degraded_eds_health"),
            HealthStatus::Unhealthy => Some("/failed_eds_health"),
            HealthStatus::Draining => Some("/eds_status_draining"),
            _ => None,
        };
        Self {
            config,
            flags: endpoint.host.flags().chain(said).collect(),
            connections: endpoint.host.connections.get(),
            requests: endpoint.active.load(Relaxed).into(),
        }
    }
}

impl Cluster {
    /// Lists the endpoints by address, those that clients have brought along included, with the requests of this worker
    /// and of `siblings`, which are the same cluster of others.
    pub(crate) fn seen(&self, siblings: impl Iterator<Item = Arc<Self>>) -> BTreeMap<String, Seen> {
        let mut seen = self.seen_here();
        for (address, other) in siblings.flat_map(|sibling| sibling.seen_here()) {
            let requests = other.requests;
            seen.entry(address).and_modify(|seen| seen.requests += requests).or_insert(other);
        }
        seen
    }

    fn seen_here(&self) -> BTreeMap<String, Seen> {
        let members = self.directory().members();
        let targets = members.iter().map(|target| (Arc::clone(&target.endpoint), Arc::clone(&target.config)));
        let brought = self.directory().brought().map(|endpoint| {
            let config = config::Endpoint::new(endpoint.address.clone());
            (endpoint, Arc::new(config))
        });
        let seen = |(endpoint, config): (Arc<Endpoint>, _)| (endpoint.name().to_owned(), Seen::new(&endpoint, config));
        targets.chain(brought).map(seen).collect()
    }
}
