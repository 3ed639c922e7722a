//! Clusters: groups of endpoints, how they are found, chosen and connected to.

mod check;
mod common;
mod discovery;
mod health_check;
mod limits;
mod outlier;
mod policy;
mod preconnect;
mod zone_aware;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::{
    common::{CommonLb, SubsetFallback, SubsetSelector, Subsets},
    discovery::{Discovery, Dns, OriginalDst},
    health_check::{HealthCheck, HealthCheckKind},
    limits::{ClusterLimits, Thresholds},
    outlier::{Consecutive, FailurePercentage, OutlierDetection, SuccessRate},
    policy::{HashFunction, LbPolicy, LeastRequest, Maglev, PeakEwma, RingHash, SlowStart},
    preconnect::Preconnect,
    zone_aware::ZoneAware,
};
use super::{
    duration, endpoint::Endpoint, error::ConfigError, proxy_protocol::ProxyProtocolVersion,
    tcp_keepalive::TcpKeepalive, tls::UpstreamTlsContext,
};

/// A named group of endpoints; the parts of `envoy.config.cluster.v3.Cluster` that mean something here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Cluster {
    /// Name, unique in the proxy; not empty.
    pub name: String,
    /// How the addresses of its endpoints are found; default: static.
    #[serde(default)]
    pub discovery: Discovery,
    /// Its endpoints; none: every request is answered with "no healthy upstream".
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// How an endpoint is chosen; default: round robin.
    #[serde(default)]
    pub lb_policy: LbPolicy,
    /// Sends less to endpoints that are new; only with round robin and least request. None: they get their share at
    /// once.
    #[serde(default)]
    pub slow_start: Option<SlowStart>,
    /// How health, priorities and localities count.
    #[serde(default)]
    pub common_lb: CommonLb,
    /// Splits the cluster by the metadata of its endpoints; none: routes cannot ask for some of them.
    #[serde(default)]
    pub subsets: Option<Subsets>,
    /// How long connecting may take; default 5 s, not zero.
    #[serde(default = "default_connect_timeout", with = "duration")]
    pub connect_timeout: Duration,
    /// Requests in flight on one connection; none: as the protocol says (1 where its servers work serially). Not zero.
    #[serde(default)]
    pub depth: Option<u32>,
    /// Whether its servers work on several requests of one connection at a time; none: as the protocol says.
    #[serde(default)]
    pub concurrent: Option<bool>,
    /// How long a connection may be without a request before it is closed; default 1 h, none: for ever. Not zero.
    #[serde(default = "default_idle_timeout", with = "duration::optional")]
    pub idle_timeout: Option<Duration>,
    /// How long a connection may be silent before a heartbeat is sent, where the protocol has one; default 60 s, as
    /// Dubbo's peers do, none: never. Not zero.
    #[serde(default = "default_heartbeat_interval", with = "duration::optional")]
    pub heartbeat_interval: Option<Duration>,
    /// What the cluster may take.
    #[serde(default)]
    pub limits: ClusterLimits,
    /// Opens connections before they are needed; default: none.
    #[serde(default)]
    pub preconnect: Preconnect,
    /// Asks endpoints whether they are well; none: they are, unless discovery says otherwise.
    #[serde(default)]
    pub health_check: Option<HealthCheck>,
    /// Takes endpoints out where too much fails; none: they stay.
    #[serde(default)]
    pub outlier_detection: Option<OutlierDetection>,
    /// Has the system ask silent servers whether they are there; none: it does not ask.
    #[serde(default)]
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How its servers are spoken to in TLS; none: not at all.
    #[serde(default)]
    pub tls: Option<UpstreamTlsContext>,
    /// The version of the PROXY protocol in which its servers are told who the client is, before TLS; none: they are
    /// not told. Where they are, clients share no connections.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocolVersion>,
}

impl Cluster {
    /// Creates a cluster of endpoints with known addresses; more by the `with_` methods.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            discovery: Discovery::default(),
            endpoints: Vec::new(),
            lb_policy: LbPolicy::default(),
            slow_start: None,
            common_lb: CommonLb::default(),
            subsets: None,
            connect_timeout: default_connect_timeout(),
            depth: None,
            concurrent: None,
            idle_timeout: default_idle_timeout(),
            heartbeat_interval: default_heartbeat_interval(),
            limits: ClusterLimits::default(),
            preconnect: Preconnect::default(),
            health_check: None,
            outlier_detection: None,
            tcp_keepalive: None,
            tls: None,
            proxy_protocol: None,
        }
    }

    /// Copies everything but the endpoints: what stays the same while these come and go, at a cost that does not depend
    /// on how many there are.
    #[must_use]
    pub fn without_endpoints(&self) -> Self {
        Self {
            name: self.name.clone(),
            discovery: self.discovery.clone(),
            endpoints: Vec::new(),
            lb_policy: self.lb_policy,
            slow_start: self.slow_start,
            common_lb: self.common_lb,
            subsets: self.subsets.clone(),
            connect_timeout: self.connect_timeout,
            depth: self.depth,
            concurrent: self.concurrent,
            idle_timeout: self.idle_timeout,
            heartbeat_interval: self.heartbeat_interval,
            limits: self.limits,
            preconnect: self.preconnect,
            health_check: self.health_check.clone(),
            outlier_detection: self.outlier_detection.clone(),
            tcp_keepalive: self.tcp_keepalive,
            tls: self.tls.clone(),
            proxy_protocol: self.proxy_protocol,
        }
    }

    /// Sets how the addresses of the endpoints are found.
    #[must_use]
    pub fn with_discovery(mut self, discovery: Discovery) -> Self {
        self.discovery = discovery;
        self
    }

    /// Adds an endpoint.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<Endpoint>) -> Self {
        self.endpoints.push(endpoint.into());
        self
    }

    /// Sets how an endpoint is chosen.
    #[must_use]
    pub fn with_lb_policy(mut self, policy: LbPolicy) -> Self {
        self.lb_policy = policy;
        self
    }

    /// Sends less to endpoints that are new.
    #[must_use]
    pub fn with_slow_start(mut self, slow_start: SlowStart) -> Self {
        self.slow_start = Some(slow_start);
        self
    }

    /// Sets how health, priorities and localities count.
    #[must_use]
    pub fn with_common_lb(mut self, common: CommonLb) -> Self {
        self.common_lb = common;
        self
    }

    /// Splits the cluster by the metadata of its endpoints.
    #[must_use]
    pub fn with_subsets(mut self, subsets: Subsets) -> Self {
        self.subsets = Some(subsets);
        self
    }

    /// Sets how long connecting may take.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how many requests may be in flight on one connection.
    #[must_use]
    pub fn with_depth(mut self, depth: u32) -> Self {
        self.depth = Some(depth);
        self
    }

    /// Sets whether the servers work on several requests of one connection at a time.
    #[must_use]
    pub fn with_concurrent(mut self, concurrent: bool) -> Self {
        self.concurrent = Some(concurrent);
        self
    }

    /// Sets how long a connection may be without a request.
    #[must_use]
    pub fn with_idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets how long a connection may be silent before a heartbeat is sent.
    #[must_use]
    pub fn with_heartbeat_interval(mut self, interval: Option<Duration>) -> Self {
        self.heartbeat_interval = interval;
        self
    }

    /// Sets what the cluster may take.
    #[must_use]
    pub fn with_limits(mut self, limits: impl Into<ClusterLimits>) -> Self {
        self.limits = limits.into();
        self
    }

    /// Sets which connections are opened before they are needed.
    #[must_use]
    pub fn with_preconnect(mut self, preconnect: Preconnect) -> Self {
        self.preconnect = preconnect;
        self
    }

    /// Sets how endpoints are asked whether they are well.
    #[must_use]
    pub fn with_health_check(mut self, check: HealthCheck) -> Self {
        self.health_check = Some(check);
        self
    }

    /// Sets when endpoints are taken out for a while.
    #[must_use]
    pub fn with_outlier_detection(mut self, detection: OutlierDetection) -> Self {
        self.outlier_detection = Some(detection);
        self
    }

    /// Has the system ask silent servers whether they are there.
    #[must_use]
    pub fn with_tcp_keepalive(mut self, keepalive: TcpKeepalive) -> Self {
        self.tcp_keepalive = Some(keepalive);
        self
    }

    /// Sets how its servers are spoken to in TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: UpstreamTlsContext) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets the version of the PROXY protocol in which its servers are told who the client is.
    #[must_use]
    pub fn with_proxy_protocol(mut self, version: ProxyProtocolVersion) -> Self {
        self.proxy_protocol = Some(version);
        self
    }

    /// Checks the cluster.
    ///
    /// # Errors
    ///
    /// The first fault: an empty name, a host name in a static cluster, a weight, limit, depth or time of zero, a
    /// logical DNS cluster whose endpoints are not exactly one, two weights of one locality, a load balancing policy
    /// with numbers out of their range, a slow start under a policy that has none, zones that cannot count, subsets
    /// that cannot be told apart, TLS that would not verify its servers.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check().map_err(|error| error.of(KIND, &self.name))
    }
}

fn default_connect_timeout() -> Duration {
    Duration::from_secs(5)
}

#[expect(clippy::unnecessary_wraps, reason = "for serde")]
fn default_heartbeat_interval() -> Option<Duration> {
    Some(Duration::from_secs(60))
}

fn default_idle_timeout() -> Option<Duration> {
    Some(Duration::from_secs(3600))
}

/// What a [`Cluster`] is called in error texts.
pub(super) const KIND: &str = "cluster";

#[cfg(test)]
mod tests;
