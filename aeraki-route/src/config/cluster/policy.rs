//! Load balancing policies: how an endpoint is chosen for a request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{
    decimal::Decimal,
    duration,
    error::{Checked, ensure},
};

/// How an endpoint is chosen for a request; `envoy.config.cluster.v3.Cluster.LbPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum LbPolicy {
    /// One after the other, in proportion to their weights.
    #[default]
    RoundRobin,
    /// At random, in proportion to their weights.
    Random,
    /// The one with the fewest requests in flight among a few drawn at random.
    LeastRequest(LeastRequest),
    /// The one that is likely to answer first among two drawn at random.
    PeakEwma(PeakEwma),
    /// By the request's hash on a ring of points, of which every endpoint has many.
    RingHash(RingHash),
    /// By the request's hash in a table in which every endpoint has its share of the entries.
    Maglev(Maglev),
}

impl LbPolicy {
    /// Tells whether endpoints are chosen by the request's hash.
    pub const fn is_hashed(&self) -> bool {
        matches!(self, Self::RingHash(_) | Self::Maglev(_))
    }

    pub(super) fn check(&self) -> Checked {
        match self {
            Self::RoundRobin | Self::Random => Ok(()),
            Self::LeastRequest(policy) => ensure(policy.choices >= 2, "choices", "must be at least 2"),
            Self::PeakEwma(policy) => duration::check(policy.decay, "decay"),
            Self::RingHash(policy) => policy.check(),
            Self::Maglev(policy) => policy.check(),
        }
    }
}

/// Compares requests in flight; `envoy.config.cluster.v3.Cluster.LeastRequestLbConfig`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LeastRequest {
    /// How many endpoints are drawn and compared; default 2, at least 2.
    pub choices: u32,
    /// How much requests in flight count where endpoints differ in weight: a weight is divided by the number of
    /// requests in flight plus one, raised to this power. Default 1; 0: they do not count.
    pub active_request_bias: Decimal,
}

impl LeastRequest {
    /// Sets how many endpoints are drawn and compared.
    #[must_use]
    pub fn with_choices(mut self, choices: u32) -> Self {
        self.choices = choices;
        self
    }

    /// Sets how much requests in flight count where endpoints differ in weight.
    #[must_use]
    pub fn with_active_request_bias(mut self, bias: Decimal) -> Self {
        self.active_request_bias = bias;
        self
    }
}

impl Default for LeastRequest {
    fn default() -> Self {
        Self { choices: 2, active_request_bias: Decimal::ONE }
    }
}

/// Compares latency times requests in flight: a moving average of the latency, which a slow answer raises at once and
/// which decays from then on. Envoy has no such policy of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PeakEwma {
    /// How long until an old latency counts for a third only (1/e); default 10 s, not zero.
    #[serde(with = "duration")]
    pub decay: Duration,
}

impl PeakEwma {
    /// Sets how long until an old latency counts for a third only.
    #[must_use]
    pub fn with_decay(mut self, decay: Duration) -> Self {
        self.decay = decay;
        self
    }
}

impl Default for PeakEwma {
    fn default() -> Self {
        Self { decay: Duration::from_secs(10) }
    }
}

/// A ring of points as Ketama makes it; `envoy.config.cluster.v3.Cluster.RingHashLbConfig`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RingHash {
    /// Points there are at least, more where the endpoint of the least weight would have a fraction of one; default
    /// 1024, not zero.
    pub minimum: u32,
    /// Points there are at most; default and at most 8 388 608, at least `minimum`.
    pub maximum: u32,
    /// What the points are computed with; default: XXH64.
    pub hash: HashFunction,
    /// In per cent of the mean, how many requests may be under way to an endpoint before others take its requests;
    /// none, the default: any number. At least 100.
    pub balance_factor: Option<u32>,
}

impl RingHash {
    /// Sets between which bounds the number of points is.
    #[must_use]
    pub fn with_size(mut self, minimum: u32, maximum: u32) -> Self {
        (self.minimum, self.maximum) = (minimum, maximum);
        self
    }

    /// Sets what the points are computed with.
    #[must_use]
    pub fn with_hash(mut self, hash: HashFunction) -> Self {
        self.hash = hash;
        self
    }

    /// Bounds the requests under way to an endpoint, in per cent of the mean.
    #[must_use]
    pub fn with_balance_factor(mut self, percent: u32) -> Self {
        self.balance_factor = Some(percent);
        self
    }

    fn check(&self) -> Checked {
        ensure(self.minimum > 0, "minimum", "must not be zero")?;
        ensure(self.maximum <= MAX_RING, "maximum", format_args!("must not exceed {MAX_RING}"))?;
        let ordered = self.minimum <= self.maximum;
        ensure(ordered, "minimum", format_args!("must not exceed the maximum, which is {}", self.maximum))?;
        check_balance_factor(self.balance_factor)
    }
}

impl Default for RingHash {
    fn default() -> Self {
        Self { minimum: 1024, maximum: MAX_RING, hash: HashFunction::default(), balance_factor: None }
    }
}

/// What the points of a ring are computed with; `envoy.config.cluster.v3.Cluster.RingHashLbConfig.HashFunction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum HashFunction {
    /// XXH64 with seed 0.
    #[default]
    XxHash,
    /// `MurmurHash64A` with the seed of `std::hash` in GNU's C++ library.
    MurmurHash2,
}

/// A table as in Google's Maglev; `envoy.config.cluster.v3.Cluster.MaglevLbConfig`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Maglev {
    /// Entries of the table; default 65 537, a prime number of at most 5 000 011.
    pub table_size: u32,
    /// As in [`RingHash`].
    pub balance_factor: Option<u32>,
}

impl Maglev {
    /// Sets the number of entries.
    #[must_use]
    pub fn with_table_size(mut self, entries: u32) -> Self {
        self.table_size = entries;
        self
    }

    /// Bounds the requests under way to an endpoint, in per cent of the mean.
    #[must_use]
    pub fn with_balance_factor(mut self, percent: u32) -> Self {
        self.balance_factor = Some(percent);
        self
    }

    fn check(&self) -> Checked {
        ensure(self.table_size <= MAX_TABLE, "tableSize", format_args!("must not exceed {MAX_TABLE}"))?;
        ensure(is_prime(self.table_size), "tableSize", "must be a prime number")?;
        check_balance_factor(self.balance_factor)
    }
}

impl Default for Maglev {
    fn default() -> Self {
        Self { table_size: 65_537, balance_factor: None }
    }
}

/// Sends less to endpoints that are new until they are warm; `envoy.config.cluster.v3.Cluster.SlowStartConfig`.
///
/// After a part `t` of the window, an endpoint has `t^(1/aggression)` of its weight, at least `min_weight_percent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct SlowStart {
    /// How long an endpoint counts as new after it came or became healthy; not zero.
    #[serde(with = "duration")]
    pub window: Duration,
    /// How fast its share grows: 1, the default, evenly; above 1 faster at first. Not zero.
    #[serde(default = "default_aggression")]
    pub aggression: Decimal,
    /// What it begins with, in per cent of its weight; default 10, at most 100.
    #[serde(default = "default_min_weight_percent")]
    pub min_weight_percent: Decimal,
}

impl SlowStart {
    /// Creates a slow start that takes so long.
    pub fn new(window: Duration) -> Self {
        Self { window, aggression: default_aggression(), min_weight_percent: default_min_weight_percent() }
    }

    /// Sets how fast the share of an endpoint grows.
    #[must_use]
    pub fn with_aggression(mut self, aggression: Decimal) -> Self {
        self.aggression = aggression;
        self
    }

    /// Sets what an endpoint begins with, in per cent of its weight.
    #[must_use]
    pub fn with_min_weight_percent(mut self, percent: Decimal) -> Self {
        self.min_weight_percent = percent;
        self
    }

    pub(super) fn check(&self, policy: &LbPolicy) -> Checked {
        let fits = matches!(policy, LbPolicy::RoundRobin | LbPolicy::LeastRequest(_));
        ensure(fits, "", "needs the policy round robin or least request")?;
        duration::check(self.window, "window")?;
        ensure(self.aggression > Decimal::ZERO, "aggression", "must not be zero")?;
        let part = self.min_weight_percent <= Decimal::from(100);
        ensure(part, "minWeightPercent", "must not exceed 100")
    }
}

fn check_balance_factor(percent: Option<u32>) -> Checked {
    ensure(percent.is_none_or(|percent| percent >= 100), "balanceFactor", "must be at least 100")
}

fn is_prime(number: u32) -> bool {
    let divisors = 2..=number.isqrt();
    number >= 2 && divisors.into_iter().all(|divisor| !number.is_multiple_of(divisor))
}

fn default_aggression() -> Decimal {
    Decimal::ONE
}

fn default_min_weight_percent() -> Decimal {
    Decimal::from(10)
}

// Limits of envoy.config.cluster.v3.Cluster.
const MAX_RING: u32 = 8 * 1024 * 1024;
const MAX_TABLE: u32 = 5_000_011;
