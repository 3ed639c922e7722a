//! The endpoints of a cluster at one moment, and which of them takes a request.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use aeraki_route::{
    Criteria, Placement,
    config::{self, HealthStatus},
};
use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::{
    balance::{Balancing, Draw, Picked, Spread, Target, Way},
    endpoint::Endpoint,
    shared::Shared,
    stats::ClusterStats,
    subsets::Subsets,
};

/// Made anew whenever anything about the endpoints changes.
#[derive(Debug)]
pub(super) struct Members {
    all: Vec<Target>,
    places: HashMap<SocketAddr, usize, RandomState>,
    spread: Spread,
    subsets: Option<Subsets>,
}

/// The address of an endpoint, and what is said of it.
pub(super) type Found = (SocketAddr, Arc<config::Endpoint>);

impl Members {
    /// Takes over the endpoints that `old` has too, with their connections.
    pub(super) fn new(found: &[Found], old: Option<&Self>, shared: &Arc<Shared>) -> Self {
        let now = Instant::now();
        let target = |(address, config): &Found| {
            let known = old.and_then(|old| old.get(address));
            let make = || Arc::new(Endpoint::new(*address, Arc::clone(shared)));
            let endpoint = known.map_or_else(make, |known| Arc::clone(&known.endpoint));
            let health = if endpoint.host.is_well() { config.health_status } else { HealthStatus::Unhealthy };
            // who becomes healthy is as new
            let since = known.filter(|known| takes_requests(known.health) || !takes_requests(health));
            Target { endpoint, config: Arc::clone(config), health, since: since.map_or(now, |known| known.since) }
        };
        let all: Vec<Target> = found.iter().map(target).collect();
        let places = all.iter().map(|target| target.endpoint.address).zip(0..).collect();
        let balancing = Balancing::from(&shared.config).with_local_cluster(shared.context.local_cluster.as_ref());
        let spread = Spread::new(&balancing, &all.iter().collect::<Vec<_>>());
        let subsets = shared.config.subsets.as_ref().map(|subsets| Subsets::new(subsets, balancing, &all));
        Self { all, places, spread, subsets }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Target> {
        self.all.iter()
    }

    /// Lists where the endpoints are, and what is said of them.
    pub(super) fn found(&self) -> impl Iterator<Item = Found> {
        self.iter().map(|target| (target.endpoint.address, Arc::clone(&target.config)))
    }

    fn get(&self, address: &SocketAddr) -> Option<&Target> {
        self.all.get(*self.places.get(address)?)
    }

    /// Picks an endpoint: the one that is wanted, else by the policy; if possible not one that is about to go, and still less
    /// one of those to avoid.
    pub(super) fn pick(
        &self,
        placement: Option<&Placement>,
        avoid: &[SocketAddr],
        stats: &ClusterStats,
    ) -> Option<&Arc<Endpoint>> {
        let criteria = placement.and_then(|placement| placement.criteria.as_deref());
        let wanted = placement
            .and_then(|placement| placement.host)
            .filter(|host| !avoid.contains(host))
            .and_then(|host| self.get(&host));
        if let Some(wanted) = wanted.filter(|wanted| takes_requests(wanted.health) && self.may_go(criteria, wanted)) {
            return Some(&wanted.endpoint);
        }
        let spread = match &self.subsets {
            Some(subsets) => subsets.find(criteria, &self.spread, stats)?,
            None => &self.spread,
        };
        let hash = placement.and_then(|placement| placement.hash).unwrap_or_else(|| fastrand::u64(..));
        let mut picked = spread.pick(Draw { hash, attempt: 0 })?;
        count(&picked, stats);
        let is_other = |target: &Target| !avoid.contains(&target.endpoint.address);
        let stays = |target: &Target| is_other(target) && !target.endpoint.host.is_leaving();
        for attempt in 1..ATTEMPTS {
            if stays(picked.target) {
                return Some(&picked.target.endpoint);
            }
            picked = spread.pick(Draw { hash, attempt })?;
        }
        let others = || spread.iter().filter(|target| takes_requests(target.health) && is_other(target));
        let best = others().find(|target| stays(target));
        // of those that are about to go none is better than the policy's choice
        let best = best.or_else(|| if is_other(picked.target) { None } else { others().next() });
        Some(&best.unwrap_or(picked.target).endpoint)
    }

    /// Tells whether a target is one of those that are asked for, where that counts.
    fn may_go(&self, criteria: Option<&Criteria>, target: &Target) -> bool {
        let counts = criteria.filter(|_| self.subsets.is_some());
        counts.is_none_or(|criteria| criteria.hold(&target.config.metadata))
    }

    /// Keeps spare connections to the endpoints that take requests, where the cluster asks for them.
    pub(super) fn keep_spares(&self) {
        self.iter().for_each(|target| target.endpoint.keep_spares(takes_requests(target.health)));
    }

    /// Ends the connections to endpoints that are not among `kept`.
    pub(super) fn drain_missing(&self, kept: Option<&Self>) {
        let is_kept = |endpoint: &Arc<Endpoint>| {
            let other = kept.and_then(|kept| kept.get(&endpoint.address));
            other.is_some_and(|other| Arc::ptr_eq(&other.endpoint, endpoint))
        };
        self.iter().map(|target| &target.endpoint).filter(|endpoint| !is_kept(endpoint)).for_each(|gone| gone.drain());
    }
}

/// Counts by which rule an endpoint was picked.
fn count(picked: &Picked<'_>, stats: &ClusterStats) {
    if picked.panic {
        stats.lb_healthy_panic.inc();
    }
    match picked.way {
        Way::Any => {}
        Way::Direct => stats.lb_zone_routing_all_directly.inc(),
        Way::Sampled => stats.lb_zone_routing_sampled.inc(),
        Way::Cross => stats.lb_zone_routing_cross_zone.inc(),
        Way::LocalNotOk => stats.lb_local_cluster_not_ok.inc(),
    }
}

const fn takes_requests(health: HealthStatus) -> bool {
    matches!(health, HealthStatus::Healthy | HealthStatus::Degraded)
}

/// Choices by the policy for one request, before any endpoint will do that is not to be avoided.
const ATTEMPTS: u32 = 5;
