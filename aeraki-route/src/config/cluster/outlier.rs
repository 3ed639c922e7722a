//! When an endpoint gets no requests for a while, since too many of them fail there.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{
    duration,
    error::{Checked, ensure},
};

/// Takes endpoints out for a while that fail more than others; `envoy.config.cluster.v3.OutlierDetection`, with its
/// defaults.
///
/// An answer is an error where the protocol says that the call failed (Dubbo: a status other than 20; Thrift: a
/// `TApplicationException`), unless [`error_statuses`](Self::error_statuses) says otherwise; exceptions of the
/// application are not. What happens before an answer is there (no connection, a connection that ends, no answer in
/// time) is a failure of local origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct OutlierDetection {
    /// Errors in a row; Envoy's `consecutive_5xx`. Default: 5, always enforced.
    pub consecutive_errors: Consecutive,
    /// Errors in a row that say that a server cannot take the request (refused, or of local origin unless these are
    /// counted for themselves); Envoy's `consecutive_gateway_failure`. Default: 5, never enforced.
    pub consecutive_gateway_failure: Consecutive,
    /// Failures of local origin in a row, where these are counted for themselves. Default: 5, always enforced.
    pub consecutive_local_origin_failure: Consecutive,
    /// Counts failures of local origin for themselves; default: they are errors like others.
    pub split_external_local_origin_errors: bool,
    /// Compares the success of endpoints with each other.
    pub success_rate: SuccessRate,
    /// Compares the failures of each endpoint with a threshold.
    pub failure_percentage: FailurePercentage,
    /// The time between two looks at rates, and at endpoints whose time is over; default 10 s, not zero.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// How long an endpoint is out at first; each time that it is taken out again adds as much. Default 30 s, not zero.
    #[serde(with = "duration")]
    pub base_ejection_time: Duration,
    /// How long an endpoint is out at most; default 300 s, or the base where that is longer.
    #[serde(with = "duration::optional")]
    pub max_ejection_time: Option<Duration>,
    /// A random time up to this is added, so that not all come back at once; default: none.
    #[serde(with = "duration")]
    pub max_ejection_time_jitter: Duration,
    /// The share of endpoints that may be out at a time; per cent, default 10.
    pub max_ejection_percent: u32,
    /// Whether one endpoint may always be out, whatever the share; default: no.
    pub always_eject_one_host: bool,
    /// Whether an active check that passes brings an endpoint back; default: yes.
    pub successful_active_health_check_uneject_host: bool,
    /// Statuses of the protocol that are errors; none: what the protocol calls a failure.
    pub error_statuses: Option<Vec<i32>>,
}

impl OutlierDetection {
    pub(super) fn check(&self) -> Checked {
        self.consecutive_errors.check().map_err(|error| error.within("consecutiveErrors"))?;
        self.consecutive_gateway_failure.check().map_err(|error| error.within("consecutiveGatewayFailure"))?;
        self.consecutive_local_origin_failure.check().map_err(|error| error.within("consecutiveLocalOriginFailure"))?;
        self.success_rate.check().map_err(|error| error.within("successRate"))?;
        self.failure_percentage.check().map_err(|error| error.within("failurePercentage"))?;
        duration::check(self.interval, "interval")?;
        duration::check(self.base_ejection_time, "baseEjectionTime")?;
        duration::check_optional(self.max_ejection_time, "maxEjectionTime")?;
        let longest = self.max_ejection_time.is_none_or(|max| max >= self.base_ejection_time);
        ensure(longest, "maxEjectionTime", "must not be below the base ejection time")?;
        duration::check_longest(self.max_ejection_time_jitter, "maxEjectionTimeJitter")?;
        percent(self.max_ejection_percent, "maxEjectionPercent")
    }

    /// Returns how long an endpoint is out at most.
    pub fn longest_ejection(&self) -> Duration {
        self.max_ejection_time.unwrap_or_else(|| self.base_ejection_time.max(Duration::from_secs(300)))
    }
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_errors: Consecutive::new(5, 100),
            consecutive_gateway_failure: Consecutive::new(5, 0),
            consecutive_local_origin_failure: Consecutive::new(5, 100),
            split_external_local_origin_errors: false,
            success_rate: SuccessRate::default(),
            failure_percentage: FailurePercentage::default(),
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: None,
            max_ejection_time_jitter: Duration::ZERO,
            max_ejection_percent: 10,
            always_eject_one_host: false,
            successful_active_health_check_uneject_host: true,
            error_statuses: None,
        }
    }
}

/// How many failures in a row take an endpoint out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Consecutive {
    /// The number; 0: no number does, and none is counted.
    pub threshold: u32,
    /// How often an endpoint that has reached it is taken out, per cent; else it is only counted.
    pub enforcing: u32,
}

impl Consecutive {
    /// Creates a rule.
    pub fn new(threshold: u32, enforcing: u32) -> Self {
        Self { threshold, enforcing }
    }

    fn check(self) -> Checked {
        percent(self.enforcing, "enforcing")
    }
}

/// Takes out endpoints whose success lies too far below that of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SuccessRate {
    /// Endpoints with enough requests that there must be; default 5.
    pub minimum_hosts: u32,
    /// Requests to an endpoint in an interval that are enough; default 100.
    pub request_volume: u32,
    /// How many thousandths of the standard deviation a rate may lie below the mean; default 1900.
    pub stdev_factor: u32,
    /// How often it is enforced, per cent; default 100.
    pub enforcing: u32,
    /// The same for failures of local origin, where these are counted for themselves; default 100.
    pub enforcing_local_origin: u32,
}

impl SuccessRate {
    fn check(&self) -> Checked {
        percent(self.enforcing, "enforcing")?;
        percent(self.enforcing_local_origin, "enforcingLocalOrigin")
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self { minimum_hosts: 5, request_volume: 100, stdev_factor: 1900, enforcing: 100, enforcing_local_origin: 100 }
    }
}

/// Takes out endpoints of whose requests too many fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct FailurePercentage {
    /// From how many failures on, per cent; default 85.
    pub threshold: u32,
    /// Endpoints with enough requests that there must be; default 5.
    pub minimum_hosts: u32,
    /// Requests to an endpoint in an interval that are enough; default 50.
    pub request_volume: u32,
    /// How often it is enforced, per cent; default 0.
    pub enforcing: u32,
    /// The same for failures of local origin, where these are counted for themselves; default 0.
    pub enforcing_local_origin: u32,
}

impl FailurePercentage {
    fn check(&self) -> Checked {
        percent(self.threshold, "threshold")?;
        percent(self.enforcing, "enforcing")?;
        percent(self.enforcing_local_origin, "enforcingLocalOrigin")
    }
}

impl Default for FailurePercentage {
    fn default() -> Self {
        Self { threshold: 85, minimum_hosts: 5, request_volume: 50, enforcing: 0, enforcing_local_origin: 0 }
    }
}

fn percent(value: u32, field: &str) -> Checked {
    ensure(value <= 100, field, "must not be above 100")
}
