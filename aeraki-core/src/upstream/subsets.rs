//! Endpoints split by their metadata.

use std::collections::{BTreeMap, HashMap};

use aeraki_route::{
    Criteria,
    config::{self, SubsetFallback, SubsetSelector},
};
use foldhash::fast::RandomState;

use super::{
    balance::{Balancing, Spread, Target},
    stats::ClusterStats,
};

/// The subsets of a cluster, each with tables of its own.
#[derive(Debug)]
pub(super) struct Subsets {
    subsets: HashMap<Criteria, Spread, RandomState>,
    selectors: Box<[SubsetSelector]>,
    fallback: SubsetFallback,
    default: Spread,
}

impl Subsets {
    pub(super) fn new(config: &config::Subsets, balancing: Balancing, targets: &[Target]) -> Self {
        let balancing = balancing.with_localities(config.locality_weight_aware);
        let mut split: HashMap<Criteria, Vec<&Target>, RandomState> = HashMap::default();
        for selector in &config.selectors {
            for target in targets {
                if let Some(criteria) = criteria(selector, target) {
                    split.entry(criteria).or_default().push(target);
                }
            }
        }
        let default = Criteria::new(&config.default_subset);
        let is_default =
            |target: &&Target| default.as_ref().is_none_or(|default| default.hold(&target.config.metadata));
        Self {
            subsets: split
                .into_iter()
                .map(|(criteria, targets)| (criteria, Spread::new(&balancing, &targets)))
                .collect(),
            selectors: config.selectors.as_slice().into(),
            fallback: config.fallback,
            default: Spread::new(&balancing, &targets.iter().filter(is_default).collect::<Vec<_>>()),
        }
    }

    /// Returns the endpoints that a request with these criteria may go to, where `all` are those of the cluster.
    pub(super) fn find<'a>(
        &'a self,
        criteria: Option<&Criteria>,
        all: &'a Spread,
        stats: &ClusterStats,
    ) -> Option<&'a Spread> {
        if let Some(subset) = criteria.and_then(|criteria| self.subsets.get(criteria)) {
            stats.lb_subsets_selected.inc();
            return Some(subset);
        }
        let selector = criteria.and_then(|criteria| self.selectors.iter().find(|selector| selects(selector, criteria)));
        let found = match selector.and_then(|selector| selector.fallback).unwrap_or(self.fallback) {
            SubsetFallback::AnyEndpoint => all,
            SubsetFallback::DefaultSubset => &self.default,
            _ => return None,
        };
        stats.lb_subsets_fallback.inc();
        Some(found)
    }
}

/// Returns what a request must ask for to get to this target by this selector.
fn criteria(selector: &SubsetSelector, target: &Target) -> Option<Criteria> {
    let entry = |key: &String| Some((key.clone(), target.config.metadata.get(key)?.clone()));
    let entries: Option<BTreeMap<_, _>> = selector.keys.iter().map(entry).collect();
    Criteria::new(&entries?)
}

fn selects(selector: &SubsetSelector, criteria: &Criteria) -> bool {
    criteria.keys().eq(selector.keys.iter().map(String::as_str))
}
