//! How many connections a listener has at a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    duration,
    error::{Checked, ensure},
};

/// Closes connections beyond a number; `envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct ConnectionLimit {
    /// Part of the name of its metrics; not empty.
    pub stat_prefix: String,
    /// Connections at a time, those of all workers together; not zero.
    pub max_connections: u32,
    /// How long a connection beyond the number is held before it is closed, so that who tries again at once is slowed
    /// down; default: not at all.
    #[serde(default, with = "duration")]
    pub delay: Duration,
}

impl ConnectionLimit {
    /// Creates a limit beyond which connections are closed at once.
    pub fn new(stat_prefix: impl Into<String>, max_connections: u32) -> Self {
        Self { stat_prefix: stat_prefix.into(), max_connections, delay: Duration::ZERO }
    }

    /// Sets how long a connection beyond the number is held.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(super) fn check(&self) -> Checked {
        ensure(!self.stat_prefix.is_empty(), "statPrefix", "must not be empty")?;
        ensure(self.max_connections > 0, "maxConnections", "must not be zero")?;
        duration::check_longest(self.delay, "delay")
    }
}
