//! Clusters: groups of endpoints, how they are found, chosen and connected to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    duration,
    endpoint::{Address, Endpoint},
    error::{Checked, ConfigError, ensure},
    proxy_protocol::ProxyProtocolVersion,
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
            connect_timeout: default_connect_timeout(),
            depth: None,
            concurrent: None,
            idle_timeout: default_idle_timeout(),
            heartbeat_interval: default_heartbeat_interval(),
            limits: ClusterLimits::default(),
            tls: None,
            proxy_protocol: None,
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
    pub fn with_limits(mut self, limits: ClusterLimits) -> Self {
        self.limits = limits;
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
    /// DNS cluster whose endpoints are not exactly one, TLS that would not verify its servers.
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
        self.lb_policy.check().map_err(|error| error.within("lbPolicy"))?;
        duration::check(self.connect_timeout, "connectTimeout")?;
        ensure(self.depth != Some(0), "depth", "must not be zero")?;
        duration::check_optional(self.idle_timeout, "idleTimeout")?;
        duration::check_optional(self.heartbeat_interval, "heartbeatInterval")?;
        self.limits.check().map_err(|error| error.within("limits"))?;
        self.tls.as_ref().map_or(Ok(()), |tls| self.check_tls(tls).map_err(|error| error.within("tls")))
    }

    fn check_tls(&self, tls: &UpstreamTlsContext) -> Checked {
        tls.check()?;
        let named = self.endpoints.iter().find(|endpoint| matches!(endpoint.address, Address::Name { .. }));
        let Some(endpoint) = named.filter(|_| !tls.names_server()) else { return Ok(()) };
        let reason =
            format!("is required, or a matcher of names: {} is resolved before it is connected to", endpoint.address);
        ensure(false, "sni", reason)
    }

    fn check_endpoint(&self, endpoint: &Endpoint) -> Checked {
        ensure(endpoint.weight > 0, "weight", "must not be zero")?;
        match (&endpoint.address, &self.discovery) {
            (Address::Name { host, .. }, Discovery::Static) => {
                let reason = format!("{host:?} is not an IP address, and the cluster is static; use DNS discovery");
                ensure(false, "address", reason)
            }
            (Address::Name { host, .. }, _) => ensure(!host.is_empty(), "address", "the host must not be empty"),
            (Address::Socket(_), _) => Ok(()),
        }
    }
}

/// How the addresses of a cluster's endpoints are found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Discovery {
    /// They are IP addresses in the configuration.
    #[default]
    Static,
    /// Host names are resolved again and again; every address of an answer is an endpoint.
    StrictDns(Dns),
    /// The one host name is resolved again and again; new connections go to the first address of the latest answer.
    LogicalDns(Dns),
}

impl Discovery {
    fn check(&self) -> Checked {
        match self {
            Self::Static => Ok(()),
            Self::StrictDns(dns) | Self::LogicalDns(dns) => duration::check(dns.refresh, "refresh"),
        }
    }
}

/// When a name is resolved again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Dns {
    /// The interval; default 5 s, not zero.
    #[serde(with = "duration")]
    pub refresh: Duration,
    /// Waits as long as the answer's time to live says, where it is known, instead of `refresh`; default: no.
    #[serde(default)]
    pub respect_ttl: bool,
}

impl Dns {
    /// Creates a policy that resolves a name again after `refresh`.
    pub fn every(refresh: Duration) -> Self {
        Self { refresh, respect_ttl: false }
    }

    /// Sets whether the time to live of an answer counts.
    #[must_use]
    pub fn with_respect_ttl(mut self, respect_ttl: bool) -> Self {
        self.respect_ttl = respect_ttl;
        self
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self::every(Duration::from_secs(5))
    }
}

/// How an endpoint is chosen for a request.
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
    LeastRequest {
        /// How many are drawn; Envoy's default is 2, at least 2.
        choices: u32,
    },
}

impl LbPolicy {
    fn check(&self) -> Checked {
        match self {
            Self::LeastRequest { choices } => ensure(*choices >= 2, "choices", "must be at least 2"),
            Self::RoundRobin | Self::Random => Ok(()),
        }
    }
}

/// What a cluster may take before requests are refused; `envoy.config.cluster.v3.CircuitBreakers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ClusterLimits {
    /// Connections to all endpoints together; default 1024, not zero.
    pub max_connections: u32,
    /// Requests that wait for a connection; default 1024, 0: none may wait.
    pub max_pending_requests: u32,
    /// Requests under way, waiting ones included; none, the default: any number. Not zero.
    pub max_requests: Option<u32>,
}

impl ClusterLimits {
    /// Sets the number of connections.
    #[must_use]
    pub fn with_max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets the number of requests that wait for a connection.
    #[must_use]
    pub fn with_max_pending_requests(mut self, requests: u32) -> Self {
        self.max_pending_requests = requests;
        self
    }

    /// Sets the number of requests under way.
    #[must_use]
    pub fn with_max_requests(mut self, requests: u32) -> Self {
        self.max_requests = Some(requests);
        self
    }

    fn check(&self) -> Checked {
        ensure(self.max_connections > 0, "maxConnections", "must not be zero")?;
        ensure(self.max_requests != Some(0), "maxRequests", "must not be zero; leave it out for no limit")
    }
}

impl Default for ClusterLimits {
    fn default() -> Self {
        Self { max_connections: 1024, max_pending_requests: 1024, max_requests: None }
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
