//! The rate limits of a router and of its routes.

use std::time::Duration;

use aeraki_route::config;

use super::{Check, LONGEST};
use crate::crd::{Descriptor, GlobalRateLimit, KeyedBuckets, LocalRateLimit, TokenBucket};

impl Check<'_> {
    pub(super) fn local_rate_limit(&mut self, limit: &LocalRateLimit, field: &str) {
        let LocalRateLimit { token_bucket, conditions, keyed } = limit;
        let some = token_bucket.is_some() || !conditions.is_empty();
        self.require(some, field, "must hold a `tokenBucket` or `conditions`");
        if let Some(bucket) = token_bucket {
            self.bucket(bucket, &format!("{field}.tokenBucket"));
        }
        for (index, condition) in conditions.iter().enumerate() {
            let field = format!("{field}.conditions[{index}]");
            match &condition.matches {
                Some(matches) => self.attributes(&matches.attributes, &format!("{field}.match")),
                None => self.require(false, format!("{field}.match"), "is missing"),
            }
            match &condition.token_bucket {
                Some(bucket) => self.bucket(bucket, &format!("{field}.tokenBucket")),
                None => self.require(false, format!("{field}.tokenBucket"), "is missing"),
            }
        }
        if let Some(KeyedBuckets { attribute, max_keys }) = keyed {
            self.require(!attribute.is_empty(), format!("{field}.keyed.attribute"), "must not be empty");
            let most = max_keys.is_none_or(|keys| (1..=1_000_000).contains(&keys));
            self.require(most, format!("{field}.keyed.maxKeys"), "must lie between 1 and 1000000");
        }
    }

    fn bucket(&mut self, bucket: &TokenBucket, field: &str) {
        self.require(bucket.max_tokens > 0, format!("{field}.maxTokens"), "must be at least 1");
        self.require(bucket.tokens_per_fill != Some(0), format!("{field}.tokensPerFill"), "must be at least 1");
        let fills = bucket.fill_interval.is_some_and(|interval| (SHORTEST_FILL..=LONGEST).contains(&interval));
        self.require(fills, format!("{field}.fillInterval"), "must lie between 1 microsecond and 365 days");
    }

    pub(super) fn global_rate_limit(&mut self, limit: &GlobalRateLimit, field: &str) {
        self.require(!limit.domain.is_empty(), format!("{field}.domain"), "must not be empty");
        self.require(!limit.rate_limit_service.is_empty(), format!("{field}.rateLimitService"), "must not be empty");
        self.time(limit.request_timeout, format!("{field}.requestTimeout"));
        self.require(limit.hits_addend != Some(0), format!("{field}.hitsAddend"), "must be at least 1");
        self.require(!limit.descriptors.is_empty(), format!("{field}.descriptors"), "must hold a descriptor");
        for (index, descriptor) in limit.descriptors.iter().enumerate() {
            self.descriptor(descriptor, &format!("{field}.descriptors[{index}]"));
        }
        let entries: usize = limit.descriptors.iter().map(|descriptor| descriptor.entries.len().max(1)).sum();
        let most = config::GlobalRateLimit::MOST_ENTRIES;
        let reason = || format!("must not hold more than {most} entries");
        self.require_with(entries <= most, format!("{field}.descriptors"), reason);
        if let Some(matches) = &limit.matches {
            self.attributes(&matches.attributes, &format!("{field}.match"));
        }
    }

    fn descriptor(&mut self, descriptor: &Descriptor, field: &str) {
        let Descriptor { property, descriptor_key, entries } = descriptor;
        let complete = "must have a `property` and a `descriptorKey`";
        if entries.is_empty() {
            self.require(!property.is_empty() && !descriptor_key.is_empty(), field, complete);
            return;
        }
        let alone = property.is_empty() && descriptor_key.is_empty();
        self.require(alone, format!("{field}.entries"), "excludes `property` and `descriptorKey`, which are given too");
        for (index, entry) in entries.iter().enumerate() {
            let holds = !entry.property.is_empty() && !entry.descriptor_key.is_empty();
            self.require(holds, format!("{field}.entries[{index}]"), complete);
        }
    }
}

/// The shortest time between two fills of the proxy's configuration.
const SHORTEST_FILL: Duration = Duration::from_micros(1);
