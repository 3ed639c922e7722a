//! The endpoints that a policy chooses among.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use aeraki_route::config::{self, HealthStatus};
use tokio::time::Instant;

use super::Ladder;
use crate::upstream::endpoint::Endpoint;

/// Endpoints at one moment; never changed, only replaced.
#[derive(Debug, Default)]
pub(super) struct Targets {
    targets: Vec<Target>,
    /// The sum of all weights.
    weight: u64,
    /// For every target the sum of its weight and those before it; none where all have the same weight.
    sums: Option<Ladder>,
    /// Since when the newest of them has been there.
    newest: Option<Instant>,
}

/// An endpoint and what is said of it.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct Target {
    pub(in crate::upstream) endpoint: Arc<Endpoint>,
    pub(in crate::upstream) config: Arc<config::Endpoint>,
    /// How healthy it was found when the targets were made.
    pub(in crate::upstream) health: HealthStatus,
    /// Since when it takes requests.
    pub(in crate::upstream) since: Instant,
}

impl Target {
    /// Returns the requests under way to it.
    pub(super) fn active(&self) -> u32 {
        self.endpoint.active.load(Relaxed)
    }

    /// Returns what stands for it where endpoints are chosen by hash.
    pub(super) fn hash_key(&self) -> &str {
        match self.config.metadata.get("hash_key") {
            Some(key) if !key.is_empty() => key,
            _ => self.endpoint.name(),
        }
    }
}

impl Targets {
    pub(super) fn new(targets: Vec<Target>) -> Self {
        let weights = || targets.iter().map(|target| u64::from(target.config.weight));
        let equal = targets.windows(2).all(|pair| pair[0].config.weight == pair[1].config.weight);
        let sums = weights().scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        let sums = (!equal).then(|| Ladder::new(sums.collect()));
        let newest = targets.iter().map(|target| target.since).max();
        Self { weight: weights().sum(), sums, targets, newest }
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

    pub(super) const fn len(&self) -> usize {
        self.targets.len()
    }

    /// Tells whether all have the same weight.
    pub(super) const fn is_equal(&self) -> bool {
        self.sums.is_none()
    }

    pub(super) const fn newest(&self) -> Option<Instant> {
        self.newest
    }

    /// Returns the part of each in the weight of all.
    pub(super) fn parts(&self) -> Vec<f64> {
        let weight = self.weight as f64;
        self.targets.iter().map(|target| f64::from(target.config.weight) / weight).collect()
    }

    /// Returns the target in whose share of the weights a part of all of them ends, which is given in parts of 2^64.
    pub(super) fn at(&self, part: u64) -> usize {
        let scale = |count: u64| (u128::from(part) * u128::from(count)) >> 64;
        match &self.sums {
            None => scale(self.len() as u64) as usize,
            Some(sums) => sums.find(scale(self.weight) as u64 + 1),
        }
    }

    /// Draws one in proportion to weights.
    pub(super) fn draw(&self) -> usize {
        self.at(fastrand::u64(..))
    }

    /// Draws one in proportion to weights that is not at `place`; the same one where there is no other.
    pub(super) fn draw_other(&self, place: usize) -> usize {
        let Some(sums) = &self.sums else {
            let others = self.len().saturating_sub(1);
            return (place + 1 + fastrand::usize(..others.max(1))) % self.len().max(1);
        };
        let Some(end) = sums.get(place) else { return self.draw() };
        let begin = place.checked_sub(1).and_then(|before| sums.get(before)).unwrap_or(0);
        let others = self.weight - (end - begin);
        if others == 0 {
            return place;
        }
        let point = fastrand::u64(..others);
        sums.find(if point < begin { point } else { point + (end - begin) } + 1)
    }
}
