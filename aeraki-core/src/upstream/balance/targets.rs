//! The endpoints that a policy chooses among.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use aeraki_route::config::{self, HealthStatus};
use tokio::time::Instant;

use crate::upstream::endpoint::Endpoint;

/// Endpoints at one moment; never changed, only replaced.
#[derive(Debug, Default)]
pub(super) struct Targets {
    targets: Vec<Target>,
    /// For every target the sum of its weight and those before it.
    sums: Vec<u64>,
    equal: bool,
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
    pub(super) fn hash_key(&self) -> String {
        match self.config.metadata.get("hash_key") {
            Some(key) if !key.is_empty() => key.clone(),
            _ => self.endpoint.address.to_string(),
        }
    }
}

impl Targets {
    pub(super) fn new(targets: Vec<Target>) -> Self {
        let weights = targets.iter().map(|target| u64::from(target.config.weight));
        let sums = weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        let equal = targets.windows(2).all(|pair| pair[0].config.weight == pair[1].config.weight);
        let newest = targets.iter().map(|target| target.since).max();
        Self { sums: sums.collect(), targets, equal, newest }
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
        self.equal
    }

    pub(super) const fn newest(&self) -> Option<Instant> {
        self.newest
    }

    /// Returns the sum of all weights.
    pub(super) fn weight(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }

    /// Returns the part of each in the weight of all.
    pub(super) fn parts(&self) -> Vec<f64> {
        let weight = self.weight() as f64;
        self.targets.iter().map(|target| f64::from(target.config.weight) / weight).collect()
    }

    /// Returns the target whose share of the weights has this point, which is less than [`weight`](Self::weight).
    pub(super) fn at(&self, point: u64) -> usize {
        self.sums.partition_point(|sum| *sum <= point)
    }

    /// Draws one in proportion to weights.
    pub(super) fn draw(&self) -> usize {
        if self.equal {
            return fastrand::usize(..self.len().max(1));
        }
        self.at(fastrand::u64(..self.weight().max(1)))
    }

    /// Draws one in proportion to weights that is not at `place`; the same one where there is no other.
    pub(super) fn draw_other(&self, place: usize) -> usize {
        if self.equal {
            let others = self.len().saturating_sub(1);
            return (place + 1 + fastrand::usize(..others.max(1))) % self.len().max(1);
        }
        let Some(end) = self.sums.get(place).copied() else { return self.draw() };
        let own = end - place.checked_sub(1).map_or(0, |before| self.sums[before]);
        let others = self.weight() - own;
        if others == 0 {
            return place;
        }
        let point = fastrand::u64(..others);
        self.at(if point < end - own { point } else { point + own })
    }
}
