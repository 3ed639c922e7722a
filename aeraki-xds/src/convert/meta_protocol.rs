//! `aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy`, plain or as a `TypedStruct`.

use std::time::Duration;

use aeraki_route::config::{ConfigError, Filter, FilterConfig, ProtocolConfig, RouteSource, RouteSubscription};

use super::action::duration_from_proto;
use super::at::At;
use super::native;
use crate::Any;
use crate::proto::aeraki::meta_protocol_proxy::v1alpha as proto;
use crate::proto::envoy::config::core::v3::api_config_source::ApiType;
use crate::proto::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use crate::proto::envoy::config::core::v3::grpc_service::TargetSpecifier;
use crate::proto::envoy::config::core::v3::{ApiConfigSource, ConfigSource};
use proto::MetaProtocolProxy;
use proto::meta_protocol_proxy::RouteSpecifier;

/// What the filter says of the listener.
pub(super) struct MetaProtocol {
    pub(super) protocol: ProtocolConfig,
    pub(super) stat_prefix: String,
    pub(super) routes: RouteSource,
    pub(super) filters: Vec<Filter>,
    pub(super) idle_timeout: Option<Duration>,
}

pub(super) fn from_any(config: &Any, at: &At<'_>) -> Result<MetaProtocol, ConfigError> {
    let proxy: MetaProtocolProxy = match config.type_url.rsplit('/').next() {
        Some("udpa.type.v1.TypedStruct" | "xds.type.v3.TypedStruct") => typed_struct(config, at)?,
        _ => config.unpack().map_err(|error| at.refuse(error.to_string()))?,
    };
    from_proto(&proxy, at)
}

fn from_proto(proxy: &MetaProtocolProxy, at: &At<'_>) -> Result<MetaProtocol, ConfigError> {
    let filter = |(index, filter): (usize, &proto::MetaProtocolFilter)| {
        filter_from_proto(filter, &at.item("meta_protocol_filters", index))
    };
    Ok(MetaProtocol {
        protocol: protocol(proxy),
        stat_prefix: proxy.stat_prefix.clone(),
        routes: routes(proxy, at)?,
        filters: proxy.meta_protocol_filters.iter().enumerate().map(filter).collect::<Result<_, _>>()?,
        idle_timeout: duration_from_proto(proxy.idle_timeout.as_ref(), &at.field("idle_timeout"))?,
    })
}

/// Reads protocol and codec, each from where older configurations have it if need be.
fn protocol(proxy: &MetaProtocolProxy) -> ProtocolConfig {
    let named = proxy.protocol.as_ref();
    let name = named.map(|protocol| &protocol.name).filter(|name| !name.is_empty());
    let name = name.unwrap_or(&proxy.application_protocol);
    let codec = named.and_then(|protocol| protocol.codec.as_ref()).filter(|codec| !codec.name.is_empty());
    let mut converted = ProtocolConfig::new(name);
    converted.codec = codec.or(proxy.codec.as_ref()).map(|codec| codec.name.clone());
    converted
}

fn routes(proxy: &MetaProtocolProxy, at: &At<'_>) -> Result<RouteSource, ConfigError> {
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
        subscription.initial_fetch_timeout = duration_from_proto(Some(timeout), at)?.unwrap_or_default();
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
    let Some(TargetSpecifier::EnvoyGrpc(target)) = &service.target_specifier else {
        return Err(at.item("grpc_services", 0).field("envoy_grpc").refuse("is required"));
    };
    Ok(&target.cluster_name)
}

fn filter_from_proto(filter: &proto::MetaProtocolFilter, at: &At<'_>) -> Result<Filter, ConfigError> {
    let mut converted = match filter.name.as_str() {
        ENFORCED_FILTER => Filter::new(ENFORCED_FILTER, FilterConfig::Router),
        name if UNENFORCED_FILTERS.contains(&name) => Filter::unenforced(name),
        name => return Err(at.field("name").refuse(format!("there is no filter {name:?}"))),
    };
    converted.type_url = filter.config.as_ref().map(|config| config.type_url.clone());
    Ok(converted)
}

#[cfg(feature = "bootstrap")]
fn typed_struct(config: &Any, at: &At<'_>) -> Result<MetaProtocolProxy, ConfigError> {
    crate::json::typed_struct(config).map_err(|error| at.refuse(error.to_string()))
}

#[cfg(not(feature = "bootstrap"))]
fn typed_struct(_: &Any, at: &At<'_>) -> Result<MetaProtocolProxy, ConfigError> {
    Err(at.refuse("a TypedStruct needs the feature `bootstrap`"))
}

/// The filter that forwards; the proxy always does.
const ENFORCED_FILTER: &str = "aeraki.meta_protocol.filters.router";

/// Filters that upstream's proxy has and this one does not have yet.
const UNENFORCED_FILTERS: &[&str] = &[
    "aeraki.meta_protocol.filters.istio_stats",
    "aeraki.meta_protocol.filters.local_ratelimit",
    "aeraki.meta_protocol.filters.metadata_exchange",
    "aeraki.meta_protocol.filters.ratelimit",
];
