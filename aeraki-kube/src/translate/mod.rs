//! From objects to what proxies are told: one pure function.
//!
//! [`translate`] reads a [`World`] and makes a [`Translation`]: a route configuration `<host>_<port>` for every
//! MetaProtocol port of every service, the clusters that they name, and a [`Rejection`] for everything that could
//! not be made. A router with a fault is refused whole: its routes are *held*, and [`Translation::keep`] fills
//! them from the last good translation; so it does with what a DestinationRule says of a cluster. Held are also all
//! routes of services for which an authorization policy with a fault is meant: without it they would be open to
//! everybody.
//!
//! Whoever serves the routes enforces them: limits of a router are limits of each of its routes that has none of its
//! own, and the authorization policies of a namespace are those of the routes of its services.

mod authorization;
mod check;
mod clusters;
mod limits;
mod names;
mod protocols;
mod rejection;
mod resilience;
mod routes;
mod services;
mod target;
mod traffic_policy;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use aeraki_route::config::{Cluster, Locality, RouteConfig};
use aeraki_xds::{Snapshot, SnapshotBuilder, SnapshotError};

pub use self::{
    check::validate,
    names::{cluster_name, route_name},
    rejection::{Rejection, RejectionKind},
};
use crate::world::World;

/// Sets what the objects themselves leave open.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How long connecting to an endpoint may take; 10 s unless set, as in Istio.
    pub connect_timeout: Duration,
    /// Where the proxies run whose clusters are made, so that near endpoints come first where a DestinationRule asks
    /// for that; none: not known.
    pub locality: Option<Locality>,
}

impl Options {
    /// Sets how long connecting to an endpoint may take.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets where the proxies run whose clusters are made.
    #[must_use]
    pub fn with_locality(mut self, locality: Locality) -> Self {
        self.locality = Some(locality);
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(10), locality: None }
    }
}

/// Holds what proxies are told, and what was refused on the way.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Translation {
    /// The routes of each MetaProtocol port, by their name `<host>_<port>`.
    pub routes: BTreeMap<String, Arc<RouteConfig>>,
    /// The services and their subsets, by cluster name `outbound|<port>|<subset>|<host>`.
    pub clusters: BTreeMap<String, Cluster>,
    /// What was refused or has no effect, in the order of the objects.
    pub rejections: Vec<Rejection>,
    held: BTreeSet<String>,
    /// Clusters of which what DestinationRules say is at fault.
    held_clusters: BTreeSet<String>,
}

impl Translation {
    /// Fills what was refused from the last good translation, with the clusters that it needs.
    pub fn keep(&mut self, last: &Self) {
        for name in &self.held {
            let Some(routes) = last.routes.get(name) else { continue };
            for (_, cluster) in routes.clusters() {
                if let Some(kept) = last.clusters.get(cluster) {
                    self.clusters.entry(cluster.to_owned()).or_insert_with(|| kept.clone());
                }
            }
            self.routes.insert(name.clone(), Arc::clone(routes));
        }
        for name in &self.held_clusters {
            let (Some(cluster), Some(last)) = (self.clusters.get_mut(name), last.clusters.get(name)) else { continue };
            let mut kept = last.clone();
            kept.endpoints = std::mem::take(&mut cluster.endpoints);
            kept.discovery = cluster.discovery.clone();
            *cluster = kept;
        }
    }

    /// Lists the route configurations that could not be made: proxies stay with what they have.
    pub fn held(&self) -> impl Iterator<Item = &str> {
        self.held.iter().map(String::as_str)
    }

    /// Tells of each authorization policy which routes it decided about in `last` and decides about no more, though
    /// they are still served: one sentence a policy, for a log.
    pub fn lost_policies(&self, last: &Self) -> Vec<String> {
        authorization::lost(last, self)
    }

    /// Encodes the routes for subscribers; what is as in `previous` is not encoded again.
    ///
    /// # Errors
    ///
    /// Names the first resource that cannot be encoded.
    pub fn to_snapshot(&self, previous: Option<Arc<Snapshot>>) -> Result<Snapshot, SnapshotError> {
        let builder = previous.map_or_else(Snapshot::builder, SnapshotBuilder::after);
        builder.routes(self.routes.values().cloned()).build()
    }

    fn reject(&mut self, rejection: Rejection) {
        // one fault may be met on every port of a host
        if !self.rejections.contains(&rejection) {
            self.rejections.push(rejection);
        }
    }
}

/// Makes routes and clusters of all objects.
///
/// The same world gives the same translation, byte for byte.
pub fn translate(world: &World, options: &Options) -> Translation {
    let mut translation = Translation::default();
    for router in world.meta_routers() {
        validate(router).into_iter().for_each(|rejection| translation.reject(rejection));
        routes::warn_of_unserved_hosts(world, router, &mut translation);
        routes::warn_of_unknown_destinations(world, router, &mut translation);
        limits::warn_of_unknown_services(world, router, &mut translation);
    }
    for (host, rule) in world.destination_rules_without_service() {
        let reason = format!("no service has the host `{host}`");
        translation.reject(Rejection::ineffective(&**rule, "spec.host", reason));
    }
    services::reject_unreachable(world, &mut translation);
    protocols::reject_faulty(world, &mut translation);
    let authorization = authorization::Authorization::collect(world, &mut translation);
    for host in world.hosts() {
        let service = services::Service::collect(world, host, &mut translation);
        if service.ports.is_empty() {
            continue;
        }
        clusters::translate(world, &service, options, &mut translation);
        routes::translate(world, &service, &authorization, &mut translation);
    }
    translation
}

#[cfg(test)]
mod tests;
