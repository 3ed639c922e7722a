//! What the service answers: matches a question with the limits, counts, compares.

use std::{borrow::Cow, collections::HashSet};

use tonic::Status;

use super::{
    Hit, Limits, Store, Unit, Window,
    limits::{Limit, Rate},
};
use crate::proto::envoy::{
    extensions::common::ratelimit::v3::RateLimitDescriptor,
    service::ratelimit::v3::{
        RateLimitRequest, RateLimitResponse,
        rate_limit_response::{Code, DescriptorStatus, RateLimit},
    },
};

/// Answers `request` at `now`, in seconds since the Unix epoch.
///
/// Every descriptor that has a limit is counted, also when another one is over its limit already.
///
/// # Errors
///
/// Fails with INVALID_ARGUMENT on a request that means nothing, with UNAVAILABLE where the store fails.
pub(super) async fn decide<S: Store>(
    limits: &Limits,
    store: &S,
    request: &RateLimitRequest,
    now: u64,
) -> Result<RateLimitResponse, Status> {
    if request.domain.is_empty() {
        return Err(Status::invalid_argument("domain: must not be empty"));
    }
    if request.descriptors.is_empty() {
        return Err(Status::invalid_argument("descriptors: must hold at least one descriptor"));
    }
    let found = find_all(limits, request)?;
    let hits: Vec<_> = found.iter().filter_map(|found| found.hit(&request.domain, now)).collect();
    let counts = if hits.is_empty() { Vec::new() } else { count(store, &hits).await? };
    let mut counts = counts.into_iter();
    let judged: Vec<_> = found.iter().map(|found| found.judge(&mut counts, now)).collect();
    Ok(RateLimitResponse {
        overall_code: overall(&judged).into(),
        statuses: judged.into_iter().map(|(status, _)| status).collect(),
        ..RateLimitResponse::default()
    })
}

async fn count<S: Store>(store: &S, hits: &[Hit<'_>]) -> Result<Vec<u64>, Status> {
    let counts = store.add(hits).await.map_err(|error| Status::unavailable(error.to_string()))?;
    if counts.len() == hits.len() { Ok(counts) } else { Err(Status::internal("the store has lost count")) }
}

/// What limits one descriptor.
enum Found<'a> {
    /// Nothing, or a limit that is replaced by that of another descriptor.
    Nothing,
    /// A limit that says that there is none.
    Unlimited,
    /// A limit.
    Limited { limit: Cow<'a, Limit>, rate: Rate, entries: Vec<(&'a str, &'a str)>, addend: u64 },
}

fn find_all<'a>(limits: &'a Limits, request: &'a RateLimitRequest) -> Result<Vec<Found<'a>>, Status> {
    let mut replaced = HashSet::new();
    let mut found = Vec::with_capacity(request.descriptors.len());
    for (index, descriptor) in request.descriptors.iter().enumerate() {
        let refuse = |reason| Status::invalid_argument(format!("descriptors[{index}].{reason}"));
        let limit = find(limits, &request.domain, descriptor).map_err(refuse)?;
        let addend = addend(request, descriptor).map_err(refuse)?;
        if let Some((limit, _)) = &limit {
            replaced.extend(limit.replaces.iter().cloned());
        }
        found.push(match limit {
            None => Found::Nothing,
            Some((limit, entries)) => match limit.rate {
                None => Found::Unlimited,
                Some(rate) => Found::Limited { limit, rate, entries, addend },
            },
        });
    }
    for found in &mut found {
        if matches!(found, Found::Limited { limit, .. } if replaced.contains(&limit.name)) {
            *found = Found::Nothing;
        }
    }
    Ok(found)
}

type LimitAndEntries<'a> = (Cow<'a, Limit>, Vec<(&'a str, &'a str)>);

/// Finds the limit of a descriptor; one that it brings along goes before the configuration of a known domain.
fn find<'a>(
    limits: &'a Limits,
    domain: &str,
    descriptor: &'a RateLimitDescriptor,
) -> Result<Option<LimitAndEntries<'a>>, &'static str> {
    let Some(own) = descriptor.limit.filter(|_| limits.has_domain(domain)) else {
        let found = limits.find(domain, &descriptor.entries);
        return Ok(found.map(|(limit, entries)| (Cow::Borrowed(limit), entries)));
    };
    let unit = Unit::from_proto(own.unit).ok_or("limit.unit: is unknown")?;
    let limit = Limit::of_rate(Rate { requests_per_unit: own.requests_per_unit, unit });
    let entries = descriptor.entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
    Ok(Some((Cow::Owned(limit), entries)))
}

/// Returns how much a descriptor counts: what it says itself, even 0, or else what the request says, which is 1 for 0.
fn addend(request: &RateLimitRequest, descriptor: &RateLimitDescriptor) -> Result<u64, &'static str> {
    if descriptor.is_negative_hits {
        return Err("is_negative_hits: is not supported");
    }
    Ok(descriptor.hits_addend.unwrap_or_else(|| u64::from(request.hits_addend.max(1))))
}

impl Found<'_> {
    fn hit<'a>(&'a self, domain: &'a str, now: u64) -> Option<Hit<'a>> {
        let Self::Limited { rate, entries, addend, .. } = self else { return None };
        Some(Hit::new(domain, entries.clone(), Window::at(rate.unit, now)).with_addend(*addend))
    }

    /// Compares the limit with the next of `counts`; answers also whether it is a quota.
    fn judge(&self, counts: &mut impl Iterator<Item = u64>, now: u64) -> (DescriptorStatus, bool) {
        let ok = |limit_remaining| DescriptorStatus {
            code: Code::Ok.into(),
            limit_remaining,
            ..DescriptorStatus::default()
        };
        match self {
            Self::Nothing => (ok(0), false),
            Self::Unlimited => (ok(u32::MAX), false),
            Self::Limited { limit, rate, .. } => {
                let remaining = counts.next().and_then(|count| remaining(*rate, count));
                (status(limit, *rate, remaining, now), limit.quota)
            }
        }
    }
}

/// Returns what is left of the limit; none if it is exceeded.
fn remaining(rate: Rate, count: u64) -> Option<u32> {
    u64::from(rate.requests_per_unit).checked_sub(count).and_then(|left| u32::try_from(left).ok())
}

fn status(limit: &Limit, rate: Rate, remaining: Option<u32>, now: u64) -> DescriptorStatus {
    let code = if remaining.is_some() || limit.shadow { Code::Ok } else { Code::OverLimit };
    let left = Window::at(rate.unit, now).left(now);
    DescriptorStatus {
        code: code.into(),
        current_limit: Some(RateLimit {
            name: limit.name.clone(),
            requests_per_unit: rate.requests_per_unit,
            unit: rate.unit.to_proto().into(),
        }),
        limit_remaining: remaining.unwrap_or_default(),
        duration_until_reset: prost_types::Duration::try_from(left).ok(),
    }
}

/// Returns OVER_LIMIT if any limit is exceeded, or if all quotas are.
fn overall(judged: &[(DescriptorStatus, bool)]) -> Code {
    let is_over = |status: &DescriptorStatus| status.code() == Code::OverLimit;
    let mut quotas = judged.iter().filter(|(_, quota)| *quota).map(|(status, _)| status).peekable();
    let quotas_are_over = quotas.peek().is_some() && quotas.all(is_over);
    let limit_is_over = judged.iter().any(|(status, quota)| !quota && is_over(status));
    if limit_is_over || quotas_are_over { Code::OverLimit } else { Code::Ok }
}

#[cfg(test)]
mod tests;
