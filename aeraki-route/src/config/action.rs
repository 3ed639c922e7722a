//! Where the messages of a route go.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    duration,
    error::{Checked, ensure},
    placement::{HashPolicy, RoutingPriority},
    policy::{HedgePolicy, RetryPolicy},
    stream::StreamTimeouts,
};

/// Where the messages of a route go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct RouteAction {
    /// The cluster or clusters that take the messages.
    pub destination: Destination,
    /// How urgent the messages are; default: like others.
    #[serde(default)]
    pub priority: RoutingPriority,
    /// What makes the hash by which clusters with the policies ring hash and Maglev choose endpoints, at most 100
    /// parts; none, or a message that has none of them: endpoints are chosen at random.
    #[serde(default)]
    pub hash_policy: Vec<HashPolicy>,
    /// The attribute in which a client names the endpoint that it wants, as an IP address and a port, for sessions that
    /// stick to one; another is chosen where that one does not exist, or is not healthy. None: clients are not asked.
    #[serde(default)]
    pub override_host: Option<String>,
    /// Metadata of the endpoints that may take the messages, in clusters that are split into subsets by these keys;
    /// `metadata_match` of Envoy's routes. Empty: the cluster says which.
    #[serde(default)]
    pub metadata_match: BTreeMap<String, String>,
    /// Clusters that get a copy.
    #[serde(default)]
    pub mirrors: Vec<Mirror>,
    /// How long a response may take from the moment the whole request is here; none: no limit. Not zero.
    #[serde(default, with = "duration::optional")]
    pub timeout: Option<Duration>,
    /// Attributes in which callers say how many milliseconds they wait; the first of them that is there and holds a
    /// whole number above zero bounds the response as `timeout` does, and is passed on as what is left of it. None:
    /// callers are not asked, which spares reading that far. At most 10; those of Dubbo are `_TO` and `timeout`.
    #[serde(default)]
    pub caller_timeouts: Vec<String>,
    /// Which failures are tried again; none: none is.
    #[serde(default)]
    pub retry: Option<RetryPolicy>,
    /// What happens to tries that take long; only together with `retry`.
    #[serde(default)]
    pub hedge: Option<HedgePolicy>,
    /// How long streams may last; what is not said is as the listener says. `timeout` is for their opening only.
    #[serde(default)]
    pub streams: StreamTimeouts,
}

impl RouteAction {
    /// Creates an action that sends everything to one cluster.
    pub fn cluster(name: impl Into<String>) -> Self {
        Self { destination: Destination::Cluster(name.into()), ..Self::default() }
    }

    /// Creates an action that shares messages among clusters in proportion to their weights.
    pub fn weighted<N: Into<String>>(clusters: impl IntoIterator<Item = (N, u32)>) -> Self {
        let clusters = clusters.into_iter().map(|(name, weight)| WeightedCluster::new(name, weight)).collect();
        Self { destination: Destination::Weighted(clusters), ..Self::default() }
    }

    /// Sets how urgent the messages are.
    #[must_use]
    pub fn with_priority(mut self, priority: RoutingPriority) -> Self {
        self.priority = priority;
        self
    }

    /// Adds a part to the hash policy.
    #[must_use]
    pub fn with_hash_policy(mut self, policy: HashPolicy) -> Self {
        self.hash_policy.push(policy);
        self
    }

    /// Adds an attribute to the hash policy.
    #[must_use]
    pub fn with_hash_key(self, key: impl Into<String>) -> Self {
        self.with_hash_policy(HashPolicy::attribute(key))
    }

    /// Sets the attribute in which a client names the endpoint that it wants.
    #[must_use]
    pub fn with_override_host(mut self, attribute: impl Into<String>) -> Self {
        self.override_host = Some(attribute.into());
        self
    }

    /// Adds to the metadata of the endpoints that may take the messages.
    #[must_use]
    pub fn with_metadata_match(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata_match.insert(key.into(), value.into());
        self
    }

    /// Adds a mirror.
    #[must_use]
    pub fn with_mirror(mut self, mirror: Mirror) -> Self {
        self.mirrors.push(mirror);
        self
    }

    /// Sets how long a response may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Adds an attribute in which callers say how many milliseconds they wait.
    #[must_use]
    pub fn with_caller_timeout(mut self, attribute: impl Into<String>) -> Self {
        self.caller_timeouts.push(attribute.into());
        self
    }

    /// Sets which failures are tried again.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Sets what happens to tries that take long.
    #[must_use]
    pub fn with_hedge(mut self, hedge: HedgePolicy) -> Self {
        self.hedge = Some(hedge);
        self
    }

    /// Sets how long streams may last.
    #[must_use]
    pub fn with_streams(mut self, timeouts: StreamTimeouts) -> Self {
        self.streams = timeouts;
        self
    }

    /// Returns the clusters that a message may be sent to, mirrors included.
    pub fn clusters(&self) -> impl Iterator<Item = &str> {
        self.destination.clusters().chain(self.mirrors.iter().map(|mirror| mirror.cluster.as_str()))
    }

    pub(super) fn check(&self) -> Checked {
        self.destination.check().map_err(|error| error.within("destination"))?;
        let most = MAX_HASH_POLICIES;
        ensure(self.hash_policy.len() <= most, "hashPolicy", format_args!("must not hold more than {most} parts"))?;
        for (index, policy) in self.hash_policy.iter().enumerate() {
            policy.check().map_err(|error| error.within(format!("hashPolicy[{index}]")))?;
        }
        ensure(self.override_host.as_deref() != Some(""), "overrideHost", "must not be empty")?;
        for (index, mirror) in self.mirrors.iter().enumerate() {
            mirror.check().map_err(|error| error.within(format!("mirrors[{index}]")))?;
        }
        duration::check_optional(self.timeout, "timeout")?;
        let most = MAX_CALLER_TIMEOUTS;
        let few = self.caller_timeouts.len() <= most;
        ensure(few, "callerTimeouts", format_args!("must not hold more than {most} attributes"))?;
        for (index, attribute) in self.caller_timeouts.iter().enumerate() {
            ensure(!attribute.is_empty(), format_args!("callerTimeouts[{index}]"), "must not be empty")?;
        }
        self.streams.check().map_err(|error| error.within("streams"))?;
        self.check_retry()
    }

    fn check_retry(&self) -> Checked {
        let hedges = self.hedge.is_some_and(|hedge| hedge.on_per_try_timeout);
        let Some(retry) = &self.retry else { return ensure(!hedges, "hedge", "has no `retry` to apply to") };
        retry.check().map_err(|error| error.within("retry"))?;
        if let (Some(try_), Some(whole)) = (retry.per_try_timeout, self.timeout) {
            ensure(try_ <= whole, "retry.perTryTimeout", format_args!("must not exceed the timeout of {whole:?}"))?;
        }
        ensure(!hedges || retry.repeatable, "hedge.onPerTryTimeout", "is only for requests that are `repeatable`")?;
        ensure(!hedges || retry.per_try_timeout.is_some(), "hedge.onPerTryTimeout", "needs a `perTryTimeout`")
    }
}

/// The cluster or clusters of a route, or of connections that are passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Destination {
    /// All messages to one cluster; the name must not be empty.
    Cluster(String),
    /// Messages shared in proportion to weights, whose sum must lie in 1..=u32::MAX.
    Weighted(Vec<WeightedCluster>),
}

impl Destination {
    /// Returns the clusters that messages may be sent to.
    pub fn clusters(&self) -> impl Iterator<Item = &str> {
        let (single, weighted) = match self {
            Self::Cluster(name) => (Some(name.as_str()), &[][..]),
            Self::Weighted(clusters) => (None, clusters.as_slice()),
        };
        single.into_iter().chain(weighted.iter().map(|cluster| cluster.name.as_str()))
    }

    pub(super) fn check(&self) -> Checked {
        let clusters = match self {
            Self::Cluster(name) => return ensure(!name.is_empty(), "cluster", "must not be empty"),
            Self::Weighted(clusters) => clusters,
        };
        for (index, cluster) in clusters.iter().enumerate() {
            ensure(!cluster.name.is_empty(), format_args!("weighted[{index}].name"), "must not be empty")?;
        }
        let sum: u64 = clusters.iter().map(|cluster| u64::from(cluster.weight)).sum();
        ensure(sum > 0, "weighted", "the weights sum up to 0")?;
        ensure(sum <= u64::from(u32::MAX), "weighted", format_args!("the weights sum up to more than {}", u32::MAX))
    }
}

impl Default for Destination {
    /// A destination that [`RouteConfig::validate`](super::RouteConfig::validate) refuses: there is no sensible
    /// default.
    fn default() -> Self {
        Self::Cluster(String::new())
    }
}

/// A cluster and its share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct WeightedCluster {
    /// Name of the cluster; not empty.
    pub name: String,
    /// Its share of the sum of all weights; 0: no messages.
    pub weight: u32,
    /// As in [`RouteAction`], before which it comes where both have a key.
    #[serde(default)]
    pub metadata_match: BTreeMap<String, String>,
}

impl WeightedCluster {
    /// Creates a cluster with its share.
    pub fn new(name: impl Into<String>, weight: u32) -> Self {
        Self { name: name.into(), weight, metadata_match: BTreeMap::new() }
    }

    /// Adds to the metadata of the endpoints that may take its share.
    #[must_use]
    pub fn with_metadata_match(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata_match.insert(key.into(), value.into());
        self
    }
}

/// A cluster that gets a copy of a share of the messages; its answers are dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Mirror {
    /// Name of the cluster; not empty.
    pub cluster: String,
    /// Share of the messages that are copied; default: all.
    #[serde(default)]
    pub fraction: FractionalPercent,
    /// How long a copy may take; default 15 s, not zero.
    #[serde(default = "mirror_timeout", with = "duration")]
    pub timeout: Duration,
    /// Copies under way at a time, at most; further ones are not sent, and counted; default 1024, not zero.
    #[serde(default = "mirror_max_active")]
    pub max_active: u32,
    /// Whether its answers are compared with the ones that clients get, by status and body, and counted; default: no.
    #[serde(default)]
    pub compare: bool,
}

impl Mirror {
    /// Creates a mirror of `fraction` of the messages.
    pub fn new(cluster: impl Into<String>, fraction: FractionalPercent) -> Self {
        Self {
            cluster: cluster.into(),
            fraction,
            timeout: mirror_timeout(),
            max_active: mirror_max_active(),
            compare: false,
        }
    }

    /// Sets how long a copy may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many copies may be under way at a time.
    #[must_use]
    pub fn with_max_active(mut self, copies: u32) -> Self {
        self.max_active = copies;
        self
    }

    /// Sets whether answers are compared.
    #[must_use]
    pub fn with_compare(mut self, compare: bool) -> Self {
        self.compare = compare;
        self
    }

    fn check(&self) -> Checked {
        ensure(!self.cluster.is_empty(), "cluster", "must not be empty")?;
        duration::check(self.timeout, "timeout")?;
        ensure(self.max_active > 0, "maxActive", "must not be zero")
    }
}

/// A fraction with one of three denominators; `envoy.type.v3.FractionalPercent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct FractionalPercent {
    /// Parts of the denominator; at or above it the fraction is 100 %.
    pub numerator: u32,
    /// What the numerator counts.
    #[serde(default)]
    pub denominator: Denominator,
}

impl FractionalPercent {
    /// 100 %.
    pub const ALWAYS: Self = Self::new(100, Denominator::Hundred);

    /// Creates a fraction.
    pub const fn new(numerator: u32, denominator: Denominator) -> Self {
        Self { numerator, denominator }
    }

    /// Creates a fraction of so many per cent.
    pub const fn percent(percent: u32) -> Self {
        Self::new(percent, Denominator::Hundred)
    }

    /// Tells whether a uniformly drawn number falls into the fraction.
    pub fn contains(self, draw: u64) -> bool {
        draw % u64::from(self.denominator.value()) < u64::from(self.numerator)
    }

    /// Refuses more than the whole, where that cannot be what is meant.
    pub(super) fn check(self) -> Checked {
        let most = self.denominator.value();
        ensure(self.numerator <= most, "numerator", format_args!("must not exceed the denominator, which is {most}"))
    }
}

impl Default for FractionalPercent {
    fn default() -> Self {
        Self::ALWAYS
    }
}

/// The denominators that a [`FractionalPercent`] may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Denominator {
    /// Percent.
    #[default]
    Hundred,
    /// Hundredths of a percent.
    TenThousand,
    /// Ten-thousandths of a percent.
    Million,
}

impl Denominator {
    /// Returns the number itself.
    pub const fn value(self) -> u32 {
        match self {
            Self::Hundred => 100,
            Self::TenThousand => 10_000,
            Self::Million => 1_000_000,
        }
    }
}

fn mirror_timeout() -> Duration {
    Duration::from_secs(15)
}

fn mirror_max_active() -> u32 {
    1024
}

// Limit of aeraki.meta_protocol_proxy.config.route.v1alpha.
const MAX_HASH_POLICIES: usize = 100;
const MAX_CALLER_TIMEOUTS: usize = 10;
