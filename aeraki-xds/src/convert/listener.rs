//! `envoy.config.listener.v3.Listener` with a MetaProtocol proxy or a TCP proxy in its filter chain.

use aeraki_route::config::{ConfigError, DownstreamTlsContext, FilterChain, Listener, NetworkFilter, TrafficDirection};
use prost::Name;

use super::at::At;
use super::duration;
use super::endpoint::socket_from_proto;
use super::filters::KnownFilters;
use super::meta_protocol;
use super::proxy_protocol;
use super::tcp_keepalive;
use super::tcp_proxy;
use super::tls;
use crate::proto::envoy::config::core::v3::TrafficDirection as DirectionProto;
use crate::proto::envoy::config::listener::v3 as proto;
use crate::proto::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;

/// Converts and validates a listener.
///
/// Its one filter chain holds one filter, a `MetaProtocolProxy` or a `TcpProxy`, which may be wrapped in a `TypedStruct`;
/// the latter goes by the name `envoy.filters.network.tcp_proxy` then. Layer-7 filters
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
    let address = socket_from_proto(listener.address.as_ref(), &at.field("address"))?;
    let tls = tls_of_chains(listener, at)?;
    let mut chain = FilterChain::new(network_filter(listener, known, at)?);
    chain.tls = tls;
    let mut converted = Listener::of(&listener.name, address, chain).with_direction(direction(listener));
    converted.tcp_keepalive = listener.tcp_keepalive.as_ref().and_then(tcp_keepalive::from_proto);
    converted.proxy_protocol = proxy_protocol::downstream(listener, at)?;
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

fn network_filter(listener: &proto::Listener, known: &KnownFilters, at: &At<'_>) -> Result<NetworkFilter, ConfigError> {
    let at = &at.item("filter_chains", 0);
    let chain = at.require(listener.filter_chains.first())?;
    let [filter] = chain.filters.as_slice() else {
        let count = chain.filters.len();
        let reason = format!("must hold the MetaProtocol proxy or the TCP proxy alone, not {count} filters");
        return Err(at.field("filters").refuse(reason));
    };
    let at = &at.named("filters", 0, &filter.name);
    let at = &at.field("typed_config");
    let Some(proto::filter::ConfigType::TypedConfig(config)) = &filter.config_type else {
        return Err(at.refuse("is required"));
    };
    if filter.name == TCP_PROXY || config.type_url == TcpProxy::type_url() {
        return Ok(tcp_proxy::from_any(config, at)?.into());
    }
    Ok(meta_protocol::from_any(config, known, at)?.into())
}

fn direction(listener: &proto::Listener) -> TrafficDirection {
    match DirectionProto::try_from(listener.traffic_direction) {
        Ok(DirectionProto::Inbound) => TrafficDirection::Inbound,
        Ok(DirectionProto::Outbound) => TrafficDirection::Outbound,
        Ok(DirectionProto::Unspecified) | Err(_) => TrafficDirection::Unspecified,
    }
}

const TCP_PROXY: &str = "envoy.filters.network.tcp_proxy";
const NOT_TOLD_APART: &str = "two filter chains must hold the same filters, one matching transport_protocol tls with a TLS \
    transport socket, the other one raw_buffer without, and nothing else";
