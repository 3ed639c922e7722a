//! `envoy.config.listener.v3.Listener` with a MetaProtocol proxy in its filter chain.

use aeraki_route::config::{ConfigError, Listener, TrafficDirection};

use super::at::At;
use super::endpoint::socket_from_proto;
use super::filters::KnownFilters;
use super::meta_protocol::{self, MetaProtocol};
use super::tls::refuse_tls;
use crate::proto::envoy::config::core::v3::TrafficDirection as DirectionProto;
use crate::proto::envoy::config::listener::v3 as proto;

/// Converts and validates a listener.
///
/// Its one filter chain holds one filter, a `MetaProtocolProxy`, which may be wrapped in a `TypedStruct`. Layer-7 filters
/// that an embedder brings along are named in `known`; their configuration is handed on as it is.
///
/// # Errors
///
/// Names the listener, the field and the reason: an address that is no IP address, another number or kind of filters,
/// TLS, an unknown layer-7 filter, a source of routes other than inline ones or gRPC, and everything that
/// [`Listener::validate`] refuses.
pub fn listener_from_proto(listener: &proto::Listener, known: &KnownFilters) -> Result<Listener, ConfigError> {
    let at = &At::resource("listener", &listener.name);
    let address = socket_from_proto(listener.address.as_ref(), &at.field("address"))?;
    let MetaProtocol { protocol, stat_prefix, routes, filters, response_order, idle_timeout } =
        meta_protocol(listener, known, at)?;
    let mut converted = Listener::new(&listener.name, address, protocol, routes)
        .with_direction(direction(listener))
        .with_stat_prefix(stat_prefix)
        .with_response_order(response_order);
    converted.filters = filters;
    converted.idle_timeout = idle_timeout;
    converted.validate()?;
    Ok(converted)
}

fn meta_protocol(listener: &proto::Listener, known: &KnownFilters, at: &At<'_>) -> Result<MetaProtocol, ConfigError> {
    let [chain] = listener.filter_chains.as_slice() else {
        let count = listener.filter_chains.len();
        return Err(at.field("filter_chains").refuse(format!("must hold exactly one filter chain, not {count}")));
    };
    let at = &at.item("filter_chains", 0);
    refuse_tls(chain.transport_socket.as_ref(), at)?;
    let [filter] = chain.filters.as_slice() else {
        let count = chain.filters.len();
        return Err(at.field("filters").refuse(format!("must hold the MetaProtocol proxy alone, not {count} filters")));
    };
    let at = &at.named("filters", 0, &filter.name);
    let at = &at.field("typed_config");
    let Some(proto::filter::ConfigType::TypedConfig(config)) = &filter.config_type else {
        return Err(at.refuse("is required"));
    };
    meta_protocol::from_any(config, known, at)
}

fn direction(listener: &proto::Listener) -> TrafficDirection {
    match DirectionProto::try_from(listener.traffic_direction) {
        Ok(DirectionProto::Inbound) => TrafficDirection::Inbound,
        Ok(DirectionProto::Outbound) => TrafficDirection::Outbound,
        Ok(DirectionProto::Unspecified) | Err(_) => TrafficDirection::Unspecified,
    }
}
