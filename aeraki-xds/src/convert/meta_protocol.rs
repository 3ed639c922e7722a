//! `aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy`, plain or as a `TypedStruct`.

use aeraki_route::config::{
    ConfigError, FilterOrder, MetaProtocolProxy, ProtocolConfig, RouteSource, RouteSubscription,
};

use super::at::At;
use super::filters::{self, KnownFilters};
use super::unpack::unpack;
use super::{duration, grpc, native};
use crate::Any;
use crate::proto::aeraki::meta_protocol_proxy::v1alpha as proto;
use crate::proto::envoy::config::core::v3::api_config_source::ApiType;
use crate::proto::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use crate::proto::envoy::config::core::v3::{ApiConfigSource, ConfigSource};
use proto::meta_protocol_proxy::RouteSpecifier;

pub(super) fn from_any(config: &Any, known: &KnownFilters, at: &At<'_>) -> Result<MetaProtocolProxy, ConfigError> {
    let proxy: proto::MetaProtocolProxy = unpack(config, at)?;
    let filter = |(index, filter): (usize, &proto::MetaProtocolFilter)| {
        filters::from_proto(filter, known, &at.item("meta_protocol_filters", index))
    };
    let mut converted = MetaProtocolProxy::new(&proxy.stat_prefix, protocol(&proxy), routes(&proxy, at)?);
    converted.filters = proxy.meta_protocol_filters.iter().enumerate().map(filter).collect::<Result<_, _>>()?;
    if proxy.reverse_response_filters {
        converted.response_order = FilterOrder::Reversed;
    }
    converted.idle_timeout = duration::positive_from_proto(proxy.idle_timeout.as_ref(), &at.field("idle_timeout"))?;
    Ok(converted)
}

/// Reads protocol and codec, each from where older configurations have it if need be.
fn protocol(proxy: &proto::MetaProtocolProxy) -> ProtocolConfig {
    let named = proxy.protocol.as_ref();
    let name = named.map(|protocol| &protocol.name).filter(|name| !name.is_empty());
    let name = name.unwrap_or(&proxy.application_protocol);
    let codec = named.and_then(|protocol| protocol.codec.as_ref()).filter(|codec| !codec.name.is_empty());
    let mut converted = ProtocolConfig::new(name);
    converted.codec = codec.or(proxy.codec.as_ref()).map(|codec| codec.name.clone());
    converted
}

fn routes(proxy: &proto::MetaProtocolProxy, at: &At<'_>) -> Result<RouteSource, ConfigError> {
    match at.field("route_specifier").require(proxy.route_specifier.as_ref())? {
        RouteSpecifier::RouteConfig(routes) => {
            native::routes_from_proto(routes, &at.field("route_config")).map(RouteSource::Inline)
        }
        RouteSpecifier::Rds(rds) => {
            let at = &at.field("rds");
            let at = &at.field("config_source");
            let source = at.require(rds.config_source.as_ref())?;
            subscription(&rds.route_config_name, source, at).map(RouteSource::Dynamic)
        }
    }
}

fn subscription(name: &str, source: &ConfigSource, at: &At<'_>) -> Result<RouteSubscription, ConfigError> {
    let Some(ConfigSourceSpecifier::ApiConfigSource(api)) = &source.config_source_specifier else {
        return Err(at.refuse("must be an api_config_source"));
    };
    let mut subscription = RouteSubscription::new(name, grpc_cluster(api, &at.field("api_config_source"))?);
    if let Some(timeout) = &source.initial_fetch_timeout {
        let at = &at.field("initial_fetch_timeout");
        subscription.initial_fetch_timeout = duration::positive_from_proto(Some(timeout), at)?.unwrap_or_default();
    }
    Ok(subscription)
}

fn grpc_cluster<'a>(api: &'a ApiConfigSource, at: &At<'_>) -> Result<&'a str, ConfigError> {
    if api.api_type != i32::from(ApiType::Grpc) {
        return Err(at.field("api_type").refuse("must be GRPC"));
    }
    let [service] = api.grpc_services.as_slice() else {
        return Err(at.field("grpc_services").refuse("must hold exactly one service"));
    };
    grpc::cluster_from_proto(service, &at.item("grpc_services", 0))
}
