//! What a cluster may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{
    duration,
    error::{Checked, ensure},
    placement::RoutingPriority,
};

/// What a cluster may take: thresholds for each priority of requests, and what one connection may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ClusterLimits {
    /// For the requests of routes that do not say how urgent they are.
    pub thresholds: Thresholds,
    /// For the requests of routes of high priority, which have connections of their own.
    pub high_thresholds: Thresholds,
    /// Requests that a connection takes before it ends with the last of them; none, the default: any number. Not zero.
    pub max_requests_per_connection: Option<u32>,
    /// How long a connection takes requests; none, the default: for ever. Not zero. Looked at a quarter of it late at
    /// most.
    #[serde(with = "duration::optional")]
    pub max_connection_duration: Option<Duration>,
}

impl ClusterLimits {
    /// Sets the thresholds for requests of a priority.
    #[must_use]
    pub fn with_thresholds(mut self, priority: RoutingPriority, thresholds: Thresholds) -> Self {
        match priority {
            RoutingPriority::Default => self.thresholds = thresholds,
            RoutingPriority::High => self.high_thresholds = thresholds,
        }
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

    /// Returns the thresholds for requests of a priority.
    pub const fn of(&self, priority: RoutingPriority) -> &Thresholds {
        match priority {
            RoutingPriority::Default => &self.thresholds,
            RoutingPriority::High => &self.high_thresholds,
        }
    }

    pub(super) fn check(&self) -> Checked {
        self.thresholds.check().map_err(|error| error.within("thresholds"))?;
        self.high_thresholds.check().map_err(|error| error.within("highThresholds"))?;
        let most = self.max_requests_per_connection;
        ensure(most != Some(0), "maxRequestsPerConnection", NOT_ZERO)?;
        duration::check_optional(self.max_connection_duration, "maxConnectionDuration")
    }
}

impl From<Thresholds> for ClusterLimits {
    /// Bounds the requests that are not urgent.
    fn from(thresholds: Thresholds) -> Self {
        Self { thresholds, ..Self::default() }
    }
}

/// What the requests of one priority may use before further ones are refused;
/// `envoy.config.cluster.v3.CircuitBreakers.Thresholds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Thresholds {
    /// Connections to all endpoints together; default 1024, not zero.
    pub max_connections: u32,
    /// Requests that wait for a connection; default 1024, 0: none may wait.
    pub max_pending_requests: u32,
    /// Requests under way, waiting ones included; none, the default: any number. Not zero.
    pub max_requests: Option<u32>,
    /// Further tries under way; none, the default: as many as the routes' budgets allow. Not zero.
    pub max_retries: Option<u32>,
    /// Whether it is shown how much is left of them; default: no.
    pub track_remaining: bool,
}

impl Thresholds {
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

    /// Sets whether it is shown how much is left.
    #[must_use]
    pub fn with_track_remaining(mut self, track: bool) -> Self {
        self.track_remaining = track;
        self
    }

    fn check(&self) -> Checked {
        ensure(self.max_connections > 0, "maxConnections", "must not be zero")?;
        ensure(self.max_requests != Some(0), "maxRequests", NOT_ZERO)?;
        ensure(self.max_retries != Some(0), "maxRetries", NOT_ZERO)
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_pending_requests: 1024,
            max_requests: None,
            max_retries: None,
            track_remaining: false,
        }
    }
}

const NOT_ZERO: &str = "must not be zero; leave it out for no limit";
