//! Timeouts, wanted endpoints, retries, hedging and faults of a route.

use std::time::Duration;

use aeraki_route::config::{AbortWith, BackOff as DefaultBackOff, RetryOn};

use super::{Check, LONGEST};
use crate::crd::{BackOff, Fault, FaultAbort, FaultDelay, MetaRoute, Percent, Retries};

impl Check<'_> {
    pub(super) fn resilience(&mut self, route: &MetaRoute, field: &str) {
        self.time(route.timeout, format!("{field}.timeout"));
        let callers = &route.caller_timeouts;
        self.require(callers.len() <= 10, format!("{field}.callerTimeouts"), "must not hold more than 10 attributes");
        let named = callers.iter().all(|attribute| !attribute.is_empty());
        self.require(named, format!("{field}.callerTimeouts"), "must not hold an empty name");
        let named = route.override_host.as_deref() != Some("");
        self.require(named, format!("{field}.overrideHost"), "must not be empty");
        if let Some(retries) = &route.retries {
            self.retries(retries, route.timeout, &format!("{field}.retries"));
        }
        if route.hedging.as_ref().is_some_and(|hedging| hedging.on_per_try_timeout) {
            self.hedging(route.retries.as_ref(), format!("{field}.hedging.onPerTryTimeout"));
        }
        if let Some(fault) = &route.fault {
            self.fault(fault, &format!("{field}.fault"));
        }
    }

    fn retries(&mut self, retries: &Retries, timeout: Option<Duration>, field: &str) {
        let attempts = retries.attempts.is_none_or(|attempts| (1..=10).contains(&attempts));
        self.require(attempts, format!("{field}.attempts"), "must lie between 1 and 10");
        self.time(retries.per_try_timeout, format!("{field}.perTryTimeout"));
        if let (Some(one), Some(whole)) = (retries.per_try_timeout, timeout) {
            let reason = || format!("must not exceed the timeout of {whole:?}");
            self.require_with(one <= whole, format!("{field}.perTryTimeout"), reason);
        }
        match retries.retry_on.as_deref().map(RetryOn::list) {
            Some(Err(error)) => self.require(false, format!("{field}.retryOn"), error.to_string()),
            Some(Ok(list)) => self.retry_on(&list, retries.repeatable, format!("{field}.retryOn")),
            None => {}
        }
        if let Some(BackOff { base, max }) = &retries.back_off {
            self.time(*base, format!("{field}.backOff.base"));
            let least = base.unwrap_or_else(|| DefaultBackOff::default().base);
            let reason = || format!("must not be below the base of {least:?}");
            self.require_with(max.is_none_or(|max| max >= least), format!("{field}.backOff.max"), reason);
            self.require(
                max.is_none_or(|max| max <= LONGEST),
                format!("{field}.backOff.max"),
                "must be at most 365 days",
            );
        }
        if let Some(budget) = &retries.budget {
            self.percentage(budget.percentage, &format!("{field}.budget.percentage"));
        }
    }

    fn retry_on(&mut self, list: &[RetryOn], repeatable: bool, field: String) {
        self.require(!list.is_empty(), &field, "must name a kind of failure");
        let executed = |on: &&RetryOn| matches!(on, RetryOn::Reset | RetryOn::Timeout | RetryOn::Status(_));
        if let Some(on) = list.iter().find(executed).filter(|_| !repeatable) {
            let name = on.name().unwrap_or("a status");
            self.ineffective(field, format!("{name} is tried again only where `repeatable` is true"));
        }
    }

    fn hedging(&mut self, retries: Option<&Retries>, field: String) {
        let reason = match retries {
            None => "has no `retries` to apply to",
            Some(Retries { repeatable: false, .. }) => "is only for requests that are `repeatable`",
            Some(Retries { per_try_timeout: None, .. }) => "needs a `perTryTimeout`",
            Some(_) => return,
        };
        self.require(false, field, reason);
    }

    fn fault(&mut self, fault: &Fault, field: &str) {
        self.require(fault.delay.is_some() || fault.abort.is_some(), field, "must hold a `delay` or an `abort`");
        if let Some(FaultDelay { percentage, fixed_delay }) = &fault.delay {
            self.percentage(*percentage, &format!("{field}.delay.percentage"));
            let time = fixed_delay.is_some_and(|delay| !delay.is_zero() && delay <= LONGEST_DELAY);
            self.require(time, format!("{field}.delay.fixedDelay"), "must be a time above zero, at most an hour");
        }
        if let Some(FaultAbort { percentage, reason, status }) = &fault.abort {
            let field = format!("{field}.abort");
            self.percentage(*percentage, &format!("{field}.percentage"));
            self.require(reason.is_some() != status.is_some(), &field, "must hold either a `reason` or a `status`");
            let unknown = reason.as_deref().filter(|name| AbortWith::reason(name).is_none());
            self.require_with(unknown.is_none(), format!("{field}.reason"), || {
                format!("there is no reason {:?}", unknown.unwrap_or_default())
            });
        }
    }

    /// Checks a share that may be nothing.
    fn percentage(&mut self, share: Option<Percent>, field: &str) {
        let holds = share.is_none_or(|share| share.value == 0.0 || (LEAST_SHARE..=100.0).contains(&share.value));
        self.require(holds, format!("{field}.value"), "must be 0, or lie between 0.0001 and 100");
    }
}

/// That of the proxy's configuration.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);
/// A millionth, in per cent: less would become nothing.
pub(super) const LEAST_SHARE: f64 = 0.0001;
