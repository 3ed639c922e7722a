//! How endpoints are asked whether they are well.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{
    duration,
    error::{Checked, ensure},
};

/// Asks every endpoint again and again whether it is well; `envoy.config.core.v3.HealthCheck`.
///
/// An endpoint gets no requests before its first check has passed, unless too many are ill. The first check decides
/// alone; after it the thresholds do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct HealthCheck {
    /// What is asked.
    pub kind: HealthCheckKind,
    /// How long an answer may take; not zero.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// The time between two checks; not zero.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// Checks that fail in a row until an endpoint is ill; not zero.
    pub unhealthy_threshold: u32,
    /// Checks that pass in a row until it is well again; not zero.
    pub healthy_threshold: u32,
    /// The first check comes after a random time up to this; default: at once.
    #[serde(default, with = "duration")]
    pub initial_jitter: Duration,
    /// A random time up to this is added to the interval; default: none.
    #[serde(default, with = "duration")]
    pub interval_jitter: Duration,
    /// A random share of the interval up to this is added, per cent; default 0.
    #[serde(default)]
    pub interval_jitter_percent: u32,
    /// The interval of an endpoint that is ill; none: the interval.
    #[serde(default, with = "duration::optional")]
    pub unhealthy_interval: Option<Duration>,
    /// The interval while an endpoint that was well fails; none: that of one that is ill.
    #[serde(default, with = "duration::optional")]
    pub unhealthy_edge_interval: Option<Duration>,
    /// The interval while an endpoint that was ill passes; none: the interval.
    #[serde(default, with = "duration::optional")]
    pub healthy_edge_interval: Option<Duration>,
}

impl HealthCheck {
    /// Creates a check every `interval`, of which two that fail or pass in a row decide.
    pub fn new(kind: HealthCheckKind, timeout: Duration, interval: Duration) -> Self {
        Self {
            kind,
            timeout,
            interval,
            unhealthy_threshold: 2,
            healthy_threshold: 2,
            initial_jitter: Duration::ZERO,
            interval_jitter: Duration::ZERO,
            interval_jitter_percent: 0,
            unhealthy_interval: None,
            unhealthy_edge_interval: None,
            healthy_edge_interval: None,
        }
    }

    /// Sets how many checks in a row must fail, and how many must pass.
    #[must_use]
    pub fn with_thresholds(mut self, unhealthy: u32, healthy: u32) -> Self {
        (self.unhealthy_threshold, self.healthy_threshold) = (unhealthy, healthy);
        self
    }

    pub(super) fn check(&self) -> Checked {
        self.kind.check().map_err(|error| error.within("kind"))?;
        duration::check(self.timeout, "timeout")?;
        duration::check(self.interval, "interval")?;
        ensure(self.unhealthy_threshold > 0, "unhealthyThreshold", "must not be zero")?;
        ensure(self.healthy_threshold > 0, "healthyThreshold", "must not be zero")?;
        duration::check_longest(self.initial_jitter, "initialJitter")?;
        duration::check_longest(self.interval_jitter, "intervalJitter")?;
        ensure(self.interval_jitter_percent <= 100, "intervalJitterPercent", "must not be above 100")?;
        duration::check_optional(self.unhealthy_interval, "unhealthyInterval")?;
        duration::check_optional(self.unhealthy_edge_interval, "unhealthyEdgeInterval")?;
        duration::check_optional(self.healthy_edge_interval, "healthyEdgeInterval")
    }
}

/// What an endpoint is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum HealthCheckKind {
    /// It must take a connection, and answer what is sent with all of what is expected, in this order, whatever lies
    /// between; `envoy.config.core.v3.HealthCheck.TcpHealthCheck`.
    #[serde(rename_all = "camelCase")]
    Tcp {
        /// What is sent; empty: nothing.
        #[serde(default)]
        send: Vec<u8>,
        /// What is expected; empty: the connection is enough.
        #[serde(default)]
        receive: Vec<Vec<u8>>,
    },
    /// It must answer a sign of life of a protocol that has one.
    Heartbeat {
        /// The protocol or codec, as in a listener; not empty.
        protocol: String,
    },
}

impl HealthCheckKind {
    /// A connection is enough.
    pub const CONNECT: Self = Self::Tcp { send: Vec::new(), receive: Vec::new() };

    fn check(&self) -> Checked {
        match self {
            Self::Tcp { receive, .. } => {
                ensure(receive.iter().all(|block| !block.is_empty()), "receive", "must not hold an empty block")
            }
            Self::Heartbeat { protocol } => ensure(!protocol.is_empty(), "protocol", "must not be empty"),
        }
    }
}
