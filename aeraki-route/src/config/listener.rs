//! Listeners: where the proxy accepts connections, and what it does with them.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    duration,
    error::{Checked, ConfigError, FieldError, ensure},
    filter_chain::FilterChain,
    meta_protocol_proxy::{MetaProtocolProxy, ProtocolConfig, RouteSource},
    proxy_protocol::ProxyProtocol,
    socket_address::SocketAddress,
    tcp_keepalive::TcpKeepalive,
};
use crate::ChainIndex;

/// A socket and what runs on it; the parts of `envoy.config.listener.v3.Listener` that mean something here.
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
    /// What it does with connections, by what these [match](super::FilterChainMatch); no two may match the same.
    #[serde(default)]
    pub filter_chains: Vec<FilterChain>,
    /// What it does with connections that no filter chain matches, whatever this one is said to match; none: they are
    /// closed.
    #[serde(default)]
    pub default_filter_chain: Option<FilterChain>,
    /// How long the first bytes may take where the choice of the filter chain depends on them; default 15 s, none: as
    /// long as they do. Not zero.
    #[serde(default = "default_listener_filters_timeout", with = "duration::optional")]
    pub listener_filters_timeout: Option<Duration>,
    /// Whether a client that takes longer is served by the chain of clients of whom nothing is known, instead of being
    /// closed; default: no. Clients of protocols in which servers speak first need it.
    #[serde(default)]
    pub continue_on_listener_filters_timeout: bool,
    /// Has the system ask silent clients whether they are there; default:
    /// [`TcpKeepalive::of_clients`], none: it does not ask. A Unix socket has nothing of it.
    #[serde(default = "default_tcp_keepalive")]
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Whether the address that a redirected client meant counts as the one that it connected to; Linux. Default: no.
    #[serde(default)]
    pub original_dst: bool,
    /// How it takes the header of the PROXY protocol, which comes before TLS; none: not at all.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Connections that the system completes before they are accepted, for each worker; default 1024. Not zero.
    #[serde(default = "default_tcp_backlog_size")]
    pub tcp_backlog_size: u32,
    /// Whether its connections count for nothing where [those of all listeners](super::Proxy::max_connections) are
    /// bounded; default: no.
    #[serde(default)]
    pub ignore_global_conn_limit: bool,
}

impl Listener {
    /// Creates a listener whose connections all speak one protocol in plain text, and that goes by `name` in metrics
    /// too.
    pub fn new(name: impl Into<String>, address: SocketAddr, protocol: ProtocolConfig, routes: RouteSource) -> Self {
        let name = name.into();
        let proxy = MetaProtocolProxy::new(&name, protocol, routes);
        Self::of(name, address, proxy)
    }

    /// Creates a listener with one filter chain.
    pub fn of(name: impl Into<String>, address: SocketAddr, chain: impl Into<FilterChain>) -> Self {
        Self::without_chains(name, address).with_filter_chain(chain)
    }

    /// Creates a listener that serves nothing until filter chains are added.
    pub fn without_chains(name: impl Into<String>, address: impl Into<SocketAddress>) -> Self {
        Self {
            name: name.into(),
            address: address.into(),
            direction: TrafficDirection::default(),
            filter_chains: Vec::new(),
            default_filter_chain: None,
            listener_filters_timeout: default_listener_filters_timeout(),
            continue_on_listener_filters_timeout: false,
            tcp_keepalive: default_tcp_keepalive(),
            original_dst: false,
            proxy_protocol: None,
            tcp_backlog_size: default_tcp_backlog_size(),
            ignore_global_conn_limit: false,
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

    /// Adds a filter chain.
    #[must_use]
    pub fn with_filter_chain(mut self, chain: impl Into<FilterChain>) -> Self {
        self.filter_chains.push(chain.into());
        self
    }

    /// Sets what it does with connections that no filter chain matches.
    #[must_use]
    pub fn with_default_filter_chain(mut self, chain: impl Into<FilterChain>) -> Self {
        self.default_filter_chain = Some(chain.into());
        self
    }

    /// Sets how long the first bytes may take where the choice of the filter chain depends on them; none: as long as
    /// they do.
    #[must_use]
    pub fn with_listener_filters_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.listener_filters_timeout = timeout;
        self
    }

    /// Sets whether a client whose first bytes take longer is served all the same.
    #[must_use]
    pub fn with_continue_on_listener_filters_timeout(mut self, goes_on: bool) -> Self {
        self.continue_on_listener_filters_timeout = goes_on;
        self
    }

    /// Sets how the system asks silent clients whether they are there; none: it does not ask.
    #[must_use]
    pub fn with_tcp_keepalive(mut self, keepalive: impl Into<Option<TcpKeepalive>>) -> Self {
        self.tcp_keepalive = keepalive.into();
        self
    }

    /// Sets whether the address that a redirected client meant counts as the one that it connected to.
    #[must_use]
    pub fn with_original_dst(mut self, original_dst: bool) -> Self {
        self.original_dst = original_dst;
        self
    }

    /// Sets how it takes the header of the PROXY protocol.
    #[must_use]
    pub fn with_proxy_protocol(mut self, proxy_protocol: ProxyProtocol) -> Self {
        self.proxy_protocol = Some(proxy_protocol);
        self
    }

    /// Sets how many connections the system completes before they are accepted.
    #[must_use]
    pub fn with_tcp_backlog_size(mut self, size: u32) -> Self {
        self.tcp_backlog_size = size;
        self
    }

    /// Sets whether its connections count for nothing where those of all listeners are bounded.
    #[must_use]
    pub fn with_ignored_global_conn_limit(mut self, ignored: bool) -> Self {
        self.ignore_global_conn_limit = ignored;
        self
    }

    /// Lists the filter chains, the default one behind the others, each with its path in error texts.
    pub fn chains(&self) -> impl Iterator<Item = (String, &FilterChain)> {
        let matched = self.filter_chains.iter().enumerate().map(|(index, chain)| (self.chain_path(index), chain));
        matched.chain(self.default_filter_chain.iter().map(|chain| ("defaultFilterChain".to_owned(), chain)))
    }

    fn chain_path(&self, index: usize) -> String {
        match self.filter_chains.get(index).map_or("", |chain| &chain.name) {
            "" => format!("filterChains[{index}]"),
            name => format!("filterChains[{index}] {name:?}"),
        }
    }

    /// Files the filter chains by what they match.
    ///
    /// # Errors
    /// Names two chains that match the same.
    pub fn chain_index(&self) -> Result<ChainIndex, ConfigError> {
        self.index().map_err(|error| error.of(KIND, &self.name))
    }

    fn index(&self) -> Result<ChainIndex, FieldError> {
        ChainIndex::new(self.filter_chains.iter().map(|chain| &chain.matches)).map_err(|(first, second)| {
            let reason = format!("matches connections that {} matches too", self.chain_path(first));
            FieldError::new(format!("{}.matches", self.chain_path(second)), reason)
        })
    }

    /// Checks the listener by itself; whether its clusters exist is for [`Proxy::validate`](super::Proxy::validate).
    ///
    /// # Errors
    ///
    /// The first fault: an empty name, protocol or `stat_prefix`, a limit or time-out of zero, TLS without a
    /// certificate, a fault in inline routes, no filter chain, or two that match the same.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check().map_err(|error| error.of(KIND, &self.name))
    }

    fn check(&self) -> Checked {
        ensure(!self.name.is_empty(), "name", "must not be empty")?;
        self.address.check().map_err(|error| error.within("address"))?;
        self.check_tcp()?;
        let served = !self.filter_chains.is_empty() || self.default_filter_chain.is_some();
        ensure(served, "filterChains", "must hold a filter chain where there is no default one")?;
        for (path, chain) in self.chains() {
            chain.check().map_err(|error| error.within(path))?;
        }
        self.index()?;
        duration::check_optional(self.listener_filters_timeout, "listenerFiltersTimeout")?;
        ensure(self.tcp_backlog_size > 0, "tcpBacklogSize", "must not be zero")?;
        if let Some(keepalive) = &self.tcp_keepalive {
            keepalive.check().map_err(|error| error.within("tcpKeepalive"))?;
        }
        if let Some(proxy_protocol) = &self.proxy_protocol {
            proxy_protocol.check().map_err(|error| error.within("proxyProtocol"))?;
        }
        Ok(())
    }

    /// A Unix socket has nothing of this.
    fn check_tcp(&self) -> Checked {
        let is_pipe = matches!(self.address, SocketAddress::Pipe(_));
        let asks = self.tcp_keepalive.is_some() && self.tcp_keepalive != default_tcp_keepalive();
        ensure(!(is_pipe && asks), "tcpKeepalive", "is for TCP, and the address is a Unix socket")?;
        ensure(!(is_pipe && self.original_dst), "originalDst", "is for TCP, and the address is a Unix socket")
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

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn default_listener_filters_timeout() -> Option<Duration> {
    Some(Duration::from_secs(15))
}

#[expect(clippy::unnecessary_wraps, reason = "the field has none for what is turned off")]
const fn default_tcp_keepalive() -> Option<TcpKeepalive> {
    Some(TcpKeepalive::of_clients())
}

const fn default_tcp_backlog_size() -> u32 {
    1024
}

/// What a [`Listener`] is called in error texts.
pub(super) const KIND: &str = "listener";
