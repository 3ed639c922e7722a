//! Listeners: where the proxy accepts connections, which protocol they speak, and where their routes come from.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    connection_limit::ConnectionLimit,
    duration,
    error::{Checked, ConfigError, ensure},
    filter::{Filter, FilterOrder},
    listener_limits::ListenerLimits,
    proxy_protocol::ProxyProtocol,
    route::RouteConfig,
    socket_address::SocketAddress,
    stream::StreamTimeouts,
    tcp_keepalive::TcpKeepalive,
    tls::DownstreamTlsContext,
};

/// A socket and what runs on it; the parts of `envoy.config.listener.v3.Listener` and
/// `aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy` that mean something here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Listener {
    /// Name, unique in the proxy; not empty.
    pub name: String,
    /// The address to accept connections on.
    pub address: SocketAddress,
    /// Which way the traffic runs, seen from the workload; default: unspecified.
    #[serde(default)]
    pub direction: TrafficDirection,
    /// The protocol of its connections.
    pub protocol: ProtocolConfig,
    /// Part of the name of every metric of this listener; not empty.
    pub stat_prefix: String,
    /// Where its routes come from.
    pub routes: RouteSource,
    /// Filters in decode order; none: the router alone.
    #[serde(default)]
    pub filters: Vec<Filter>,
    /// The order in which the filters see responses; default: that of the list, as upstream's proxy.
    #[serde(default)]
    pub response_order: FilterOrder,
    /// How long a connection may be idle: no request in flight and no byte either way; none: for ever. Not zero.
    #[serde(default, with = "duration::optional")]
    pub idle_timeout: Option<Duration>,
    /// How long streams may last, where their routes do not say.
    #[serde(default)]
    pub streams: StreamTimeouts,
    /// What one connection may take.
    #[serde(default)]
    pub limits: ListenerLimits,
    /// How many connections it has at a time; none: any number.
    #[serde(default)]
    pub connection_limit: Option<ConnectionLimit>,
    /// Has the system ask silent clients whether they are there; none: it does not ask.
    #[serde(default)]
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Whether the address that a redirected client meant counts as the one that it connected to; Linux. Default: no.
    #[serde(default)]
    pub original_dst: bool,
    /// How it speaks TLS; none: not at all.
    #[serde(default)]
    pub tls: Option<DownstreamTlsContext>,
    /// How it takes the header of the PROXY protocol, which comes before TLS; none: not at all.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocol>,
}

impl Listener {
    /// Creates a listener that goes by `name` in metrics too.
    pub fn new(name: impl Into<String>, address: SocketAddr, protocol: ProtocolConfig, routes: RouteSource) -> Self {
        let name = name.into();
        Self {
            stat_prefix: name.clone(),
            name,
            address: address.into(),
            direction: TrafficDirection::default(),
            protocol,
            routes,
            filters: Vec::new(),
            response_order: FilterOrder::default(),
            idle_timeout: None,
            streams: StreamTimeouts::default(),
            limits: ListenerLimits::default(),
            connection_limit: None,
            tcp_keepalive: None,
            original_dst: false,
            tls: None,
            proxy_protocol: None,
        }
    }

    /// Sets the address to accept connections on, such as a [`Pipe`](super::Pipe).
    #[must_use]
    pub fn with_address(mut self, address: impl Into<SocketAddress>) -> Self {
        self.address = address.into();
        self
    }

    /// Sets which way the traffic runs.
    #[must_use]
    pub fn with_direction(mut self, direction: TrafficDirection) -> Self {
        self.direction = direction;
        self
    }

    /// Sets the name in metrics.
    #[must_use]
    pub fn with_stat_prefix(mut self, stat_prefix: impl Into<String>) -> Self {
        self.stat_prefix = stat_prefix.into();
        self
    }

    /// Adds a filter behind the ones that are there.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filters.push(filter);
        self
    }

    /// Sets the order in which the filters see responses.
    #[must_use]
    pub fn with_response_order(mut self, order: FilterOrder) -> Self {
        self.response_order = order;
        self
    }

    /// Sets how long a connection may be idle.
    #[must_use]
    pub fn with_idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = Some(idle_timeout);
        self
    }

    /// Sets how long streams may last, where their routes do not say.
    #[must_use]
    pub fn with_streams(mut self, timeouts: StreamTimeouts) -> Self {
        self.streams = timeouts;
        self
    }

    /// Sets what one connection may take.
    #[must_use]
    pub fn with_limits(mut self, limits: ListenerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how many connections it has at a time.
    #[must_use]
    pub fn with_connection_limit(mut self, limit: ConnectionLimit) -> Self {
        self.connection_limit = Some(limit);
        self
    }

    /// Has the system ask silent clients whether they are there.
    #[must_use]
    pub fn with_tcp_keepalive(mut self, keepalive: TcpKeepalive) -> Self {
        self.tcp_keepalive = Some(keepalive);
        self
    }

    /// Sets whether the address that a redirected client meant counts as the one that it connected to.
    #[must_use]
    pub fn with_original_dst(mut self, original_dst: bool) -> Self {
        self.original_dst = original_dst;
        self
    }

    /// Sets how it speaks TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: DownstreamTlsContext) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets how it takes the header of the PROXY protocol.
    #[must_use]
    pub fn with_proxy_protocol(mut self, proxy_protocol: ProxyProtocol) -> Self {
        self.proxy_protocol = Some(proxy_protocol);
        self
    }

    /// Checks the listener by itself; whether its clusters exist is for [`Proxy::validate`](super::Proxy::validate).
    ///
    /// # Errors
    ///
    /// The first fault: an empty name, protocol or `stat_prefix`, a limit or time-out of zero, TLS without a certificate,
    /// a fault in inline routes.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check().map_err(|error| error.of(KIND, &self.name))
    }

    fn check(&self) -> Checked {
        ensure(!self.name.is_empty(), "name", "must not be empty")?;
        self.address.check().map_err(|error| error.within("address"))?;
        self.check_tcp()?;
        ensure(!self.stat_prefix.is_empty(), "statPrefix", "must not be empty")?;
        ensure(!self.protocol.name.is_empty(), "protocol.name", "must not be empty")?;
        for (index, filter) in self.filters.iter().enumerate() {
            filter.check().map_err(|error| error.within(filter.path(index)))?;
        }
        duration::check_optional(self.idle_timeout, "idleTimeout")?;
        self.streams.check().map_err(|error| error.within("streams"))?;
        self.limits.check().map_err(|error| error.within("limits"))?;
        if let Some(limit) = &self.connection_limit {
            limit.check().map_err(|error| error.within("connectionLimit"))?;
        }
        if let Some(keepalive) = &self.tcp_keepalive {
            keepalive.check().map_err(|error| error.within("tcpKeepalive"))?;
        }
        if let Some(tls) = &self.tls {
            tls.check().map_err(|error| error.within("tls"))?;
        }
        if let Some(proxy_protocol) = &self.proxy_protocol {
            proxy_protocol.check().map_err(|error| error.within("proxyProtocol"))?;
        }
        self.routes.check().map_err(|error| error.within("routes"))
    }

    /// A Unix socket has nothing of this.
    fn check_tcp(&self) -> Checked {
        let is_pipe = matches!(self.address, SocketAddress::Pipe(_));
        ensure(
            !(is_pipe && self.tcp_keepalive.is_some()),
            "tcpKeepalive",
            "is for TCP, and the address is a Unix socket",
        )?;
        ensure(!(is_pipe && self.original_dst), "originalDst", "is for TCP, and the address is a Unix socket")
    }
}

/// Which way the traffic of a listener runs; `envoy.config.core.v3.TrafficDirection`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum TrafficDirection {
    /// Not said.
    #[default]
    Unspecified,
    /// To the workload beside the proxy.
    Inbound,
    /// From the workload beside the proxy.
    Outbound,
}

/// A protocol and how it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct ProtocolConfig {
    /// Name in metrics and logs, for example `dubbo`; not empty.
    pub name: String,
    /// Name of the codec in the registry, for example `aeraki.meta_protocol.codec.dubbo`; none: the protocol's name.
    #[serde(default)]
    pub codec: Option<String>,
    /// Settings that the codec understands.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl ProtocolConfig {
    /// Creates a protocol whose codec goes by the same name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), codec: None, options: BTreeMap::new() }
    }

    /// Sets the codec's name.
    #[must_use]
    pub fn with_codec(mut self, codec: impl Into<String>) -> Self {
        self.codec = Some(codec.into());
        self
    }

    /// Sets one of the codec's options.
    #[must_use]
    pub fn with_option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(key.into(), value.into());
        self
    }

    /// Returns the name by which the codec is looked up.
    pub fn codec(&self) -> &str {
        self.codec.as_deref().unwrap_or(&self.name)
    }
}

/// Where the routes of a listener come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum RouteSource {
    /// From the listener itself.
    Inline(RouteConfig),
    /// From a control plane.
    Dynamic(RouteSubscription),
}

impl RouteSource {
    /// Creates a subscription to the table `route_config_name` at the control plane behind `cluster`.
    pub fn dynamic(route_config_name: impl Into<String>, cluster: impl Into<String>) -> Self {
        Self::Dynamic(RouteSubscription::new(route_config_name, cluster))
    }

    fn check(&self) -> Checked {
        match self {
            Self::Inline(config) => config.check().map_err(|error| error.within("inline")),
            Self::Dynamic(subscription) => subscription.check().map_err(|error| error.within("dynamic")),
        }
    }
}

/// Which table is asked for, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct RouteSubscription {
    /// Name of the table at the control plane; not empty.
    pub route_config_name: String,
    /// Cluster of the control plane (gRPC); not empty.
    pub cluster: String,
    /// How long the listener waits for its first table before it serves without one; default 15 s, zero: for ever.
    #[serde(default = "default_initial_fetch_timeout", with = "duration")]
    pub initial_fetch_timeout: Duration,
}

impl RouteSubscription {
    /// Creates a subscription that waits 15 s for its first table.
    pub fn new(route_config_name: impl Into<String>, cluster: impl Into<String>) -> Self {
        Self {
            route_config_name: route_config_name.into(),
            cluster: cluster.into(),
            initial_fetch_timeout: default_initial_fetch_timeout(),
        }
    }

    fn check(&self) -> Checked {
        ensure(!self.route_config_name.is_empty(), "routeConfigName", "must not be empty")?;
        ensure(!self.cluster.is_empty(), "cluster", "must not be empty")
    }
}

fn default_initial_fetch_timeout() -> Duration {
    Duration::from_secs(15)
}

/// What a [`Listener`] is called in error texts.
pub(super) const KIND: &str = "listener";
