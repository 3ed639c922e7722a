//! The endpoints of a cluster at one moment, and which of them takes a request.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use aeraki_route::config;
use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::{
    balance::{Balance, Draw, Target, Targets, balance},
    cluster::Shared,
    endpoint::Endpoint,
};

/// Made anew whenever anything about the endpoints changes.
#[derive(Debug)]
pub(super) struct Members {
    all: Targets,
    places: HashMap<SocketAddr, usize, RandomState>,
    balance: Box<dyn Balance>,
}

/// The address of an endpoint, and what is said of it.
pub(super) type Found = (SocketAddr, Arc<config::Endpoint>);

impl Members {
    /// Takes over the endpoints that `old` has too, with their connections.
    pub(super) fn new(found: Vec<Found>, old: Option<&Self>, shared: &Arc<Shared>) -> Self {
        let now = Instant::now();
        let target = |(address, config): Found| match old.and_then(|old| old.get(&address)) {
            Some(known) => Target { config, ..known.clone() },
            None => Target { endpoint: Arc::new(Endpoint::new(address, Arc::clone(shared))), config, since: now },
        };
        let all: Vec<Target> = found.into_iter().map(target).collect();
        let places = all.iter().map(|target| target.endpoint.address).zip(0..).collect();
        let all = Targets::new(all);
        let balance = balance(&shared.config, &all, &all.parts());
        Self { all, places, balance }
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

    /// Picks an endpoint, if possible not one of those to avoid.
    pub(super) fn pick(&self, avoid: &[SocketAddr]) -> Option<&Arc<Endpoint>> {
        if self.all.is_empty() {
            return None;
        }
        let hash = fastrand::u64(..);
        let mut picked = None;
        for attempt in 0..ATTEMPTS {
            let endpoint = &self.all.get(self.balance.pick(&self.all, Draw { hash, attempt }))?.endpoint;
            if !avoid.contains(&endpoint.address) {
                return Some(endpoint);
            }
            picked = Some(endpoint);
        }
        let others = self.iter().map(|target| &target.endpoint);
        others.filter(|endpoint| !avoid.contains(&endpoint.address)).next().or(picked)
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

/// Choices by the policy for one request, before any endpoint will do that is not to be avoided.
const ATTEMPTS: u32 = 5;
