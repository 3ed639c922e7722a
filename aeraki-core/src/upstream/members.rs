//! The endpoints of a cluster at one moment, and which of them takes a request.

use std::{
    collections::{HashMap, hash_map::Entry},
    ptr,
    sync::Arc,
};

use aeraki_route::{
    Criteria, Placement,
    config::{self, HealthStatus, SocketAddress},
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
    places: HashMap<SocketAddress, usize, RandomState>,
    spread: Spread,
    subsets: Option<Subsets>,
}

/// The address of an endpoint, and what is said of it.
pub(super) type Found<'a> = (&'a SocketAddress, &'a config::Endpoint);

impl Members {
    /// Makes them of what was found, each address once. Takes over the endpoints that `old` has too, with their
    /// connections.
    pub(super) fn new<'a>(found: impl Iterator<Item = Found<'a>>, old: Option<&Self>, shared: &Arc<Shared>) -> Self {
        let (most, now) = (found.size_hint().1.unwrap_or_default(), Instant::now());
        let mut all = Vec::with_capacity(most);
        let mut places = HashMap::with_capacity_and_hasher(most, RandomState::default());
        let mut before = old.map(Walk::new);
        for (address, config) in found {
            if let Entry::Vacant(place) = places.entry(address.clone()) {
                place.insert(all.len());
                let known = before.as_mut().and_then(|before| before.find(address));
                all.push(target(known, address, config, now, shared));
            }
        }
        let Shared { config, context, stats, .. } = &**shared;
        let balancing = Balancing::from(config).with_local_cluster(context.local_cluster.as_ref(), stats);
        let spread = Spread::new(&balancing, &all.iter().collect::<Vec<_>>());
        let subsets = config.subsets.as_ref().map(|subsets| Subsets::new(subsets, balancing, &all));
        Self { all, places, spread, subsets }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Target> {
        self.all.iter()
    }

    /// Lists where the endpoints are, and what is said of them.
    pub(super) fn found(&self) -> impl Iterator<Item = Found<'_>> {
        self.iter().map(|target| (&target.endpoint.address, &*target.config))
    }

    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    fn get(&self, address: &SocketAddress) -> Option<&Target> {
        self.all.get(*self.places.get(address)?)
    }

    /// Picks an endpoint: the one that is wanted, else by the policy; if possible not one that is about to go, and
    /// still less one of those to avoid.
    pub(super) fn pick(
        &self,
        placement: Option<&Placement>,
        avoid: &[SocketAddress],
        stats: &ClusterStats,
    ) -> Option<&Arc<Endpoint>> {
        let criteria = placement.and_then(|placement| placement.criteria.as_deref());
        let wanted = placement
            .and_then(|placement| placement.host.as_ref())
            .filter(|host| !avoid.contains(host))
            .and_then(|host| self.get(host));
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
        let mut kept = kept.map(Walk::new);
        for Target { endpoint, .. } in self.iter() {
            let other = kept.as_mut().and_then(|kept| kept.find(&endpoint.address));
            if other.is_none_or(|other| !Arc::ptr_eq(&other.endpoint, endpoint)) {
                endpoint.drain();
            }
        }
    }
}

/// Returns what is from now on known of an endpoint of which this was `known`; the endpoint goes on, if there is one.
fn target(
    known: Option<&Target>,
    address: &SocketAddress,
    config: &config::Endpoint,
    now: Instant,
    shared: &Arc<Shared>,
) -> Target {
    let make = || Arc::new(Endpoint::new(address.clone(), Arc::clone(shared)));
    let endpoint = known.map_or_else(make, |known| Arc::clone(&known.endpoint));
    let same = known.filter(|known| ptr::eq(&*known.config, config) || *known.config == *config);
    let health = if endpoint.host.judge_by(&shared.config) { config.health_status } else { HealthStatus::Unhealthy };
    // who becomes healthy is as new
    let since = known.filter(|known| takes_requests(known.health) || !takes_requests(health));
    Target {
        endpoint,
        config: same.map_or_else(|| Arc::new(config.clone()), |same| Arc::clone(&same.config)),
        health,
        since: since.map_or(now, |known| known.since),
    }
}

/// Finds endpoints one after the other in about the order in which members have them: most are where they were, and
/// need not be looked up.
struct Walk<'m> {
    members: &'m Members,
    next: usize,
}

impl<'m> Walk<'m> {
    const fn new(members: &'m Members) -> Self {
        Self { members, next: 0 }
    }

    fn find(&mut self, address: &SocketAddress) -> Option<&'m Target> {
        let Members { all, places, .. } = self.members;
        let is_next = all.get(self.next).is_some_and(|target| target.endpoint.address == *address);
        let place = if is_next { self.next } else { *places.get(address)? };
        self.next = place + 1;
        all.get(place)
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
