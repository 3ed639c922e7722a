//! What load balancing does before a policy chooses: by health, priority, locality and subset.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{LbPolicy, ZoneAware};
use crate::config::{
    decimal::Decimal,
    error::{Checked, ensure},
};

/// What holds for load balancing under every policy; `envoy.config.cluster.v3.Cluster.CommonLbConfig`, and the policy
/// of `envoy.config.endpoint.v3.ClusterLoadAssignment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CommonLb {
    /// In per cent: where fewer of the endpoints of a priority are healthy or degraded, and the other priorities cannot
    /// make up for it, all of them get requests, whatever their health. Default 50, at most 100; 0: never.
    pub healthy_panic_threshold: Decimal,
    /// In per cent: how much more than its share a healthy endpoint can take, before others have to. Default 140, not
    /// zero.
    pub overprovisioning_factor: u32,
    /// Whether localities get requests in proportion to their weights; default: no, endpoints are all alike. Localities
    /// without a weight get none then, unless none has one.
    pub locality_weighted: bool,
    /// How far requests stay in the zone of the proxy.
    pub zone_aware: ZoneAware,
}

impl CommonLb {
    /// Sets below how many per cent of healthy endpoints health no longer counts.
    #[must_use]
    pub fn with_healthy_panic_threshold(mut self, percent: Decimal) -> Self {
        self.healthy_panic_threshold = percent;
        self
    }

    /// Sets how much more than its share a healthy endpoint can take, in per cent.
    #[must_use]
    pub fn with_overprovisioning_factor(mut self, percent: u32) -> Self {
        self.overprovisioning_factor = percent;
        self
    }

    /// Sets whether localities get requests in proportion to their weights.
    #[must_use]
    pub fn with_locality_weighted(mut self, weighted: bool) -> Self {
        self.locality_weighted = weighted;
        self
    }

    /// Sets how far requests stay in the zone of the proxy.
    #[must_use]
    pub fn with_zone_aware(mut self, zone_aware: ZoneAware) -> Self {
        self.zone_aware = zone_aware;
        self
    }

    pub(super) fn check(&self, policy: &LbPolicy) -> Checked {
        self.zone_aware.check().map_err(|error| error.within("zoneAware"))?;
        let said = self.zone_aware != ZoneAware::default();
        ensure(!said || !policy.is_hashed(), "zoneAware", "has no effect under policies with hashes")?;
        ensure(!said || !self.locality_weighted, "zoneAware", "has no effect where localities have weights")?;
        let part = self.healthy_panic_threshold <= Decimal::from(100);
        ensure(part, "healthyPanicThreshold", "must not exceed 100")?;
        ensure(self.overprovisioning_factor > 0, "overprovisioningFactor", "must not be zero")
    }
}

impl Default for CommonLb {
    fn default() -> Self {
        Self {
            healthy_panic_threshold: Decimal::from(50),
            overprovisioning_factor: 140,
            locality_weighted: false,
            zone_aware: ZoneAware::default(),
        }
    }
}

/// Splits a cluster by the metadata of its endpoints, so that routes may ask for some of them;
/// `envoy.config.cluster.v3.Cluster.LbSubsetConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Subsets {
    /// By which keys endpoints are told apart; at least one, no two alike.
    pub selectors: Vec<SubsetSelector>,
    /// Which endpoints take a request that asks for no subset, or for one that does not exist; default: none.
    #[serde(default)]
    pub fallback: SubsetFallback,
    /// The metadata of the endpoints that take requests by [`SubsetFallback::DefaultSubset`]; empty: any endpoint.
    #[serde(default)]
    pub default_subset: BTreeMap<String, String>,
    /// Whether localities get requests in proportion to their weights within subsets too, where they do in the cluster;
    /// default: no.
    #[serde(default)]
    pub locality_weight_aware: bool,
}

impl Subsets {
    /// Creates subsets by these keys; requests that ask for none are refused.
    pub fn new(selectors: impl IntoIterator<Item = SubsetSelector>) -> Self {
        Self { selectors: selectors.into_iter().collect(), ..Self::default() }
    }

    /// Sets which endpoints take a request that asks for no subset, or for one that does not exist.
    #[must_use]
    pub fn with_fallback(mut self, fallback: SubsetFallback) -> Self {
        self.fallback = fallback;
        self
    }

    /// Adds to the metadata of the default subset, which falling back to is the consequence.
    #[must_use]
    pub fn with_default(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.default_subset.insert(key.into(), value.into());
        self.with_fallback(SubsetFallback::DefaultSubset)
    }

    /// Sets whether localities get requests in proportion to their weights within subsets too.
    #[must_use]
    pub fn with_locality_weight_aware(mut self, aware: bool) -> Self {
        self.locality_weight_aware = aware;
        self
    }

    pub(super) fn check(&self) -> Checked {
        ensure(!self.selectors.is_empty(), "selectors", "must not be empty")?;
        let mut seen = BTreeSet::new();
        for (index, selector) in self.selectors.iter().enumerate() {
            let keys = format_args!("selectors[{index}].keys");
            ensure(!selector.keys.is_empty(), keys, "must not be empty")?;
            ensure(selector.keys.iter().all(|key| !key.is_empty()), keys, "must not hold an empty key")?;
            ensure(seen.insert(&selector.keys), keys, "are those of another selector")?;
        }
        let uses = |fallback| fallback == SubsetFallback::DefaultSubset;
        let used = uses(self.fallback) || self.selectors.iter().filter_map(|selector| selector.fallback).any(uses);
        let reason = "is not used: no fallback policy is DEFAULT_SUBSET";
        ensure(used || self.default_subset.is_empty(), "defaultSubset", reason)
    }
}

/// Keys by which endpoints are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct SubsetSelector {
    /// Keys of metadata; endpoints that have all of them, with equal values, are one subset. Not empty.
    pub keys: BTreeSet<String>,
    /// Which endpoints take a request that asks for a subset by these keys that does not exist; none: as the other
    /// requests do.
    #[serde(default)]
    pub fallback: Option<SubsetFallback>,
}

impl SubsetSelector {
    /// Creates a selector by these keys.
    pub fn new<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self { keys: keys.into_iter().map(Into::into).collect(), fallback: None }
    }

    /// Sets which endpoints take a request that asks for a subset by these keys that does not exist.
    #[must_use]
    pub fn with_fallback(mut self, fallback: SubsetFallback) -> Self {
        self.fallback = Some(fallback);
        self
    }
}

/// Which endpoints take a request whose subset does not exist;
/// `envoy.config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetFallbackPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum SubsetFallback {
    /// None: the request is answered with "no healthy upstream".
    #[default]
    NoFallback,
    /// All.
    AnyEndpoint,
    /// Those of the default subset.
    DefaultSubset,
}
