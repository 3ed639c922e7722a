//! How far requests stay in the zone of the proxy.

use serde::{Deserialize, Serialize};

use crate::config::{
    decimal::Decimal,
    error::{Checked, ensure},
};

/// Keeps requests in the zone of the proxy, as far as all endpoints still get the same;
/// `envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig`.
///
/// It has an effect where the proxy knows [the cluster that it belongs to](crate::config::Proxy::local_cluster), under
/// policies without hashes, and where localities have no weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ZoneAware {
    /// The share of requests for which zones count, in per cent; default and at most 100.
    pub routing_enabled: Decimal,
    /// Healthy endpoints of the first priority that there must be, or zones do not count; default 6.
    pub min_cluster_size: u32,
    /// Whether requests fail in panic, instead of going to endpoints whatever their health; default: no. This holds
    /// without a cluster of the proxy's own, too.
    pub fail_traffic_on_panic: bool,
}

impl ZoneAware {
    /// Sets for which share of requests zones count, in per cent.
    #[must_use]
    pub fn with_routing_enabled(mut self, percent: Decimal) -> Self {
        self.routing_enabled = percent;
        self
    }

    /// Sets how many healthy endpoints there must be.
    #[must_use]
    pub fn with_min_cluster_size(mut self, endpoints: u32) -> Self {
        self.min_cluster_size = endpoints;
        self
    }

    /// Sets whether requests fail in panic.
    #[must_use]
    pub fn with_fail_traffic_on_panic(mut self, fail: bool) -> Self {
        self.fail_traffic_on_panic = fail;
        self
    }

    pub(super) fn check(&self) -> Checked {
        ensure(self.routing_enabled <= Decimal::from(100), "routingEnabled", "must not exceed 100")
    }
}

impl Default for ZoneAware {
    fn default() -> Self {
        Self { routing_enabled: Decimal::from(100), min_cluster_size: 6, fail_traffic_on_panic: false }
    }
}
