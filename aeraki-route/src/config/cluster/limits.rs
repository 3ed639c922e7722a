//! What a cluster may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{
    duration,
    error::{Checked, ensure},
};

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
    /// Further tries under way; none, the default: as many as the routes' budgets allow. Not zero.
    pub max_retries: Option<u32>,
    /// Requests that a connection takes before it ends with the last of them; none, the default: any number. Not zero.
    pub max_requests_per_connection: Option<u32>,
    /// How long a connection takes requests; none, the default: for ever. Not zero. Looked at a quarter of it late at most.
    #[serde(with = "duration::optional")]
    pub max_connection_duration: Option<Duration>,
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

    /// Sets the number of further tries under way.
    #[must_use]
    pub fn with_max_retries(mut self, retries: u32) -> Self {
        self.max_retries = Some(retries);
        self
    }

    /// Sets the number of requests that a connection takes.
    #[must_use]
    pub fn with_max_requests_per_connection(mut self, requests: u32) -> Self {
        self.max_requests_per_connection = Some(requests);
        self
    }

    /// Sets how long a connection takes requests.
    #[must_use]
    pub fn with_max_connection_duration(mut self, duration: Duration) -> Self {
        self.max_connection_duration = Some(duration);
        self
    }

    pub(super) fn check(&self) -> Checked {
        ensure(self.max_connections > 0, "maxConnections", "must not be zero")?;
        for (most, field) in [
            (self.max_requests, "maxRequests"),
            (self.max_retries, "maxRetries"),
            (self.max_requests_per_connection, "maxRequestsPerConnection"),
        ] {
            ensure(most != Some(0), field, "must not be zero; leave it out for no limit")?;
        }
        duration::check_optional(self.max_connection_duration, "maxConnectionDuration")
    }
}

impl Default for ClusterLimits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_pending_requests: 1024,
            max_requests: None,
            max_retries: None,
            max_requests_per_connection: None,
            max_connection_duration: None,
        }
    }
}
