//! Clusters: groups of endpoints, how they are found, chosen and connected to.

mod common;
mod discovery;
mod health_check;
mod limits;
mod outlier;
mod policy;
mod preconnect;
mod zone_aware;

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

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
    duration,
    endpoint::{Address, Endpoint},
    error::{Checked, ConfigError, ensure},
    proxy_protocol::ProxyProtocolVersion,
    socket_address::SocketAddress,
    tcp_keepalive::TcpKeepalive,
    tls::UpstreamTlsContext,
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
    /// Sends less to endpoints that are new; only with round robin and least request. None: they get their share at once.
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
    /// The version of the PROXY protocol in which its servers are told who the client is, before TLS; none: they are not
    /// told. Where they are, clients share no connections.
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

    /// Copies everything but the endpoints: what stays the same while these come and go, at a cost that does not depend on
    /// how many there are.
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
    /// The first fault: an empty name, a host name in a static cluster, a weight, limit, depth or time of zero, a logical
    /// DNS cluster whose endpoints are not exactly one, two weights of one locality, a load balancing policy with numbers
    /// out of their range, a slow start under a policy that has none, zones that cannot count, subsets that cannot be told apart,
    /// TLS that would not verify its servers.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check().map_err(|error| error.of(KIND, &self.name))
    }

    fn check(&self) -> Checked {
        ensure(!self.name.is_empty(), "name", "must not be empty")?;
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            self.check_endpoint(endpoint).map_err(|error| error.within(format!("endpoints[{index}]")))?;
        }
        let single = !matches!(self.discovery, Discovery::LogicalDns(_)) || self.endpoints.len() == 1;
        ensure(single, "endpoints", "a logical DNS cluster has exactly one endpoint")?;
        self.discovery.check().map_err(|error| error.within("discovery"))?;
        self.check_original_dst()?;
        self.check_balancing()?;
        duration::check(self.connect_timeout, "connectTimeout")?;
        ensure(self.depth != Some(0), "depth", "must not be zero")?;
        duration::check_optional(self.idle_timeout, "idleTimeout")?;
        duration::check_optional(self.heartbeat_interval, "heartbeatInterval")?;
        self.limits.check().map_err(|error| error.within("limits"))?;
        self.preconnect.check().map_err(|error| error.within("preconnect"))?;
        let nobodys = self.proxy_protocol.is_none() || self.preconnect.spare_connections == 0;
        ensure(nobodys, "preconnect.spareConnections", "must be 0 where servers are told whose a connection is")?;
        if let Some(check) = &self.health_check {
            check.check().map_err(|error| error.within("healthCheck"))?;
        }
        if let Some(detection) = &self.outlier_detection {
            detection.check().map_err(|error| error.within("outlierDetection"))?;
        }
        if let Some(keepalive) = &self.tcp_keepalive {
            keepalive.check().map_err(|error| error.within("tcpKeepalive"))?;
        }
        self.tls.as_ref().map_or(Ok(()), |tls| self.check_tls(tls).map_err(|error| error.within("tls")))
    }

    /// There is nothing to choose from, to split or to ask before clients come.
    fn check_original_dst(&self) -> Checked {
        let is_original = matches!(self.discovery, Discovery::OriginalDst(_));
        for (field, used) in [
            ("endpoints", !self.endpoints.is_empty()),
            ("subsets", self.subsets.is_some()),
            ("healthCheck", self.health_check.is_some()),
        ] {
            ensure(
                !(is_original && used),
                field,
                "is not for a cluster whose requests go where clients meant them to go",
            )?;
        }
        Ok(())
    }

    fn check_balancing(&self) -> Checked {
        self.lb_policy.check().map_err(|error| error.within("lbPolicy"))?;
        if let Some(slow_start) = &self.slow_start {
            slow_start.check(&self.lb_policy).map_err(|error| error.within("slowStart"))?;
        }
        self.common_lb.check(&self.lb_policy).map_err(|error| error.within("commonLb"))?;
        if let Some(subsets) = &self.subsets {
            subsets.check().map_err(|error| error.within("subsets"))?;
            let weighted = self.common_lb.locality_weighted || !subsets.locality_weight_aware;
            ensure(weighted, "subsets.localityWeightAware", "needs commonLb.localityWeighted")?;
        }
        self.check_localities()
    }

    /// Every endpoint says what its locality weighs; they must say the same.
    fn check_localities(&self) -> Checked {
        let mut weights = HashMap::new();
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            match weights.entry((endpoint.priority, &endpoint.locality)) {
                Entry::Vacant(entry) => _ = entry.insert(endpoint.locality_weight),
                Entry::Occupied(known) => {
                    let field = format_args!("endpoints[{index}].localityWeight");
                    let reason = "differs from that of another endpoint of its locality and priority";
                    ensure(*known.get() == endpoint.locality_weight, field, reason)?;
                }
            }
        }
        Ok(())
    }

    fn check_tls(&self, tls: &UpstreamTlsContext) -> Checked {
        tls.check()?;
        for Endpoint { address, .. } in self.endpoints.iter().filter(|_| !tls.names_server()) {
            let why = match address {
                Address::Socket(SocketAddress::Ip(_)) => continue,
                Address::Socket(_) => "is nothing that a certificate could name",
                Address::Name { .. } => "is resolved before it is connected to",
            };
            ensure(false, "sni", format_args!("is required, or a matcher of names: {address} {why}"))?;
        }
        Ok(())
    }

    fn check_endpoint(&self, endpoint: &Endpoint) -> Checked {
        ensure(endpoint.weight > 0, "weight", "must not be zero")?;
        ensure(endpoint.priority <= MAX_PRIORITY, "priority", format_args!("must not exceed {MAX_PRIORITY}"))?;
        match (&endpoint.address, &self.discovery) {
            (Address::Name { host, .. }, Discovery::Static) => {
                let reason = format!("{host:?} is not an IP address, and the cluster is static; use DNS discovery");
                ensure(false, "address", reason)
            }
            (Address::Name { host, port }, _) => {
                ensure(!host.is_empty(), "address", "the host must not be empty")?;
                ensure(*port > 0, "address", format_args!("{}: 0 is not a port", endpoint.address))
            }
            (Address::Socket(address), _) => address.check_target().map_err(|error| error.within("address")),
        }
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

/// The limit of `envoy.config.endpoint.v3.LocalityLbEndpoints`.
const MAX_PRIORITY: u32 = 128;

#[cfg(test)]
mod tests;
