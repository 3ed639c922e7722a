//! Limits that a rate limit service keeps for all proxies.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::local_limit::check_matches;
use crate::config::{
    AttributeMatch, duration,
    error::{Checked, ensure},
};

/// Asks a rate limit service about requests; `aeraki.meta_protocol_proxy.filters.ratelimit.v1alpha.RateLimit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct GlobalRateLimit {
    /// The domain in the service's configuration; not empty.
    pub domain: String,
    /// Cluster of the service (gRPC); not empty.
    pub cluster: String,
    /// Conditions that must all hold for a request to be asked about; none: every request.
    #[serde(default)]
    pub matches: Vec<AttributeMatch>,
    /// How long the service may take to answer; default 20 ms, not zero.
    #[serde(default = "twenty_milliseconds", with = "duration")]
    pub timeout: Duration,
    /// Whether a request is refused when the service does not answer, for whatever reason; default: no.
    #[serde(default)]
    pub failure_mode_deny: bool,
    /// What the service is told of a request; at least one, and at most [`MOST_ENTRIES`](Self::MOST_ENTRIES) entries in
    /// all. The request is refused if any of them is over its limit.
    pub descriptors: Vec<Descriptor>,
    /// How much a request counts; none: whatever the service counts for one request, which is 1.
    #[serde(default)]
    pub hits_addend: Option<u32>,
}

impl GlobalRateLimit {
    /// Most entries of all descriptors: with as much of each value as is told, less than services take in one question.
    pub const MOST_ENTRIES: usize = 64;

    /// Creates limits of every request, by the service behind `cluster`, that time out after 20 ms.
    pub fn new(
        domain: impl Into<String>,
        cluster: impl Into<String>,
        descriptors: impl IntoIterator<Item = Descriptor>,
    ) -> Self {
        Self {
            domain: domain.into(),
            cluster: cluster.into(),
            matches: Vec::new(),
            timeout: twenty_milliseconds(),
            failure_mode_deny: false,
            descriptors: descriptors.into_iter().collect(),
            hits_addend: None,
        }
    }

    /// Adds a condition.
    #[must_use]
    pub fn with_match(mut self, condition: AttributeMatch) -> Self {
        self.matches.push(condition);
        self
    }

    /// Sets how long the service may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets whether a request is refused when the service does not answer.
    #[must_use]
    pub fn with_failure_mode_deny(mut self, deny: bool) -> Self {
        self.failure_mode_deny = deny;
        self
    }

    /// Sets how much a request counts.
    #[must_use]
    pub fn with_hits_addend(mut self, hits: u32) -> Self {
        self.hits_addend = Some(hits);
        self
    }

    pub(crate) fn check(&self) -> Checked {
        ensure(!self.domain.is_empty(), "domain", "must not be empty")?;
        ensure(!self.cluster.is_empty(), "cluster", "must not be empty")?;
        check_matches(&self.matches)?;
        duration::check(self.timeout, "timeout")?;
        ensure(self.hits_addend != Some(0), "hitsAddend", "must not be zero")?;
        ensure(!self.descriptors.is_empty(), "descriptors", "must hold at least one descriptor")?;
        for (index, descriptor) in self.descriptors.iter().enumerate() {
            descriptor.check().map_err(|error| error.within(format!("descriptors[{index}]")))?;
        }
        let entries: usize = self.descriptors.iter().map(|descriptor| descriptor.entries.len()).sum();
        let reason = format_args!("must not hold more than {} entries", Self::MOST_ENTRIES);
        ensure(entries <= Self::MOST_ENTRIES, "descriptors", reason)
    }
}

/// What the service is told of a request, as one: several entries limit their combination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Descriptor {
    /// The entries in the order of the service's configuration; at least one.
    pub entries: Vec<DescriptorEntry>,
}

impl Descriptor {
    /// Creates a descriptor of `entries`.
    pub fn new(entries: impl IntoIterator<Item = DescriptorEntry>) -> Self {
        Self { entries: entries.into_iter().collect() }
    }

    fn check(&self) -> Checked {
        ensure(!self.entries.is_empty(), "entries", "must hold at least one entry")?;
        for (index, entry) in self.entries.iter().enumerate() {
            ensure(!entry.key.is_empty(), format_args!("entries[{index}].key"), "must not be empty")?;
            ensure(!entry.attribute.is_empty(), format_args!("entries[{index}].attribute"), "must not be empty")?;
        }
        Ok(())
    }
}

/// An attribute, and the key under which the service knows it. A missing attribute is sent as an empty value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct DescriptorEntry {
    /// The service's key; not empty.
    pub key: String,
    /// Name of the attribute; not empty.
    pub attribute: String,
}

impl DescriptorEntry {
    /// Creates an entry that sends the value of `attribute` as `key`.
    pub fn new(key: impl Into<String>, attribute: impl Into<String>) -> Self {
        Self { key: key.into(), attribute: attribute.into() }
    }
}

fn twenty_milliseconds() -> Duration {
    Duration::from_millis(20)
}
