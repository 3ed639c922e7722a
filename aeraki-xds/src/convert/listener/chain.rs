//! `envoy.config.listener.v3.FilterChain`: which connections, and what serves them.

use aeraki_route::config::{
    ConfigError, ConnectionSourceType, DownstreamTlsContext, FilterChain, FilterChainMatch, NetworkFilter,
    TransportProtocol,
};
use prost::Name;

use crate::convert::at::At;
use crate::convert::filters::KnownFilters;
use crate::convert::{connection_limit, duration, meta_protocol, tcp_proxy, tls};
use crate::proto::envoy::config::core::v3::CidrRange;
use crate::proto::envoy::config::listener::v3 as proto;
use crate::proto::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use proto::filter_chain_match::ConnectionSourceType as SourceTypeProto;

pub(super) fn from_proto(
    chain: &proto::FilterChain,
    known: &KnownFilters,
    at: &At<'_>,
) -> Result<FilterChain, ConfigError> {
    at.refuse_used(&[("use_proxy_proto", chain.use_proxy_proto.unwrap_or_default())])?;
    let (limit, filters) = connection_limit::split(&chain.filters, at)?;
    let place = chain.filters.len() - filters.len();
    let mut converted = FilterChain::new(network_filter((place, filters), known, at)?).with_name(&chain.name);
    converted.connection_limit = limit;
    if let Some(wanted) = &chain.filter_chain_match {
        converted.matches = matches(wanted, &at.field("filter_chain_match"))?;
    }
    converted.tls = tls_context(chain, at)?;
    Ok(converted)
}

fn network_filter(
    (place, filters): (usize, &[proto::Filter]),
    known: &KnownFilters,
    at: &At<'_>,
) -> Result<NetworkFilter, ConfigError> {
    let [filter] = filters else {
        let count = filters.len();
        let reason = format!("must hold the MetaProtocol proxy or the TCP proxy alone, not {count} filters");
        return Err(at.field("filters").refuse(reason));
    };
    let at = &at.named("filters", place, &filter.name);
    let at = &at.field("typed_config");
    let Some(proto::filter::ConfigType::TypedConfig(config)) = &filter.config_type else {
        return Err(at.refuse("is required"));
    };
    if filter.name == TCP_PROXY || config.type_url == TcpProxy::type_url() {
        return Ok(tcp_proxy::from_any(config, at)?.into());
    }
    Ok(meta_protocol::from_any(config, known, at)?.into())
}

fn tls_context(chain: &proto::FilterChain, at: &At<'_>) -> Result<Option<DownstreamTlsContext>, ConfigError> {
    let Some(mut tls) = tls::downstream(chain.transport_socket.as_ref(), at)? else { return Ok(None) };
    let at = &at.field("transport_socket_connect_timeout");
    if let Some(timeout) = duration::positive_from_proto(chain.transport_socket_connect_timeout.as_ref(), at)? {
        tls.handshake_timeout = timeout;
    }
    Ok(Some(tls))
}

fn matches(wanted: &proto::FilterChainMatch, at: &At<'_>) -> Result<FilterChainMatch, ConfigError> {
    at.refuse_used(&[
        ("address_suffix", !wanted.address_suffix.is_empty()),
        ("suffix_len", wanted.suffix_len.is_some()),
        ("direct_source_prefix_ranges", !wanted.direct_source_prefix_ranges.is_empty()),
    ])?;
    let mut converted = FilterChainMatch::new();
    let port_at = &at.field("destination_port");
    converted.destination_port = wanted.destination_port.map(|number| port(number, port_at)).transpose()?;
    converted.prefix_ranges = wanted.prefix_ranges.iter().map(network).collect();
    converted.server_names.clone_from(&wanted.server_names);
    converted.transport_protocol = transport_protocol(&wanted.transport_protocol, &at.field("transport_protocol"))?;
    converted.application_protocols.clone_from(&wanted.application_protocols);
    converted.source_type = source_type(wanted.source_type, &at.field("source_type"))?;
    converted.source_prefix_ranges = wanted.source_prefix_ranges.iter().map(network).collect();
    let ports_at = &at.field("source_ports");
    converted.source_ports =
        wanted.source_ports.iter().map(|number| port(*number, ports_at)).collect::<Result<_, _>>()?;
    Ok(converted)
}

fn port(number: u32, at: &At<'_>) -> Result<u16, ConfigError> {
    u16::try_from(number).map_err(|_| at.refuse(format!("{number} is not a port")))
}

fn network(range: &CidrRange) -> String {
    format!("{}/{}", range.address_prefix, range.prefix_len.unwrap_or_default())
}

fn transport_protocol(name: &str, at: &At<'_>) -> Result<Option<TransportProtocol>, ConfigError> {
    match name {
        "" => Ok(None),
        "tls" => Ok(Some(TransportProtocol::Tls)),
        "raw_buffer" => Ok(Some(TransportProtocol::RawBuffer)),
        name => Err(at.refuse(format!("{name:?} is not supported: use tls or raw_buffer"))),
    }
}

fn source_type(number: i32, at: &At<'_>) -> Result<ConnectionSourceType, ConfigError> {
    match SourceTypeProto::try_from(number) {
        Ok(SourceTypeProto::Any) => Ok(ConnectionSourceType::Any),
        Ok(SourceTypeProto::SameIpOrLoopback) => Ok(ConnectionSourceType::SameIpOrLoopback),
        Ok(SourceTypeProto::External) => Ok(ConnectionSourceType::External),
        Err(_) => Err(at.refuse(format!("{number} is unknown"))),
    }
}

const TCP_PROXY: &str = "envoy.filters.network.tcp_proxy";
