//! Further tries of requests that failed.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::config::{
    FractionalPercent, duration,
    error::{Checked, ensure},
};

/// Tries a request again on another host; `envoy.config.route.v3.RetryPolicy`.
///
/// A request whose answer is lost may have been executed. So a failure that cannot be shown to have come before that is
/// tried again only where the policy says that requests are `repeatable`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Further tries after the first one, 1 to 10; default 1.
    #[serde(default = "one")]
    pub attempts: u32,
    /// How long one try may take; none: only the route's timeout counts. Not zero.
    #[serde(default, with = "duration::optional")]
    pub per_try_timeout: Option<Duration>,
    /// Which failures are tried again; default: connect failures, resets, refusals.
    #[serde(default = "default_on")]
    pub on: Vec<RetryOn>,
    /// Whether requests may be executed twice; default: no.
    #[serde(default)]
    pub repeatable: bool,
    /// How long to wait before a further try.
    #[serde(default)]
    pub back_off: BackOff,
    /// How many further tries there may be among the requests of the route.
    #[serde(default)]
    pub budget: RetryBudget,
}

impl RetryPolicy {
    /// Creates a policy of so many further tries.
    pub fn new(attempts: u32) -> Self {
        Self {
            attempts,
            per_try_timeout: None,
            on: default_on(),
            repeatable: false,
            back_off: BackOff::default(),
            budget: RetryBudget::default(),
        }
    }

    /// Sets how long one try may take.
    #[must_use]
    pub fn with_per_try_timeout(mut self, timeout: Duration) -> Self {
        self.per_try_timeout = Some(timeout);
        self
    }

    /// Sets which failures are tried again.
    #[must_use]
    pub fn with_on(mut self, on: impl IntoIterator<Item = RetryOn>) -> Self {
        self.on = on.into_iter().collect();
        self
    }

    /// Sets whether requests may be executed twice.
    #[must_use]
    pub fn with_repeatable(mut self, repeatable: bool) -> Self {
        self.repeatable = repeatable;
        self
    }

    /// Sets how long to wait before a further try.
    #[must_use]
    pub fn with_back_off(mut self, base: Duration, max: Duration) -> Self {
        self.back_off = BackOff { base, max };
        self
    }

    /// Sets how many further tries there may be.
    #[must_use]
    pub fn with_budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    pub(crate) fn check(&self) -> Checked {
        ensure((1..=10).contains(&self.attempts), "attempts", "must lie between 1 and 10")?;
        duration::check_optional(self.per_try_timeout, "perTryTimeout")?;
        ensure(!self.on.is_empty(), "on", "must name at least one kind of failure")?;
        let BackOff { base, max } = self.back_off;
        duration::check(base, "backOff.base")?;
        ensure(base <= max, "backOff.max", "must not be below the base")?;
        duration::check(max, "backOff.max")?;
        self.budget.fraction.check().map_err(|error| error.within("budget.fraction"))
    }
}

/// A kind of failure that may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RetryOn {
    /// No connection could be made: the request was certainly not executed.
    ConnectFailure,
    /// The connection ended before the answer; the request may have been executed.
    Reset,
    /// The server said by its status that it did not take the request, such as a full thread pool of Dubbo.
    Refused,
    /// A proxy like this one before the server kept the request out, by a rate limit or by shedding load, so that it
    /// was not executed; not among the defaults, since such a limit is meant. Dubbo has one status for this and for a
    /// full thread pool, 100: the text decides, which begins with `over_limit: ` or `shed: ` where a proxy has written
    /// it. Other protocols do not tell.
    OverLimit,
    /// The try took too long; the request may have been executed.
    Timeout,
    /// The answer carries this status of the protocol; the request may have been executed.
    Status(u32),
}

impl RetryOn {
    /// Reads a list as Envoy and Istio write it: names such as `connect-failure`, and statuses, separated by commas.
    ///
    /// Of their names, `refused-stream` is [`Refused`](Self::Refused), `reset-before-request` is
    /// [`ConnectFailure`](Self::ConnectFailure), `gateway-error` is what HTTP proxies answer 502 to 504 for, connect
    /// failures, resets, refusals and timeouts, and `retriable-status-codes` adds nothing to the statuses that are
    /// given. What is named twice is listed once.
    ///
    /// # Errors
    ///
    /// The first name that is unknown. Those that stand for statuses of HTTP or gRPC, such as `5xx`, are.
    pub fn list(text: &str) -> Result<Vec<Self>, RetryOnError> {
        let mut list = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            for kind in Self::named(name)? {
                if !list.contains(&kind) {
                    list.push(kind);
                }
            }
        }
        Ok(list)
    }

    /// Returns its name in such a list; none for a status.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(_, kind)| *kind == self).map(|(name, _)| *name)
    }

    fn named(name: &str) -> Result<Vec<Self>, RetryOnError> {
        if let Some((_, kind)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(vec![*kind]);
        }
        match name {
            "refused-stream" => Ok(vec![Self::Refused]),
            "reset-before-request" => Ok(vec![Self::ConnectFailure]),
            "gateway-error" => Ok(vec![Self::ConnectFailure, Self::Reset, Self::Refused, Self::Timeout]),
            "retriable-status-codes" => Ok(Vec::new()),
            _ => Ok(vec![Self::Status(name.parse().map_err(|_| RetryOnError(name.to_owned()))?)]),
        }
    }
}

/// Reports a name that is no kind of failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOnError(String);

impl fmt::Display for RetryOnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = NAMES.map(|(name, _)| name).join(", ");
        write!(f, "{:?} is unknown: use {names}, or statuses of the protocol", self.0)
    }
}

impl std::error::Error for RetryOnError {}

/// The time between two tries: full jitter below a bound that doubles with every try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct BackOff {
    /// The first bound; default 25 ms, not zero.
    #[serde(with = "duration")]
    pub base: Duration,
    /// The last bound; default 250 ms, not below the base.
    #[serde(with = "duration")]
    pub max: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { base: Duration::from_millis(25), max: Duration::from_millis(250) }
    }
}

/// How many further tries there may be: a share of all requests, and a few in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryBudget {
    /// Share of the requests of the last ten seconds; default 20 %.
    pub fraction: FractionalPercent,
    /// Further tries a second that are always allowed; default 3.
    pub min_per_second: u32,
}

impl RetryBudget {
    /// Creates a budget.
    pub fn new(fraction: FractionalPercent, min_per_second: u32) -> Self {
        Self { fraction, min_per_second }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { fraction: FractionalPercent::percent(20), min_per_second: 3 }
    }
}

/// Sends a second copy of a request that takes long, and uses the first answer; `envoy.config.route.v3.HedgePolicy`.
///
/// Takes effect with a [`RetryPolicy`] that is `repeatable` and has a `per_try_timeout`: when that has passed, the next
/// try begins and the earlier one goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct HedgePolicy {
    /// Whether a try that exceeds its timeout goes on while the next one begins; default: no.
    #[serde(default)]
    pub on_per_try_timeout: bool,
}

impl HedgePolicy {
    /// Creates a policy under which a try that exceeds its timeout goes on.
    pub fn on_per_try_timeout() -> Self {
        Self { on_per_try_timeout: true }
    }
}

fn one() -> u32 {
    1
}

fn default_on() -> Vec<RetryOn> {
    vec![RetryOn::ConnectFailure, RetryOn::Reset, RetryOn::Refused]
}

const NAMES: [(&str, RetryOn); 5] = [
    ("connect-failure", RetryOn::ConnectFailure),
    ("reset", RetryOn::Reset),
    ("refused", RetryOn::Refused),
    ("over-limit", RetryOn::OverLimit),
    ("timeout", RetryOn::Timeout),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_envoy_and_istio_are_read() {
        use RetryOn::{ConnectFailure, OverLimit, Refused, Reset, Status, Timeout};
        for (text, expected) in [
            ("", vec![]),
            ("connect-failure,reset, refused", vec![ConnectFailure, Reset, Refused]),
            ("over-limit,timeout,over-limit", vec![OverLimit, Timeout]),
            ("refused-stream,gateway-error", vec![Refused, ConnectFailure, Reset, Timeout]),
            ("retriable-status-codes,reset-before-request,100", vec![ConnectFailure, Status(100)]),
        ] {
            assert_eq!(RetryOn::list(text), Ok(expected), "{text}");
        }
        let expected = r#""5xx" is unknown: use connect-failure, reset, refused, over-limit, timeout, or statuses of the protocol"#;
        assert_eq!(RetryOn::list("reset,5xx").expect_err("is of HTTP").to_string(), expected);
    }

    #[test]
    fn names_are_those_of_the_plain_form() {
        for (name, kind) in NAMES {
            assert_eq!(serde_json::to_value(kind).expect("is text"), name);
            assert_eq!(kind.name(), Some(name));
        }
        assert_eq!(RetryOn::Status(1).name(), None);
    }
}
