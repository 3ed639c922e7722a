//! The layer-7 filters of a listener; what a route says to them is in the same messages.
//!
//! | Name, behind `aeraki.meta_protocol.filters.` | Message, behind `aeraki.meta_protocol_proxy.filters.` | Of |
//! |---|---|---|
//! | `router` | `router.v1alpha.Router` | upstream |
//! | `local_ratelimit` | `local_ratelimit.v1alpha.LocalRateLimit`, with additions | upstream |
//! | `ratelimit` | `ratelimit.v1alpha.RateLimit`, with additions | upstream |
//! | `metadata_exchange` | `metadata_exchange.v1alpha.MetadataExchange`, with an addition | upstream |
//! | `istio_stats` | `istio_stats.v1alpha.IstioStats`; not enforced | upstream |
//! | `authorization` | `authorization.v1alpha.Authorization` | ours |
//! | `fault` | `fault.v1alpha.Fault`, or Envoy's `HTTPFault` | ours |
//! | `shed` | `shed.v1alpha.Shed` | ours |
//! | `request_id` | `request_id.v1alpha.RequestId` | ours |

pub(super) mod authorization;
pub(super) mod fault;
pub(super) mod global_limit;
pub(super) mod local_limit;
mod shed;

use std::collections::BTreeSet;

use aeraki_route::config::{ConfigError, Filter, FilterConfig, MetadataExchange, RequestIds};
use prost::{Message, Name};

use super::at::At;
use super::unpack::unpack;
use crate::Any;
use crate::proto::aeraki::meta_protocol_proxy::filters::metadata_exchange::v1alpha::MetadataExchange as ExchangeProto;
use crate::proto::aeraki::meta_protocol_proxy::filters::request_id::v1alpha::RequestId;
use crate::proto::aeraki::meta_protocol_proxy::v1alpha::MetaProtocolFilter;

/// Names of filters that an embedder brings along. A listener may ask for them; any other unknown name is refused.
#[derive(Debug, Clone, Default)]
pub struct KnownFilters(BTreeSet<String>);

impl KnownFilters {
    /// Creates a set of names. Those of filters that are built in have no effect.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

/// Converts one filter; without a configuration, every field has its default.
pub(super) fn from_proto(
    filter: &MetaProtocolFilter,
    known: &KnownFilters,
    at: &At<'_>,
) -> Result<Filter, ConfigError> {
    let any = filter.config.as_ref();
    let config = config_from_proto(&filter.name, any, known, at)?;
    let mut converted = Filter::new(&filter.name, config);
    converted.type_url = any.map(|any| any.type_url.clone());
    Ok(converted)
}

fn config_from_proto(
    name: &str,
    any: Option<&Any>,
    known: &KnownFilters,
    at: &At<'_>,
) -> Result<FilterConfig, ConfigError> {
    let config_at = &at.field("config");
    Ok(match name {
        ROUTER => FilterConfig::Router,
        ISTIO_STATS => FilterConfig::Unenforced,
        LOCAL_RATE_LIMIT => {
            FilterConfig::LocalRateLimit(local_limit::from_proto(&config(any, config_at)?, config_at)?.into())
        }
        RATE_LIMIT => {
            FilterConfig::GlobalRateLimit(global_limit::from_proto(&config(any, config_at)?, config_at)?.into())
        }
        AUTHORIZATION => FilterConfig::Authorization(authorization::from_proto(&config(any, config_at)?, config_at)?),
        FAULT => FilterConfig::Fault(fault::from_any(&any.cloned().unwrap_or_default(), config_at)?.into()),
        SHED => FilterConfig::Shed(shed::from_proto(&config(any, config_at)?, config_at)?),
        METADATA_EXCHANGE => {
            let exchange: ExchangeProto = config(any, config_at)?;
            let trust_boundary = exchange.trust_boundary;
            FilterConfig::MetadataExchange(MetadataExchange::default().with_trust_boundary(trust_boundary))
        }
        REQUEST_ID => {
            let ids: RequestId = config(any, config_at)?;
            FilterConfig::RequestIds(RequestIds::default().with_replace(ids.replace))
        }
        name if known.0.contains(name) => FilterConfig::Custom(any.map(|any| any.value.to_vec()).unwrap_or_default()),
        name => return Err(at.field("name").refuse(format!("there is no filter {name:?}"))),
    })
}

fn config<M: Message + Name + Default>(any: Option<&Any>, at: &At<'_>) -> Result<M, ConfigError> {
    any.map_or_else(|| Ok(M::default()), |any| unpack(any, at))
}

/// What the names of all filters that are built in begin with.
pub(super) const PREFIX: &str = "aeraki.meta_protocol.filters.";
pub(super) const AUTHORIZATION: &str = "aeraki.meta_protocol.filters.authorization";
pub(super) const FAULT: &str = "aeraki.meta_protocol.filters.fault";
pub(super) const LOCAL_RATE_LIMIT: &str = "aeraki.meta_protocol.filters.local_ratelimit";
pub(super) const RATE_LIMIT: &str = "aeraki.meta_protocol.filters.ratelimit";
pub(super) const ROUTER: &str = "aeraki.meta_protocol.filters.router";
const ISTIO_STATS: &str = "aeraki.meta_protocol.filters.istio_stats";
const METADATA_EXCHANGE: &str = "aeraki.meta_protocol.filters.metadata_exchange";
const REQUEST_ID: &str = "aeraki.meta_protocol.filters.request_id";
const SHED: &str = "aeraki.meta_protocol.filters.shed";
