//! Which endpoint takes the next request: one policy a file.

mod least_request;
mod random;
mod round_robin;

use std::{fmt, sync::Arc};

use aeraki_route::config::LbPolicy;

use self::{least_request::LeastRequest, random::Random, round_robin::RoundRobin};
use super::endpoint::Endpoint;

/// Chooses among endpoints.
pub(super) trait Balance: Send + Sync + fmt::Debug {
    /// Returns the place of the chosen endpoint; `targets` is not empty.
    fn pick(&self, targets: &Targets) -> usize;
}

/// Makes what carries out a policy.
pub(super) fn balance(policy: LbPolicy) -> Box<dyn Balance> {
    match policy {
        LbPolicy::Random => Box::new(Random),
        LbPolicy::LeastRequest(policy) => Box::new(LeastRequest::new(policy.choices)),
        _ => Box::new(RoundRobin::new()),
    }
}

/// The endpoints of a cluster at one moment; never changed, only replaced.
#[derive(Debug, Default)]
pub(super) struct Targets {
    targets: Vec<Target>,
    /// For every target the sum of its weight and those before it.
    sums: Vec<u64>,
    equal: bool,
}

/// An endpoint and its share of the requests.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) weight: u32,
}

impl Targets {
    pub(super) fn new(targets: Vec<Target>) -> Self {
        let weights = targets.iter().map(|target| u64::from(target.weight));
        let sums = weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        let equal = targets.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        Self { sums: sums.collect(), targets, equal }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter()
    }

    pub(super) fn get(&self, place: usize) -> Option<&Target> {
        self.targets.get(place)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    const fn len(&self) -> usize {
        self.targets.len()
    }

    /// Returns the sum of all weights.
    fn weight(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }

    /// Returns the target whose share of the weights has this point, which is less than [`weight`](Self::weight).
    fn at(&self, point: u64) -> usize {
        self.sums.partition_point(|sum| *sum <= point)
    }
}

#[cfg(test)]
mod tests;
