//! The rate limits of a MetaRouter or of one of its routes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{duration, meta_router::MetaRouteMatch};

/// Holds the limits that a proxy keeps by itself: the first condition that matches, else the common bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct LocalRateLimit {
    /// For requests that no condition matches; none is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_bucket: Option<TokenBucket>,
    /// Limits of certain requests, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<RateLimitCondition>,
    /// Buckets for every value of an attribute; none is one set of buckets for all requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyed: Option<KeyedBuckets>,
}

/// Asks for a set of buckets for every value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct KeyedBuckets {
    /// The attribute's name.
    #[serde(default)]
    pub attribute: String,
    /// Values that are remembered, 1 to 1000000; 10000 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_keys: Option<u32>,
}

/// Holds the limit of certain requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct RateLimitCondition {
    /// The requests.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<MetaRouteMatch>,
    /// Their bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_bucket: Option<TokenBucket>,
}

/// Describes a bucket of tokens; a request takes one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct TokenBucket {
    /// How many tokens it holds, and holds at the start; at least 1.
    #[serde(default)]
    pub max_tokens: u32,
    /// How many are added at a time; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_fill: Option<u32>,
    /// The time between two fills.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub fill_interval: Option<Duration>,
}

/// Describes limits that a rate limit service keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct GlobalRateLimit {
    /// The requests that are limited; none is all.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<MetaRouteMatch>,
    /// The domain in the service's configuration.
    #[serde(default)]
    pub domain: String,
    /// How long the service may take to answer; 20 ms where absent.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<Duration>,
    /// Whether a request is denied when the service fails to answer.
    #[serde(default)]
    pub deny_on_fail: bool,
    /// The service's cluster, such as `outbound|8081||rls.ns.svc.cluster.local`.
    #[serde(default)]
    pub rate_limit_service: String,
    /// What the service is told of a request.
    #[serde(default)]
    pub descriptors: Vec<Descriptor>,
    /// How much a request counts; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits_addend: Option<u32>,
}

/// Holds one pair of attribute and key, or several whose combination is limited.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Descriptor {
    /// The attribute's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub property: String,
    /// The key under which the service knows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub descriptor_key: String,
    /// The pairs of a combination, in the order of the service's configuration, instead of the two above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<DescriptorEntry>,
}

/// Pairs an attribute with the key under which the rate limit service knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct DescriptorEntry {
    /// The attribute's name.
    #[serde(default)]
    pub property: String,
    /// The key.
    #[serde(default)]
    pub descriptor_key: String,
}
