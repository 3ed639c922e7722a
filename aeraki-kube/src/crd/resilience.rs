//! Retries, hedging, faults and mirrors of a route.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    duration,
    meta_router::{Destination, Percent},
};

/// Says which failures are tried again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Retries {
    /// Further tries after the first one, 1 to 10; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// How long one try may take; where absent, only the route's timeout counts.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub per_try_timeout: Option<Duration>,
    /// Kinds of failures, separated by commas: `connect-failure`, `reset`, `refused`, `over-limit`, `timeout`, and
    /// statuses of the protocol such as `100`. `connect-failure,reset,refused` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_on: Option<String>,
    /// Whether requests may be executed twice. Unless they may, only what certainly was not executed is tried again.
    #[serde(default)]
    pub repeatable: bool,
    /// The time between two tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_off: Option<BackOff>,
    /// How many further tries there may be among all requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<RetryBudget>,
}

/// Bounds the time between two tries, which is drawn below a bound that doubles with every try.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct BackOff {
    /// The first bound; 25 ms where absent.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub base: Option<Duration>,
    /// The last bound; ten times the first one where absent.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
}

/// Bounds the further tries: a share of the requests, and a few in any case.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryBudget {
    /// The share; 20 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentage: Option<Percent>,
    /// Further tries a second that are always allowed; 3 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_per_second: Option<u32>,
}

/// Says what happens to tries that take long.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Hedging {
    /// Whether a try that exceeds `retries.perTryTimeout` goes on while the next one begins.
    #[serde(default)]
    pub on_per_try_timeout: bool,
}

/// Describes faults on purpose; at least one of the two.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Fault {
    /// Holds requests back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<FaultDelay>,
    /// Ends requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<FaultAbort>,
}

/// Holds requests back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct FaultDelay {
    /// The share of the requests; 100 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentage: Option<Percent>,
    /// For how long; above zero, at most an hour.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub fixed_delay: Option<Duration>,
}

/// Ends requests: exactly one of `reason` and `status`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct FaultAbort {
    /// The share of the requests; 100 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentage: Option<Percent>,
    /// Answers as the proxy does for this reason, by its name in metrics: `fault`, `timeout`, `over_limit`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Answers with a status of the protocol, such as 31 of Dubbo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u32>,
}

/// Says where a copy of requests goes; its answers are discarded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct MirrorDestination {
    /// Where it goes.
    pub destination: Destination,
    /// The share of the requests that is copied; 100 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentage: Option<Percent>,
    /// How long a copy may take; 15 s where absent.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Whether the answers are compared with those that clients get, and differences counted.
    #[serde(default)]
    pub compare: bool,
}
