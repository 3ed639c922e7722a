//! Connections that are opened before they are needed.

use serde::{Deserialize, Serialize};

use crate::config::{
    decimal::Decimal,
    error::{Checked, ensure},
};

/// Opens connections before they are needed, within the limits of the cluster and to endpoints that take requests only;
/// `envoy.config.cluster.v3.Cluster.PreconnectPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Preconnect {
    /// For how many requests there are connections to an endpoint, in relation to those that are under way or wait
    /// there; default 1: none ahead. 1 to 3.
    pub per_upstream_ratio: Decimal,
    /// Connections to every endpoint that nobody uses yet, so that the first request need not wait for one; they count
    /// among those of the cluster. Default 0, at most 16. Envoy has no such setting.
    pub spare_connections: u32,
}

impl Preconnect {
    /// Sets for how many requests there are connections, in relation to those that there are.
    #[must_use]
    pub fn with_per_upstream_ratio(mut self, ratio: Decimal) -> Self {
        self.per_upstream_ratio = ratio;
        self
    }

    /// Sets how many connections to every endpoint there are that nobody uses yet.
    #[must_use]
    pub fn with_spare_connections(mut self, connections: u32) -> Self {
        self.spare_connections = connections;
        self
    }

    pub(super) fn check(&self) -> Checked {
        let within = (Decimal::ONE..=Decimal::from(3)).contains(&self.per_upstream_ratio);
        ensure(within, "perUpstreamRatio", "must lie between 1 and 3")?;
        let few = self.spare_connections <= MAX_SPARE;
        ensure(few, "spareConnections", format_args!("must not exceed {MAX_SPARE}"))
    }
}

impl Default for Preconnect {
    fn default() -> Self {
        Self { per_upstream_ratio: Decimal::ONE, spare_connections: 0 }
    }
}

const MAX_SPARE: u32 = 16;
