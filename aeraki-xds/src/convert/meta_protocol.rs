//! `aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy`, plain or as a `TypedStruct`.

use std::collections::BTreeMap;

use aeraki_route::config::{
    ConfigError, FilterOrder, MetaProtocolProxy, ProtocolConfig, RouteSource, RouteSubscription,
};

use super::at::At;
use super::filters::{self, KnownFilters};
use super::unpack::unpack;
use super::{duration, grpc, native};
use crate::Any;
use crate::proto::aeraki::meta_protocol::codec::DubboCodec;
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
    let mut converted = MetaProtocolProxy::new(&proxy.stat_prefix, protocol(&proxy, at)?, routes(&proxy, at)?);
    converted.filters = proxy.meta_protocol_filters.iter().enumerate().map(filter).collect::<Result<_, _>>()?;
    if proxy.reverse_response_filters {
        converted.response_order = FilterOrder::Reversed;
    }
    converted.idle_timeout = duration::positive_from_proto(proxy.idle_timeout.as_ref(), &at.field("idle_timeout"))?;
    Ok(converted)
}

/// Reads protocol and codec, each from where older configurations have it if need be.
fn protocol(proxy: &proto::MetaProtocolProxy, at: &At<'_>) -> Result<ProtocolConfig, ConfigError> {
    let named = proxy.protocol.as_ref();
    let name = named.map(|protocol| &protocol.name).filter(|name| !name.is_empty());
    let name = name.unwrap_or(&proxy.application_protocol);
    let codec = named.and_then(|protocol| protocol.codec.as_ref()).filter(|codec| !codec.name.is_empty());
    let mut converted = ProtocolConfig::new(name);
    if let Some(codec) = codec.or(proxy.codec.as_ref()) {
        converted.codec = Some(codec.name.clone());
        converted.options = codec_options(codec, &at.field("codec").field("config"))?;
    }
    Ok(converted)
}

/// Reads the options of a codec that is built in; the others have none that could be said here.
fn codec_options(codec: &proto::Codec, at: &At<'_>) -> Result<BTreeMap<String, String>, ConfigError> {
    let Some(config) = codec.config.as_ref().filter(|config| !config.value.is_empty()) else {
        return Ok(BTreeMap::new());
    };
    let DubboCodec { render_scalars, reject_mismatch, four_byte_utf8, coarse_statuses } = unpack(config, at)?;
    let options = [
        ("render_scalars", render_scalars),
        ("reject_mismatch", reject_mismatch),
        ("four_byte_utf8", four_byte_utf8),
        ("coarse_statuses", coarse_statuses),
    ];
    Ok(options.into_iter().filter(|(_, on)| *on).map(|(name, on)| (name.to_owned(), on.to_string())).collect())
}

fn routes(proxy: &proto::MetaProtocolProxy, at: &At<'_>) -> Result<RouteSource, ConfigError> {
    match &proxy.route_specifier {
        None => Err(at.refuse("must hold route_config or rds")),
        Some(RouteSpecifier::RouteConfig(routes)) => {
            native::routes_from_proto(routes, &at.field("route_config")).map(RouteSource::Inline)
        }
        Some(RouteSpecifier::Rds(rds)) => {
            let at = &at.field("rds");
            let at = &at.field("config_source");
            let source = at.require(rds.config_source.as_ref())?;
            subscription(&rds.route_config_name, source, at).map(RouteSource::Dynamic)
        }
    }
}

fn subscription(name: &str, source: &ConfigSource, at: &At<'_>) -> Result<RouteSubscription, ConfigError> {
    let mut subscription = match &source.config_source_specifier {
        Some(ConfigSourceSpecifier::ApiConfigSource(api)) => {
            RouteSubscription::new(name, grpc_cluster(api, &at.field("api_config_source"))?)
        }
        Some(ConfigSourceSpecifier::PathConfigSource(file)) => RouteSubscription::in_file(name, &file.path),
        Some(ConfigSourceSpecifier::Path(path)) => RouteSubscription::in_file(name, path),
        _ => return Err(at.refuse("must be an api_config_source or a path_config_source")),
    };
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
