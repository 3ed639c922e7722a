//! `envoy.config.listener.v3.Listener`.

mod chain;

use aeraki_route::config::{ConfigError, FilterChain, Listener, TrafficDirection};

use super::at::At;
use super::duration;
use super::endpoint::listening_from_proto;
use super::filters::KnownFilters;
use super::listener_filters::{self, ListenerFilters};
use super::tcp_keepalive;
use crate::proto::envoy::config::core::v3::TrafficDirection as DirectionProto;
use crate::proto::envoy::config::listener::v3 as proto;

/// Converts and validates a listener.
///
/// Each filter chain holds a `MetaProtocolProxy` or a `TcpProxy`, which may be wrapped in a `TypedStruct`, the latter under
/// the name `envoy.filters.network.tcp_proxy`, and perhaps a limit of connections in front of it. Layer-7 filters that an
/// embedder brings along are named in `known`; their configuration is handed on as it is.
///
/// # Errors
///
/// Names the listener, the field and the reason: an address that is neither an IP address nor a Unix socket, another number
/// or kind of filters, TLS that is not supported, an unknown layer-7 filter, a source of routes other than inline ones or
/// gRPC, a way to choose filter chains that is not supported, and everything that [`Listener::validate`] refuses.
pub fn listener_from_proto(listener: &proto::Listener, known: &KnownFilters) -> Result<Listener, ConfigError> {
    let at = &At::resource("listener", &listener.name);
    let address = listening_from_proto(listener.address.as_ref(), &at.field("address"))?;
    at.refuse_used(&[
        ("filter_chain_matcher", listener.filter_chain_matcher.is_some()),
        ("fcds_config", listener.fcds_config.is_some()),
    ])?;
    let mut converted = Listener::without_chains(&listener.name, address).with_direction(direction(listener));
    let chains = listener.filter_chains.iter().enumerate();
    let chains =
        chains.map(|(index, chain)| chain::from_proto(chain, known, &at.named("filter_chains", index, &chain.name)));
    converted.filter_chains = chains.collect::<Result<_, _>>()?;
    converted.default_filter_chain = default_chain(listener, known, at)?;
    converted.continue_on_listener_filters_timeout = listener.continue_on_listener_filters_timeout;
    let timeout_at = &at.field("listener_filters_timeout");
    if let Some(timeout) = duration::exact_from_proto(listener.listener_filters_timeout.as_ref(), timeout_at)? {
        // Envoy's word for never
        converted.listener_filters_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
    }
    converted.tcp_keepalive = listener.tcp_keepalive.as_ref().and_then(tcp_keepalive::from_proto);
    let ListenerFilters { proxy_protocol, original_dst } = listener_filters::from_proto(listener, at)?;
    converted.proxy_protocol = proxy_protocol;
    converted.original_dst = original_dst;
    converted.validate()?;
    Ok(converted)
}

fn default_chain(
    listener: &proto::Listener,
    known: &KnownFilters,
    at: &At<'_>,
) -> Result<Option<FilterChain>, ConfigError> {
    let at = &at.field("default_filter_chain");
    listener.default_filter_chain.as_ref().map(|chain| chain::from_proto(chain, known, at)).transpose()
}

fn direction(listener: &proto::Listener) -> TrafficDirection {
    match DirectionProto::try_from(listener.traffic_direction) {
        Ok(DirectionProto::Inbound) => TrafficDirection::Inbound,
        Ok(DirectionProto::Outbound) => TrafficDirection::Outbound,
        Ok(DirectionProto::Unspecified) | Err(_) => TrafficDirection::Unspecified,
    }
}
