//! Limits that a proxy keeps by itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{
    AttributeMatch, duration,
    error::{Checked, ensure},
    route,
};

/// Limits requests by buckets of tokens; the first condition that matches decides, else the common bucket;
/// `aeraki.meta_protocol_proxy.filters.local_ratelimit.v1alpha.LocalRateLimit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct LocalRateLimit {
    /// Part of the name of its counters; not empty. Routes of one table with equal limits of the same prefix share the
    /// buckets, which also go on when an equal table replaces this one.
    pub stat_prefix: String,
    /// For requests that no condition matches; none: these are not limited.
    #[serde(default)]
    pub bucket: Option<TokenBucket>,
    /// Limits of certain requests, in order of precedence. At least one where there is no common bucket.
    #[serde(default)]
    pub conditions: Vec<LimitCondition>,
    /// A set of all these buckets for every value of an attribute; none: one set for all requests.
    #[serde(default)]
    pub keyed: Option<KeyedBuckets>,
    /// Who shares the buckets; default: all connections.
    #[serde(default)]
    pub scope: LimitScope,
}

impl LocalRateLimit {
    /// Creates limits without a bucket, to be completed.
    pub fn new(stat_prefix: impl Into<String>) -> Self {
        Self { stat_prefix: stat_prefix.into(), ..Self::default() }
    }

    /// Sets the common bucket.
    #[must_use]
    pub fn with_bucket(mut self, bucket: TokenBucket) -> Self {
        self.bucket = Some(bucket);
        self
    }

    /// Adds a limit of certain requests behind the ones that are there.
    #[must_use]
    pub fn with_condition(mut self, condition: LimitCondition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Keeps the buckets apart by the values of an attribute.
    #[must_use]
    pub fn with_keyed(mut self, keyed: KeyedBuckets) -> Self {
        self.keyed = Some(keyed);
        self
    }

    /// Sets who shares the buckets.
    #[must_use]
    pub fn with_scope(mut self, scope: LimitScope) -> Self {
        self.scope = scope;
        self
    }

    pub(crate) fn check(&self) -> Checked {
        ensure(!self.stat_prefix.is_empty(), "statPrefix", "must not be empty")?;
        let some = self.bucket.is_some() || !self.conditions.is_empty();
        ensure(some, "bucket", "is required where there are no conditions")?;
        if let Some(bucket) = &self.bucket {
            bucket.check().map_err(|error| error.within("bucket"))?;
        }
        for (index, condition) in self.conditions.iter().enumerate() {
            condition.check().map_err(|error| error.within(format!("conditions[{index}]")))?;
        }
        if let Some(keyed) = &self.keyed {
            keyed.check(self.scope).map_err(|error| error.within("keyed"))?;
        }
        Ok(())
    }
}

/// Who shares the buckets of a [`LocalRateLimit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum LimitScope {
    /// All connections of the listener or route, on all workers.
    #[default]
    Shared,
    /// Nobody: each downstream connection has its own.
    Connection,
}

/// The limit of certain requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitCondition {
    /// Conditions that must all hold; none: every request.
    #[serde(default)]
    pub matches: Vec<AttributeMatch>,
    /// The bucket.
    pub bucket: TokenBucket,
}

impl LimitCondition {
    /// Creates a limit of the requests that fulfil all of `matches`.
    pub fn new(matches: impl IntoIterator<Item = AttributeMatch>, bucket: TokenBucket) -> Self {
        Self { matches: matches.into_iter().collect(), bucket }
    }

    fn check(&self) -> Checked {
        check_matches(&self.matches)?;
        self.bucket.check().map_err(|error| error.within("bucket"))
    }
}

/// A bucket of tokens; a request takes one, and is refused where there is none; `envoy.type.v3.TokenBucket`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct TokenBucket {
    /// Tokens that it holds at most, and at the start; 1 to 4 294 967 295.
    pub max_tokens: u32,
    /// Tokens that are added at a time; default 1, not zero.
    #[serde(default = "one")]
    pub tokens_per_fill: u32,
    /// The time between two fills; at least a microsecond, at most 365 days.
    #[serde(with = "duration")]
    pub fill_interval: Duration,
}

impl TokenBucket {
    /// Creates a bucket that gets `tokens_per_fill` tokens every `fill_interval`.
    pub fn new(max_tokens: u32, tokens_per_fill: u32, fill_interval: Duration) -> Self {
        Self { max_tokens, tokens_per_fill, fill_interval }
    }

    fn check(&self) -> Checked {
        ensure(self.max_tokens > 0, "maxTokens", "must not be zero")?;
        ensure(self.tokens_per_fill > 0, "tokensPerFill", "must not be zero")?;
        let interval = Duration::from_micros(1)..=Duration::from_secs(365 * 24 * 60 * 60);
        ensure(interval.contains(&self.fill_interval), "fillInterval", "must lie between 1 microsecond and 365 days")
    }
}

/// Buckets for every value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct KeyedBuckets {
    /// Name of the attribute; not empty. Requests without it share one set of buckets.
    pub attribute: String,
    /// Values that are remembered, 1 to 1 000 000; default 10 000. The least recently used is forgotten and counted.
    /// Where each connection has its own buckets at most 100, which have to be said.
    #[serde(default = "max_keys")]
    pub max_keys: u32,
}

impl KeyedBuckets {
    /// Creates buckets for every value of `attribute`, for at most 10 000 values.
    pub fn new(attribute: impl Into<String>) -> Self {
        Self { attribute: attribute.into(), max_keys: max_keys() }
    }

    /// Sets how many values are remembered.
    #[must_use]
    pub fn with_max_keys(mut self, max_keys: u32) -> Self {
        self.max_keys = max_keys;
        self
    }

    fn check(&self, scope: LimitScope) -> Checked {
        ensure(!self.attribute.is_empty(), "attribute", "must not be empty")?;
        ensure((1..=1_000_000).contains(&self.max_keys), "maxKeys", "must lie between 1 and 1000000")?;
        let bounded = scope == LimitScope::Shared || self.max_keys <= 100;
        ensure(bounded, "maxKeys", "must not be above 100 where each connection has its own buckets")
    }
}

/// Checks the conditions of a policy, each by itself.
pub(super) fn check_matches(matches: &[AttributeMatch]) -> Checked {
    let mut matches = matches.iter().enumerate();
    matches.try_for_each(|(index, condition)| {
        condition.check().map_err(|error| error.within(route::condition_path(index, condition)))
    })
}

fn one() -> u32 {
    1
}

fn max_keys() -> u32 {
    10_000
}
