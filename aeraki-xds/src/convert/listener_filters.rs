//! `envoy.config.listener.v3.ListenerFilter`: what is found out about a connection before it is served.

use std::collections::HashSet;

use aeraki_route::config::{ConfigError, ProxyProtocol};

use super::at::At;
use super::duration;
use super::proxy_protocol;
use crate::proto::envoy::config::listener::v3::{Listener, listener_filter::ConfigType};

/// What the filters of a listener find out.
#[derive(Default)]
pub(super) struct ListenerFilters {
    pub(super) proxy_protocol: Option<ProxyProtocol>,
    pub(super) original_dst: bool,
}

/// Converts the filters; what those find out that look at first bytes, the filter chains ask for by themselves.
pub(super) fn from_proto(listener: &Listener, at: &At<'_>) -> Result<ListenerFilters, ConfigError> {
    let mut converted = ListenerFilters::default();
    let mut known = HashSet::new();
    for (index, filter) in listener.listener_filters.iter().enumerate() {
        let at = &at.named("listener_filters", index, &filter.name);
        if !known.insert(&*filter.name) {
            return Err(at.refuse("is there twice"));
        }
        let config = match &filter.config_type {
            Some(ConfigType::TypedConfig(config)) => Some(config),
            _ => None,
        };
        match &*filter.name {
            TLS_INSPECTOR | DETECT => {}
            ORIGINAL_DST => converted.original_dst = true,
            PROXY_PROTOCOL => {
                let config = config.map(|config| proxy_protocol::downstream(config, &at.field("typed_config")));
                converted.proxy_protocol = Some(config.transpose()?.unwrap_or_default());
            }
            _ => {
                let known = format!("{PROXY_PROTOCOL}, {ORIGINAL_DST}, {TLS_INSPECTOR} or {DETECT}");
                return Err(at.refuse(format!("is not supported: use {known}")));
            }
        }
    }
    if let Some(proxy_protocol) = &mut converted.proxy_protocol {
        let timeout = listener.listener_filters_timeout.as_ref();
        let timeout = duration::positive_from_proto(timeout, &at.field("listener_filters_timeout"))?;
        proxy_protocol.timeout = timeout.unwrap_or(proxy_protocol.timeout);
    }
    converted.original_dst |= listener.use_original_dst.unwrap_or_default();
    Ok(converted)
}

const DETECT: &str = "aeraki.filters.listener.detect";
const ORIGINAL_DST: &str = "envoy.filters.listener.original_dst";
const PROXY_PROTOCOL: &str = "envoy.filters.listener.proxy_protocol";
const TLS_INSPECTOR: &str = "envoy.filters.listener.tls_inspector";
