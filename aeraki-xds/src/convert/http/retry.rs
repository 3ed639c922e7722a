//! `envoy.config.route.v3.RetryPolicy` and `HedgePolicy`.

use aeraki_route::config::{BackOff, ConfigError, HedgePolicy, RetryOn, RetryPolicy};

use super::super::at::At;
use super::super::duration;
use crate::proto::envoy::config::route::v3 as proto;
use proto::retry_policy::RetryBackOff;

/// Reads what the standard fields say. Statuses count whether or not `retry_on` names `retriable-status-codes`.
pub(super) fn from_proto(policy: &proto::RetryPolicy, at: &At<'_>) -> Result<RetryPolicy, ConfigError> {
    if !policy.retriable_request_headers.is_empty() {
        let reason = "is not supported: other requests would be tried again too; use a route of their own";
        return Err(at.field("retriable_request_headers").refuse(reason));
    }
    let mut converted = RetryPolicy::new(policy.num_retries.unwrap_or(1));
    converted.on = failures(policy, at)?;
    converted.per_try_timeout =
        duration::positive_from_proto(policy.per_try_timeout.as_ref(), &at.field("per_try_timeout"))?;
    match &policy.retry_back_off {
        Some(back_off) => back_off_from_proto(back_off, converted, &at.field("retry_back_off")),
        None => Ok(converted),
    }
}

pub(super) fn to_proto(policy: &RetryPolicy, at: &At<'_>) -> Result<proto::RetryPolicy, ConfigError> {
    let status = |on: &RetryOn| if let RetryOn::Status(status) = on { Some(*status) } else { None };
    let retriable_status_codes: Vec<_> = policy.on.iter().filter_map(status).collect();
    let named = policy.on.iter().filter_map(|on| on.name());
    let names: Vec<_> = named.chain((!retriable_status_codes.is_empty()).then_some(STATUS_CODES)).collect();
    let try_timeout = |timeout| duration::to_proto(timeout, &at.field("perTryTimeout"));
    let BackOff { base, max, .. } = policy.back_off;
    let at = &at.field("backOff");
    Ok(proto::RetryPolicy {
        retry_on: names.join(","),
        num_retries: Some(policy.attempts),
        per_try_timeout: policy.per_try_timeout.map(try_timeout).transpose()?,
        retriable_status_codes,
        retry_back_off: Some(RetryBackOff {
            base_interval: Some(duration::to_proto(base, &at.field("base"))?),
            max_interval: Some(duration::to_proto(max, &at.field("max"))?),
        }),
        ..proto::RetryPolicy::default()
    })
}

pub(super) fn hedge_from_proto(policy: &proto::HedgePolicy) -> HedgePolicy {
    let mut converted = HedgePolicy::default();
    converted.on_per_try_timeout = policy.hedge_on_per_try_timeout;
    converted
}

pub(super) fn hedge_to_proto(policy: HedgePolicy) -> proto::HedgePolicy {
    proto::HedgePolicy { hedge_on_per_try_timeout: policy.on_per_try_timeout, ..proto::HedgePolicy::default() }
}

/// Lists the failures by name, and behind them the statuses.
fn failures(policy: &proto::RetryPolicy, at: &At<'_>) -> Result<Vec<RetryOn>, ConfigError> {
    let mut on = RetryOn::list(&policy.retry_on).map_err(|error| at.field("retry_on").refuse(error.to_string()))?;
    on.sort_by_key(|on| on.name().is_none());
    for status in policy.retriable_status_codes.iter().copied().map(RetryOn::Status) {
        if !on.contains(&status) {
            on.push(status);
        }
    }
    Ok(on)
}

fn back_off_from_proto(back_off: &RetryBackOff, policy: RetryPolicy, at: &At<'_>) -> Result<RetryPolicy, ConfigError> {
    let base_at = &at.field("base_interval");
    let base = base_at.require(duration::exact_from_proto(back_off.base_interval.as_ref(), base_at)?)?;
    let max = duration::exact_from_proto(back_off.max_interval.as_ref(), &at.field("max_interval"))?;
    // Envoy's default.
    Ok(policy.with_back_off(base, max.unwrap_or_else(|| base.saturating_mul(10))))
}

/// The name by which Envoy is told to heed the statuses.
const STATUS_CODES: &str = "retriable-status-codes";
