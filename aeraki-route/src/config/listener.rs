//! Listeners: where the proxy accepts connections, and what it does with them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{
    error::{Checked, ConfigError, ensure},
    filter_chain::FilterChain,
    meta_protocol_proxy::{MetaProtocolProxy, ProtocolConfig, RouteSource},
    proxy_protocol::ProxyProtocol,
    tcp_keepalive::TcpKeepalive,
};

/// A socket and what runs on it; the parts of `envoy.config.listener.v3.Listener` that mean something here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Listener {
    /// Name, unique in the proxy; not empty.
    pub name: String,
    /// The address to accept connections on; port 0 takes a free one.
    pub address: SocketAddr,
    /// Which way the traffic runs, seen from the workload; default: unspecified.
    #[serde(default)]
    pub direction: TrafficDirection,
    /// What it does with connections.
    pub filter_chains: Vec<FilterChain>,
    /// Has the system ask silent clients whether they are there; none: it does not ask.
    #[serde(default)]
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How it takes the header of the PROXY protocol, which comes before TLS; none: not at all.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocol>,
}

impl Listener {
    /// Creates a listener whose connections all speak one protocol in plain text, and that goes by `name` in metrics too.
    pub fn new(name: impl Into<String>, address: SocketAddr, protocol: ProtocolConfig, routes: RouteSource) -> Self {
        let name = name.into();
        let proxy = MetaProtocolProxy::new(&name, protocol, routes);
        Self::of(name, address, proxy)
    }

    /// Creates a listener with one filter chain.
    pub fn of(name: impl Into<String>, address: SocketAddr, chain: impl Into<FilterChain>) -> Self {
        Self {
            name: name.into(),
            address,
            direction: TrafficDirection::default(),
            filter_chains: vec![chain.into()],
            tcp_keepalive: None,
            proxy_protocol: None,
        }
    }

    /// Sets which way the traffic runs.
    #[must_use]
    pub fn with_direction(mut self, direction: TrafficDirection) -> Self {
        self.direction = direction;
        self
    }

    /// Has the system ask silent clients whether they are there.
    #[must_use]
    pub fn with_tcp_keepalive(mut self, keepalive: TcpKeepalive) -> Self {
        self.tcp_keepalive = Some(keepalive);
        self
    }

    /// Sets how it takes the header of the PROXY protocol.
    #[must_use]
    pub fn with_proxy_protocol(mut self, proxy_protocol: ProxyProtocol) -> Self {
        self.proxy_protocol = Some(proxy_protocol);
        self
    }

    /// Lists the filter chains, each with its path in error texts.
    pub fn chains(&self) -> impl Iterator<Item = (String, &FilterChain)> {
        self.filter_chains.iter().enumerate().map(|(index, chain)| (chain.path(index), chain))
    }

    /// Checks the listener by itself; whether its clusters exist is for [`Proxy::validate`](super::Proxy::validate).
    ///
    /// # Errors
    ///
    /// The first fault: an empty name, protocol or `stat_prefix`, a limit or time-out of zero, TLS without a certificate,
    /// a fault in inline routes, no filter chain.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check().map_err(|error| error.of(KIND, &self.name))
    }

    fn check(&self) -> Checked {
        ensure(!self.name.is_empty(), "name", "must not be empty")?;
        ensure(self.filter_chains.len() == 1, "filterChains", "must hold one filter chain")?;
        for (path, chain) in self.chains() {
            chain.check().map_err(|error| error.within(path))?;
        }
        if let Some(keepalive) = &self.tcp_keepalive {
            keepalive.check().map_err(|error| error.within("tcpKeepalive"))?;
        }
        if let Some(proxy_protocol) = &self.proxy_protocol {
            proxy_protocol.check().map_err(|error| error.within("proxyProtocol"))?;
        }
        Ok(())
    }

    /// Names the first cluster that is meant and not there, and the field that means it.
    pub(super) fn check_clusters(&self, is_known: &dyn Fn(&str) -> bool) -> Result<(), ConfigError> {
        let mut chains = self.chains();
        let checked = chains.try_for_each(|(path, chain)| chain.check_clusters(is_known).map_err(|e| e.within(path)));
        checked.map_err(|error| error.of(KIND, &self.name))
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

/// What a [`Listener`] is called in error texts.
pub(super) const KIND: &str = "listener";
