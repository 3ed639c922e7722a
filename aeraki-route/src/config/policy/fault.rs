//! Faults on purpose.

use std::time::Duration;

use aeraki_codec::Reason;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::local_limit::check_matches;
use crate::config::{
    AttributeMatch, FractionalPercent, duration,
    error::{Checked, ensure},
};

/// Delays and ends requests on purpose; `envoy.extensions.filters.http.fault.v3.HTTPFault`.
///
/// A request may be delayed and then ended: each is drawn for on its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Fault {
    /// Conditions that must all hold; none: every request.
    #[serde(default)]
    pub matches: Vec<AttributeMatch>,
    /// Holds requests back; at least one of `delay` and `abort` is given.
    #[serde(default)]
    pub delay: Option<Delay>,
    /// Ends requests.
    #[serde(default)]
    pub abort: Option<Abort>,
    /// Requests that are held back at a time, at most; further ones are not delayed, and counted; default 1024, not
    /// zero.
    #[serde(default = "max_active")]
    pub max_active: u32,
}

impl Fault {
    /// Creates a fault that holds back and ends nothing, to be completed.
    pub fn new() -> Self {
        Self { matches: Vec::new(), delay: None, abort: None, max_active: max_active() }
    }

    /// Adds a condition.
    #[must_use]
    pub fn with_match(mut self, condition: AttributeMatch) -> Self {
        self.matches.push(condition);
        self
    }

    /// Holds a share of the requests back.
    #[must_use]
    pub fn with_delay(mut self, duration: Duration, fraction: FractionalPercent) -> Self {
        self.delay = Some(Delay { duration, fraction });
        self
    }

    /// Ends a share of the requests.
    #[must_use]
    pub fn with_abort(mut self, with: AbortWith, fraction: FractionalPercent) -> Self {
        self.abort = Some(Abort { with, fraction });
        self
    }

    /// Sets how many requests are held back at a time, at most.
    #[must_use]
    pub fn with_max_active(mut self, requests: u32) -> Self {
        self.max_active = requests;
        self
    }

    pub(crate) fn check(&self) -> Checked {
        check_matches(&self.matches)?;
        ensure(self.delay.is_some() || self.abort.is_some(), "delay", "is required where there is no abort")?;
        if let Some(delay) = &self.delay {
            duration::check(delay.duration, "delay.duration")?;
            ensure(delay.duration <= LONGEST, "delay.duration", format_args!("must not exceed {LONGEST:?}"))?;
            delay.fraction.check().map_err(|error| error.within("delay.fraction"))?;
        }
        if let Some(abort) = &self.abort {
            abort.fraction.check().map_err(|error| error.within("abort.fraction"))?;
        }
        ensure(self.max_active > 0, "maxActive", "must not be zero")
    }
}

impl Default for Fault {
    fn default() -> Self {
        Self::new()
    }
}

/// Holds requests back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Delay {
    /// For how long; above zero, at most an hour.
    #[serde(with = "duration")]
    pub duration: Duration,
    /// Share of the requests; default: all.
    #[serde(default)]
    pub fraction: FractionalPercent,
}

/// Ends requests without asking an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Abort {
    /// What the client is told.
    pub with: AbortWith,
    /// Share of the requests; default: all.
    #[serde(default)]
    pub fraction: FractionalPercent,
}

/// What the client of a request that is ended on purpose is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum AbortWith {
    /// The reply of the codec for this reason, by its name in metrics: `fault`, `timeout`, `over_limit`, ...
    Reason(#[serde(serialize_with = "write_reason", deserialize_with = "read_reason")] Reason),
    /// A status of the protocol itself, such as 31 of Dubbo; codecs without numeric statuses reply as for a fault.
    Status(u32),
}

impl AbortWith {
    /// Finds a reason by its name in metrics, such as `fault`; none if there is none of this name.
    pub fn reason(name: &str) -> Option<Self> {
        find_reason(name).map(Self::Reason)
    }
}

fn find_reason(name: &str) -> Option<Reason> {
    Reason::ALL.iter().find(|reason| reason.as_str() == name).copied()
}

fn write_reason<S: Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.as_str())
}

fn read_reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reason, D::Error> {
    let name = String::deserialize(deserializer)?;
    find_reason(&name).ok_or_else(|| D::Error::custom(format!("there is no reason {name:?}")))
}

fn max_active() -> u32 {
    1024
}

/// Of a delay: a request held back takes memory.
const LONGEST: Duration = Duration::from_secs(3600);
