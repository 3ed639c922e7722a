//! `envoy.config.listener.v3.Listener` with a MetaProtocol proxy in its filter chain.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use aeraki_route::config::{ConfigError, ConnectionLimit, DownstreamTlsContext, Listener, TrafficDirection};

use super::at::At;
use super::connection_limit;
use super::duration;
use super::endpoint::listening_from_proto;
use super::filters::KnownFilters;
use super::listener_filters::{self, ListenerFilters};
use super::meta_protocol::{self, MetaProtocol};
use super::tcp_keepalive;
use super::tls;
use crate::proto::envoy::config::core::v3::TrafficDirection as DirectionProto;
use crate::proto::envoy::config::listener::v3 as proto;

/// Converts and validates a listener.
///
/// Its one filter chain holds one filter, a `MetaProtocolProxy`, which may be wrapped in a `TypedStruct`, and perhaps a
/// limit of connections in front of it. Layer-7 filters
/// that an embedder brings along are named in `known`; their configuration is handed on as it is.
///
/// Of two filter chains with the same filter, one in TLS (`transport_protocol: tls`) and one in plain text, a
/// [permissive](DownstreamTlsContext::permissive) listener is made.
///
/// # Errors
///
/// Names the listener, the field and the reason: an address that is no IP address, another number or kind of filters,
/// TLS that is not supported, an unknown layer-7 filter, a source of routes other than inline ones or gRPC, and everything that
/// [`Listener::validate`] refuses.
pub fn listener_from_proto(listener: &proto::Listener, known: &KnownFilters) -> Result<Listener, ConfigError> {
    let at = &At::resource("listener", &listener.name);
    let address = listening_from_proto(listener.address.as_ref(), &at.field("address"))?;
    let tls = tls_of_chains(listener, at)?;
    let (connection_limit, proxy) = filters_of_chain(listener, known, at)?;
    let MetaProtocol { protocol, stat_prefix, routes, filters, response_order, idle_timeout } = proxy;
    let mut converted = Listener::new(&listener.name, NOWHERE, protocol, routes)
        .with_address(address)
        .with_direction(direction(listener))
        .with_stat_prefix(stat_prefix)
        .with_response_order(response_order);
    converted.filters = filters;
    converted.idle_timeout = idle_timeout;
    converted.connection_limit = connection_limit;
    converted.tcp_keepalive = listener.tcp_keepalive.as_ref().and_then(tcp_keepalive::from_proto);
    converted.tls = tls;
    let ListenerFilters { proxy_protocol, original_dst } = listener_filters::from_proto(listener, at)?;
    converted.proxy_protocol = proxy_protocol;
    converted.original_dst = original_dst;
    converted.validate()?;
    Ok(converted)
}

/// Converts the transport sockets of the filter chains.
fn tls_of_chains(listener: &proto::Listener, at: &At<'_>) -> Result<Option<DownstreamTlsContext>, ConfigError> {
    match listener.filter_chains.as_slice() {
        [chain] => tls_of_chain(chain, &at.item("filter_chains", 0)),
        [first, second] => {
            let contexts = [
                tls_of_chain(first, &at.item("filter_chains", 0))?,
                tls_of_chain(second, &at.item("filter_chains", 1))?,
            ];
            let tls = match contexts {
                [Some(tls), None] if told_apart(first, second) => tls,
                [None, Some(tls)] if told_apart(second, first) => tls,
                _ => return Err(at.field("filter_chains").refuse(NOT_TOLD_APART)),
            };
            Ok(Some(tls.with_permissive(true)))
        }
        more => {
            let reason = format!("must hold one filter chain, or one in TLS and one in plain text, not {}", more.len());
            Err(at.field("filter_chains").refuse(reason))
        }
    }
}

fn tls_of_chain(chain: &proto::FilterChain, at: &At<'_>) -> Result<Option<DownstreamTlsContext>, ConfigError> {
    let Some(mut tls) = tls::downstream(chain.transport_socket.as_ref(), at)? else { return Ok(None) };
    let at = &at.field("transport_socket_connect_timeout");
    if let Some(timeout) = duration::positive_from_proto(chain.transport_socket_connect_timeout.as_ref(), at)? {
        tls.handshake_timeout = timeout;
    }
    Ok(Some(tls))
}

/// Tells whether the first bytes say which of two chains a client wants, which are alike else.
fn told_apart(tls: &proto::FilterChain, plain: &proto::FilterChain) -> bool {
    let transport = |chain: &proto::FilterChain| {
        let criteria = chain.filter_chain_match.clone().unwrap_or_default();
        let only = proto::FilterChainMatch { transport_protocol: String::new(), ..criteria.clone() };
        (only == proto::FilterChainMatch::default()).then_some(criteria.transport_protocol)
    };
    transport(tls).as_deref() == Some("tls")
        && matches!(transport(plain).as_deref(), Some("" | "raw_buffer"))
        && tls.filters == plain.filters
}

fn filters_of_chain(
    listener: &proto::Listener,
    known: &KnownFilters,
    at: &At<'_>,
) -> Result<(Option<ConnectionLimit>, MetaProtocol), ConfigError> {
    let at = &at.item("filter_chains", 0);
    let chain = at.require(listener.filter_chains.first())?;
    let (limit, rest) = connection_limit::split(&chain.filters, at)?;
    let [filter] = rest else {
        let reason = format!("must hold the MetaProtocol proxy alone, not {} filters", rest.len());
        return Err(at.field("filters").refuse(reason));
    };
    let at = &at.named("filters", chain.filters.len() - 1, &filter.name);
    let at = &at.field("typed_config");
    let Some(proto::filter::ConfigType::TypedConfig(config)) = &filter.config_type else {
        return Err(at.refuse("is required"));
    };
    Ok((limit, meta_protocol::from_any(config, known, at)?))
}

fn direction(listener: &proto::Listener) -> TrafficDirection {
    match DirectionProto::try_from(listener.traffic_direction) {
        Ok(DirectionProto::Inbound) => TrafficDirection::Inbound,
        Ok(DirectionProto::Outbound) => TrafficDirection::Outbound,
        Ok(DirectionProto::Unspecified) | Err(_) => TrafficDirection::Unspecified,
    }
}

/// Stands for the address until that is set.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
const NOT_TOLD_APART: &str = "two filter chains must hold the same filters, one matching transport_protocol tls with a TLS \
    transport socket, the other one raw_buffer without, and nothing else";
