//! Which endpoint takes the next request: one policy a file.
//!
//! A policy is made for certain endpoints, with whatever tables it needs, and thrown away when they change; so a choice
//! looks things up and never waits, and allocates nothing. What comes before a policy, priorities, health and
//! localities, is in [`spread`].

mod bounded_load;
mod ladder;
mod least_request;
mod maglev;
mod murmur;
mod peak_ewma;
mod priority;
mod random;
mod ring_hash;
mod round_robin;
mod slow_start;
mod spread;
mod targets;
mod zone;

use std::{fmt, sync::Arc};

use aeraki_route::config::{self, Cluster, CommonLb, LbPolicy};

use self::{
    ladder::Ladder, least_request::LeastRequest, maglev::Maglev, peak_ewma::PeakEwma, random::Random,
    ring_hash::RingHash, round_robin::RoundRobin, slow_start::SlowStart, targets::Targets, zone::Zone,
};
pub(super) use self::{
    spread::{Picked, Spread},
    targets::Target,
    zone::Way,
};
use super::{local::LocalCluster, stats::ClusterStats};

/// Chooses among the endpoints that it was made for.
trait Balance: Send + Sync + fmt::Debug {
    /// Returns the place of the chosen endpoint in `targets`, which are the ones it was made for and not empty.
    fn pick(&self, targets: &Targets, draw: Draw) -> usize;
}

/// What a choice may depend on besides the endpoints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    /// The request's hash, or a random number where it has none.
    pub(super) hash: u64,
    /// How many choices for this request were not wanted.
    pub(super) attempt: u32,
}

/// How a cluster balances.
#[derive(Clone, Debug)]
pub(super) struct Balancing {
    policy: LbPolicy,
    slow_start: Option<config::SlowStart>,
    common: CommonLb,
    /// What keeps requests in a zone; none: zones do not count.
    zone: Option<Zone>,
}

impl From<&Cluster> for Balancing {
    fn from(config: &Cluster) -> Self {
        Self { policy: config.lb_policy, slow_start: config.slow_start, common: config.common_lb, zone: None }
    }
}

impl Balancing {
    /// Lets zones count by the cluster that the proxy belongs to, unless policy or weights of localities forbid.
    pub(super) fn with_local_cluster(mut self, local: Option<&LocalCluster>, stats: &Arc<ClusterStats>) -> Self {
        let zones = !self.policy.is_hashed() && !self.common.locality_weighted;
        self.zone = local.filter(|_| zones).map(|local| Zone::new(local, stats));
        self
    }

    /// Sets whether localities count, where they do at all.
    pub(super) const fn with_localities(mut self, count: bool) -> Self {
        self.common.locality_weighted &= count;
        self
    }
}

/// Makes what carries out the policy of a cluster for these endpoints, each with its part of the requests, which
/// together are 1.
fn balance(config: &Balancing, targets: &Targets, parts: &[f64]) -> Box<dyn Balance> {
    let slow_start = config.slow_start.map(SlowStart::new);
    match config.policy {
        LbPolicy::Random => Box::new(Random),
        LbPolicy::LeastRequest(policy) => Box::new(LeastRequest::new(policy, slow_start)),
        LbPolicy::PeakEwma(policy) => Box::new(PeakEwma::new(policy)),
        LbPolicy::RingHash(policy) => Box::new(RingHash::new(policy, targets, parts)),
        LbPolicy::Maglev(policy) => Box::new(Maglev::new(policy, targets, parts)),
        _ => Box::new(RoundRobin::new(slow_start)),
    }
}

#[cfg(test)]
mod tests;
