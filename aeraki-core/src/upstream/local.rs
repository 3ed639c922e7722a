//! The cluster that the proxy itself belongs to: whoever sends requests like it, and from where.

use std::{collections::BTreeMap, sync::Arc};

use aeraki_route::config::{HealthStatus, Locality};
use tokio::sync::watch;

use super::balance::Target;

/// Where the proxy runs, and how its like are spread over localities; clones know the same.
#[derive(Clone, Debug)]
pub struct LocalCluster {
    name: Arc<str>,
    locality: Arc<Locality>,
    population: watch::Sender<Arc<Population>>,
}

impl LocalCluster {
    /// Makes the cluster of this name the one that the proxy belongs to, which runs in `locality`.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, locality: Locality) -> Self {
        Self { name: name.into(), locality: Arc::new(locality), population: watch::Sender::default() }
    }

    pub(super) fn is(&self, cluster: &str) -> bool {
        *self.name == *cluster
    }

    pub(super) const fn locality(&self) -> &Arc<Locality> {
        &self.locality
    }

    pub(super) fn population(&self) -> Arc<Population> {
        Arc::clone(&self.population.borrow())
    }

    /// Tells of every change of the population from now on.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Population>> {
        self.population.subscribe()
    }

    /// Notes the endpoints of the cluster as they are now.
    pub(super) fn note<'a>(&self, targets: impl Iterator<Item = &'a Target>) {
        let now = Population::of(targets);
        self.population.send_if_modified(|known| {
            let changed = **known != now;
            if changed {
                *known = Arc::new(now);
            }
            changed
        });
    }
}

/// How many endpoints of the first priority are where, and how healthy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Population {
    /// The healthy ones of every locality that has any endpoint.
    healthy: BTreeMap<Locality, usize>,
    /// Healthy and degraded ones.
    available: usize,
    total: usize,
}

impl Population {
    pub(super) fn of<'a>(targets: impl Iterator<Item = &'a Target>) -> Self {
        let mut population = Self::default();
        for target in targets.filter(|target| target.config.priority == 0) {
            let healthy = target.health == HealthStatus::Healthy;
            *population.healthy.entry(target.config.locality.clone()).or_default() += usize::from(healthy);
            population.available += usize::from(healthy || target.health == HealthStatus::Degraded);
            population.total += 1;
        }
        population
    }

    /// Returns the number of localities.
    pub(super) fn localities(&self) -> usize {
        self.healthy.len()
    }

    /// Tells whether there is anybody in a locality, healthy or not.
    pub(super) fn is_in(&self, locality: &Locality) -> bool {
        self.healthy.contains_key(locality)
    }

    /// Returns which part of all that are healthy is in a locality.
    pub(super) fn part(&self, locality: &Locality) -> f64 {
        let all: usize = self.healthy.values().sum();
        ratio(self.healthy.get(locality).copied().unwrap_or(0), all)
    }

    /// Returns how many are healthy or degraded, in per cent.
    pub(super) fn available_per_cent(&self) -> f64 {
        100.0 * ratio(self.available, self.total)
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 endpoints")]
fn ratio(some: usize, all: usize) -> f64 {
    some as f64 / all.max(1) as f64
}
