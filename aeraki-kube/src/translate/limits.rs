//! From the limits that people write to those of a route.

use aeraki_route::config::{
    Descriptor, DescriptorEntry, GlobalRateLimit, KeyedBuckets, LimitCondition, LocalRateLimit, TokenBucket,
};

use super::routes::conditions;
use crate::crd;

/// Translates limits that have been checked.
pub(super) fn local(limit: &crd::LocalRateLimit, stat_prefix: &str) -> LocalRateLimit {
    let mut translated = LocalRateLimit::new(stat_prefix);
    translated.bucket = limit.token_bucket.as_ref().map(bucket);
    for condition in &limit.conditions {
        if let Some(tokens) = &condition.token_bucket {
            let matches = conditions(condition.matches.as_ref());
            translated.conditions.push(LimitCondition::new(matches, bucket(tokens)));
        }
    }
    translated.keyed = limit.keyed.as_ref().map(|keyed| {
        let buckets = KeyedBuckets::new(&keyed.attribute);
        let most = keyed.max_keys.unwrap_or(buckets.max_keys);
        buckets.with_max_keys(most)
    });
    translated
}

/// Translates limits that have been checked.
pub(super) fn global(limit: &crd::GlobalRateLimit) -> GlobalRateLimit {
    let descriptors = limit.descriptors.iter().map(descriptor);
    let mut translated = GlobalRateLimit::new(&limit.domain, &limit.rate_limit_service, descriptors);
    translated.matches = conditions(limit.matches.as_ref());
    translated.timeout = limit.request_timeout.unwrap_or(translated.timeout);
    translated.failure_mode_deny = limit.deny_on_fail;
    translated.hits_addend = limit.hits_addend;
    translated
}

fn bucket(bucket: &crd::TokenBucket) -> TokenBucket {
    let interval = bucket.fill_interval.unwrap_or_default();
    TokenBucket::new(bucket.max_tokens, bucket.tokens_per_fill.unwrap_or(1), interval)
}

fn descriptor(descriptor: &crd::Descriptor) -> Descriptor {
    let entry = |entry: &crd::DescriptorEntry| DescriptorEntry::new(&entry.descriptor_key, &entry.property);
    match descriptor.entries.as_slice() {
        [] => Descriptor::new([DescriptorEntry::new(&descriptor.descriptor_key, &descriptor.property)]),
        entries => Descriptor::new(entries.iter().map(entry)),
    }
}
