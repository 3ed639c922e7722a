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
/// Each filter chain holds a `MetaProtocolProxy` or a `TcpProxy`, which may be wrapped in a `TypedStruct`, the latter
/// under the name `envoy.filters.network.tcp_proxy`, and perhaps a limit of connections in front of it. Layer-7 filters
/// that an embedder brings along are named in `known`; their configuration is handed on as it is.
///
/// # Errors
///
/// Names the listener, the field and the reason: an address that is neither an IP address nor a Unix socket, another
/// number or kind of filters, TLS that is not supported, an unknown layer-7 filter, a source of routes other than
/// inline ones or gRPC, a way to choose filter chains that is not supported, what is not to be bound or needs more than
/// one TCP or Unix socket, and everything that [`Listener::validate`] refuses.
pub fn listener_from_proto(listener: &proto::Listener, known: &KnownFilters) -> Result<Listener, ConfigError> {
    let at = &At::resource("listener", &listener.name);
    let address = listening_from_proto(listener.address.as_ref(), &at.field("address"))?;
    refuse_unsupported(listener, at)?;
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
    converted.tcp_backlog_size = listener.tcp_backlog_size.unwrap_or(converted.tcp_backlog_size);
    converted.ignore_global_conn_limit = listener.ignore_global_conn_limit;
    if let Some(keepalive) = &listener.tcp_keepalive {
        converted.tcp_keepalive = tcp_keepalive::from_proto(keepalive);
    }
    let ListenerFilters { proxy_protocol, original_dst } = listener_filters::from_proto(listener, at)?;
    converted.proxy_protocol = proxy_protocol;
    converted.original_dst = original_dst;
    converted.validate()?;
    Ok(converted)
}

/// Refuses what would have other connections served, or none.
fn refuse_unsupported(listener: &proto::Listener, at: &At<'_>) -> Result<(), ConfigError> {
    let deprecated = listener.deprecated_v1.as_ref().and_then(|deprecated| deprecated.bind_to_port);
    for (field, binds) in [("bind_to_port", listener.bind_to_port), ("deprecated_v1.bind_to_port", deprecated)] {
        if binds == Some(false) {
            let reason =
                "must be true: only what is bound is served, by one listener with the chains for all destinations";
            return Err(at.field(field).refuse(reason));
        }
    }
    if !listener.additional_addresses.is_empty() {
        return Err(at
            .field("additional_addresses")
            .refuse("is not supported: let each address have its own listener"));
    }
    at.refuse_used(&[
        ("filter_chain_matcher", listener.filter_chain_matcher.is_some()),
        ("fcds_config", listener.fcds_config.is_some()),
        ("transparent", listener.transparent.unwrap_or_default()),
        ("udp_listener_config", listener.udp_listener_config.is_some()),
        ("api_listener", listener.api_listener.is_some()),
        ("internal_listener", listener.listener_specifier.is_some()),
    ])
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
