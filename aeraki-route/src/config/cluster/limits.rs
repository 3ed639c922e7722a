//! What a cluster may take.

use serde::{Deserialize, Serialize};

use crate::config::error::{Checked, ensure};

/// What a cluster may take before requests are refused; `envoy.config.cluster.v3.CircuitBreakers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ClusterLimits {
    /// Connections to all endpoints together; default 1024, not zero.
    pub max_connections: u32,
    /// Requests that wait for a connection; default 1024, 0: none may wait.
    pub max_pending_requests: u32,
    /// Requests under way, waiting ones included; none, the default: any number. Not zero.
    pub max_requests: Option<u32>,
}

impl ClusterLimits {
    /// Sets the number of connections.
    #[must_use]
    pub fn with_max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets the number of requests that wait for a connection.
    #[must_use]
    pub fn with_max_pending_requests(mut self, requests: u32) -> Self {
        self.max_pending_requests = requests;
        self
    }

    /// Sets the number of requests under way.
    #[must_use]
    pub fn with_max_requests(mut self, requests: u32) -> Self {
        self.max_requests = Some(requests);
        self
    }

    pub(super) fn check(&self) -> Checked {
        ensure(self.max_connections > 0, "maxConnections", "must not be zero")?;
        ensure(self.max_requests != Some(0), "maxRequests", "must not be zero; leave it out for no limit")
    }
}

impl Default for ClusterLimits {
    fn default() -> Self {
        Self { max_connections: 1024, max_pending_requests: 1024, max_requests: None }
    }
}
