//! From the retries, faults and changes that people write to those of a route.

use aeraki_route::config::{
    AbortWith, BackOff, Denominator, Fault, FractionalPercent, HedgePolicy, MutationEntry, MutationValue, RetryBudget,
    RetryOn, RetryPolicy,
};

use crate::crd::{self, KeyValue, MutationOperation, Percent, ValueFrom};

/// Translates retries that have been checked.
pub(super) fn retry(retries: &crd::Retries) -> RetryPolicy {
    let mut policy = RetryPolicy::new(retries.attempts.unwrap_or(1)).with_repeatable(retries.repeatable);
    if let Some(Ok(on)) = retries.retry_on.as_deref().map(RetryOn::list) {
        policy = policy.with_on(on);
    }
    if let Some(timeout) = retries.per_try_timeout {
        policy = policy.with_per_try_timeout(timeout);
    }
    if let Some(back_off) = &retries.back_off {
        let base = back_off.base.unwrap_or_else(|| BackOff::default().base);
        policy = policy.with_back_off(base, back_off.max.unwrap_or_else(|| base.saturating_mul(10)));
    }
    if let Some(budget) = &retries.budget {
        let default = RetryBudget::default();
        let share = budget.percentage.map_or(default.fraction, fraction);
        policy = policy.with_budget(RetryBudget::new(share, budget.min_per_second.unwrap_or(default.min_per_second)));
    }
    policy
}

pub(super) fn hedge(hedging: &crd::Hedging) -> Option<HedgePolicy> {
    hedging.on_per_try_timeout.then(HedgePolicy::on_per_try_timeout)
}

/// Translates faults that have been checked.
pub(super) fn fault(fault: &crd::Fault) -> Fault {
    let mut translated = Fault::new();
    if let Some(delay) = &fault.delay {
        translated = translated.with_delay(delay.fixed_delay.unwrap_or_default(), share(delay.percentage));
    }
    if let Some(abort) = &fault.abort {
        let reason = abort.reason.as_deref().and_then(AbortWith::reason);
        let with = reason.unwrap_or_else(|| AbortWith::Status(abort.status.unwrap_or_default()));
        translated = translated.with_abort(with, share(abort.percentage));
    }
    translated
}

pub(super) fn mutations(entries: &[KeyValue]) -> Vec<MutationEntry> {
    entries.iter().map(mutation).collect()
}

/// Translates a share; an absent one is everything.
pub(super) fn share(percentage: Option<Percent>) -> FractionalPercent {
    percentage.map_or(FractionalPercent::ALWAYS, fraction)
}

fn mutation(entry: &KeyValue) -> MutationEntry {
    let value = match &entry.value_from {
        None => MutationValue::Text(entry.value.clone()),
        Some(ValueFrom { attribute: Some(name), .. }) => MutationValue::Attribute(name.clone()),
        Some(ValueFrom { peer_address: true, .. }) => MutationValue::PeerAddress,
        Some(_) => MutationValue::RequestId,
    };
    match entry.operation.unwrap_or_default() {
        MutationOperation::Set => MutationEntry::set(&entry.key, value),
        MutationOperation::Append => MutationEntry::append(&entry.key, value),
        MutationOperation::SetIfAbsent => MutationEntry::set_if_absent(&entry.key, value),
        MutationOperation::Remove => MutationEntry::remove(&entry.key),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a checked percentage gives at most a million"
)]
fn fraction(percent: Percent) -> FractionalPercent {
    FractionalPercent::new((percent.value * 10_000.0).round() as u32, Denominator::Million)
}
