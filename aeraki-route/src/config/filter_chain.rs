//! What a listener does with the connections that it accepts.

use serde::{Deserialize, Serialize};

use super::{
    connection_limit::ConnectionLimit, error::Checked, filter_chain_match::FilterChainMatch,
    meta_protocol_proxy::MetaProtocolProxy, tcp_proxy::TcpProxy, tls::DownstreamTlsContext,
};

/// How some connections of a listener are served; `envoy.config.listener.v3.FilterChain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct FilterChain {
    /// Name in error texts and logs; may be empty.
    #[serde(default)]
    pub name: String,
    /// Which connections it serves; default: all that no other chain matches better.
    #[serde(default)]
    pub matches: FilterChainMatch,
    /// How it speaks TLS; none: not at all.
    #[serde(default)]
    pub tls: Option<DownstreamTlsContext>,
    /// How many connections it has at a time; none: any number.
    #[serde(default)]
    pub connection_limit: Option<ConnectionLimit>,
    /// What serves its connections.
    pub filter: NetworkFilter,
}

impl FilterChain {
    /// Creates a chain in plain text.
    pub fn new(filter: impl Into<NetworkFilter>) -> Self {
        Self {
            name: String::new(),
            matches: FilterChainMatch::new(),
            tls: None,
            connection_limit: None,
            filter: filter.into(),
        }
    }

    /// Sets the name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets which connections it serves.
    #[must_use]
    pub fn with_match(mut self, matches: FilterChainMatch) -> Self {
        self.matches = matches;
        self
    }

    /// Sets how it speaks TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: DownstreamTlsContext) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets how many connections it has at a time.
    #[must_use]
    pub fn with_connection_limit(mut self, limit: ConnectionLimit) -> Self {
        self.connection_limit = Some(limit);
        self
    }

    pub(super) fn check(&self) -> Checked {
        self.matches.check().map_err(|error| error.within("matches"))?;
        if let Some(tls) = &self.tls {
            tls.check().map_err(|error| error.within("tls"))?;
        }
        if let Some(limit) = &self.connection_limit {
            limit.check().map_err(|error| error.within("connectionLimit"))?;
        }
        self.filter.check().map_err(|error| error.within(self.filter.path()))
    }

    /// Names the first cluster that is meant and not there, and the field that means it.
    pub(super) fn check_clusters(&self, is_known: &dyn Fn(&str) -> bool) -> Checked {
        let checked = match &self.filter {
            NetworkFilter::MetaProtocolProxy(proxy) => proxy.check_clusters(is_known),
            NetworkFilter::TcpProxy(proxy) => proxy.check_clusters(is_known),
        };
        checked.map_err(|error| error.within(self.filter.path()))
    }
}

impl<F: Into<NetworkFilter>> From<F> for FilterChain {
    fn from(filter: F) -> Self {
        Self::new(filter)
    }
}

/// What serves the connections of a [`FilterChain`]; the last `envoy.config.listener.v3.Filter` of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum NetworkFilter {
    /// Reads requests and responses.
    MetaProtocolProxy(Box<MetaProtocolProxy>),
    /// Passes bytes on.
    TcpProxy(Box<TcpProxy>),
}

impl NetworkFilter {
    /// Returns the path of the service inside its chain, as error texts have it.
    pub fn path(&self) -> &'static str {
        match self {
            Self::MetaProtocolProxy(_) => "filter.metaProtocolProxy",
            Self::TcpProxy(_) => "filter.tcpProxy",
        }
    }

    fn check(&self) -> Checked {
        match self {
            Self::MetaProtocolProxy(proxy) => proxy.check(),
            Self::TcpProxy(proxy) => proxy.check(),
        }
    }
}

impl From<MetaProtocolProxy> for NetworkFilter {
    fn from(proxy: MetaProtocolProxy) -> Self {
        Self::MetaProtocolProxy(Box::new(proxy))
    }
}

impl From<TcpProxy> for NetworkFilter {
    fn from(proxy: TcpProxy) -> Self {
        Self::TcpProxy(Box::new(proxy))
    }
}
