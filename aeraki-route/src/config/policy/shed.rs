//! Refusing work before there is too much of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{
    duration,
    error::{Checked, ensure},
};

/// Refuses requests of a listener while too many are under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Shed {
    /// Requests under way at a time on all connections and workers; none: no fixed bound. Not zero.
    #[serde(default)]
    pub max_requests: Option<u32>,
    /// A bound that follows the latency; none: off.
    #[serde(default)]
    pub adaptive: Option<AdaptiveConcurrency>,
}

impl Shed {
    /// Creates a fixed bound.
    pub fn at(max_requests: u32) -> Self {
        Self { max_requests: Some(max_requests), adaptive: None }
    }

    /// Adds a bound that follows the latency.
    #[must_use]
    pub fn with_adaptive(mut self, adaptive: AdaptiveConcurrency) -> Self {
        self.adaptive = Some(adaptive);
        self
    }

    pub(crate) fn check(&self) -> Checked {
        let some = self.max_requests.is_some() || self.adaptive.is_some();
        ensure(some, "maxRequests", "is required where the bound is not adaptive")?;
        ensure(self.max_requests != Some(0), "maxRequests", "must not be zero")?;
        self.adaptive.map_or(Ok(()), |adaptive| adaptive.check().map_err(|error| error.within("adaptive")))
    }
}

/// A bound on requests under way that grows while the latency stays near the best that was seen, and falls with its
/// rise; the gradient controller of `envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AdaptiveConcurrency {
    /// The lowest bound, also used while the best latency is measured; default 3, not zero.
    pub min_requests: u32,
    /// The highest bound; default 1000, not below the lowest.
    pub max_requests: u32,
    /// Time between two changes of the bound; default 100 ms, not zero.
    #[serde(with = "duration")]
    pub update_interval: Duration,
    /// Time after which the best latency is measured anew; default 60 s, not below the update interval.
    #[serde(with = "duration")]
    pub baseline_interval: Duration,
    /// Tolerated rise of the latency above the best, in per cent; default 25.
    pub buffer_percent: u32,
}

impl AdaptiveConcurrency {
    /// Sets the range of the bound.
    #[must_use]
    pub fn with_range(mut self, min_requests: u32, max_requests: u32) -> Self {
        (self.min_requests, self.max_requests) = (min_requests, max_requests);
        self
    }

    /// Sets the time between two changes of the bound.
    #[must_use]
    pub fn with_update_interval(mut self, interval: Duration) -> Self {
        self.update_interval = interval;
        self
    }

    fn check(&self) -> Checked {
        ensure(self.min_requests > 0, "minRequests", "must not be zero")?;
        ensure(self.min_requests <= self.max_requests, "maxRequests", "must not be below the least number")?;
        duration::check(self.update_interval, "updateInterval")?;
        let longer = self.baseline_interval >= self.update_interval;
        ensure(longer, "baselineInterval", "must not be below the update interval")?;
        duration::check(self.baseline_interval, "baselineInterval")
    }
}

impl Default for AdaptiveConcurrency {
    fn default() -> Self {
        Self {
            min_requests: 3,
            max_requests: 1000,
            update_interval: Duration::from_millis(100),
            baseline_interval: Duration::from_secs(60),
            buffer_percent: 25,
        }
    }
}
