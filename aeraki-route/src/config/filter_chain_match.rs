//! Which connections of a listener a filter chain serves.

use serde::{Deserialize, Serialize};

use super::{
    error::{Checked, ensure},
    ip_block,
    policy::Source,
};

/// What must hold of a connection; `envoy.config.listener.v3.FilterChainMatch`. What is empty holds of every
/// connection.
///
/// The chain of a connection is found in steps, in the order of the fields. Each step keeps the chains that name the
/// most specific value which holds, or, where no value that is named holds, those that name none; a step is never taken
/// back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct FilterChainMatch {
    /// The port that the client connected to, 1 to 65 535.
    pub destination_port: Option<u16>,
    /// Networks, one of which holds the address that the client connected to, such as `10.0.0.0/8`; the longest prefix
    /// is the most specific.
    pub prefix_ranges: Vec<String>,
    /// Names, one of which the client asks for in TLS (SNI): exact ones, or `*.example.com` for all below
    /// `example.com`; an exact one is the most specific, then the longest. Case does not matter.
    pub server_names: Vec<String>,
    /// What the first bytes of the client are.
    pub transport_protocol: Option<TransportProtocol>,
    /// Protocols, one of which the client offers in TLS (ALPN), the first that it offers being the most specific; or
    /// that its first bytes speak in plain text, such as `aeraki.dubbo`.
    pub application_protocols: Vec<String>,
    /// Where the client is.
    pub source_type: ConnectionSourceType,
    /// Networks, one of which holds the address of the client; the longest prefix is the most specific.
    pub source_prefix_ranges: Vec<String>,
    /// Ports, one of which is that of the client, each 1 to 65 535.
    pub source_ports: Vec<u16>,
}

/// What the first bytes of a connection are; the values of `FilterChainMatch.transport_protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TransportProtocol {
    /// Those of a TLS handshake.
    Tls,
    /// Others.
    RawBuffer,
}

/// Where a client is; `FilterChainMatch.ConnectionSourceType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum ConnectionSourceType {
    /// Anywhere.
    #[default]
    Any,
    /// At 127.0.0.1 or `::1`, or at the address that it connected to.
    SameIpOrLoopback,
    /// Anywhere else.
    External,
}

impl FilterChainMatch {
    /// Matches every connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the port that the client connected to.
    #[must_use]
    pub fn with_destination_port(mut self, port: u16) -> Self {
        self.destination_port = Some(port);
        self
    }

    /// Adds a network of the address that the client connected to.
    #[must_use]
    pub fn with_prefix_range(mut self, network: impl Into<String>) -> Self {
        self.prefix_ranges.push(network.into());
        self
    }

    /// Adds a name that the client asks for in TLS.
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        self.server_names.push(name.into());
        self
    }

    /// Sets what the first bytes of the client are.
    #[must_use]
    pub fn with_transport_protocol(mut self, transport: TransportProtocol) -> Self {
        self.transport_protocol = Some(transport);
        self
    }

    /// Adds a protocol that the client offers in TLS, or that its first bytes speak.
    #[must_use]
    pub fn with_application_protocol(mut self, protocol: impl Into<String>) -> Self {
        self.application_protocols.push(protocol.into());
        self
    }

    /// Sets where the client is.
    #[must_use]
    pub fn with_source_type(mut self, source: ConnectionSourceType) -> Self {
        self.source_type = source;
        self
    }

    /// Adds a network of the address of the client.
    #[must_use]
    pub fn with_source_prefix_range(mut self, network: impl Into<String>) -> Self {
        self.source_prefix_ranges.push(network.into());
        self
    }

    /// Adds a port of the client.
    #[must_use]
    pub fn with_source_port(mut self, port: u16) -> Self {
        self.source_ports.push(port);
        self
    }

    /// Lists the protocols that are told from the first bytes of a client in plain text, each with the name of its
    /// codec.
    pub fn detected_protocols(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.application_protocols.iter().map(String::as_str);
        named.filter_map(|protocol| Some((protocol, protocol.strip_prefix(DETECTED)?)))
    }

    /// Tells whether it depends on what a client says in its TLS handshake.
    pub fn reads_client_hello(&self) -> bool {
        let offered = self.application_protocols.iter().any(|protocol| !protocol.starts_with(DETECTED));
        offered || !self.server_names.is_empty()
    }

    pub(super) fn check(&self) -> Checked {
        ensure(self.destination_port != Some(0), "destinationPort", "0 is not a port")?;
        check_networks(&self.prefix_ranges, "prefixRanges")?;
        for (index, name) in self.server_names.iter().enumerate() {
            let rest = name.strip_prefix("*.").unwrap_or(name);
            let reason = "must be a name, or one that begins with \"*.\"";
            ensure(!rest.is_empty() && !rest.contains('*'), format_args!("serverNames[{index}]"), reason)?;
        }
        for (index, protocol) in self.application_protocols.iter().enumerate() {
            ensure(!protocol.is_empty(), format_args!("applicationProtocols[{index}]"), "must not be empty")?;
        }
        check_networks(&self.source_prefix_ranges, "sourcePrefixRanges")?;
        ensure(!self.source_ports.contains(&0), "sourcePorts", "0 is not a port")
    }
}

fn check_networks(networks: &[String], field: &str) -> Checked {
    let mut networks = networks.iter().enumerate();
    networks.try_for_each(|(index, network)| {
        let known = ip_block(network).is_some();
        ensure(known, format_args!("{field}[{index}]"), Source::ip_block_fault(network).unwrap_or_default())
    })
}

/// What the names of protocols begin with that are told from the first bytes.
const DETECTED: &str = "aeraki.";
