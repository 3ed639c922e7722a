//! `aeraki.meta_protocol_proxy.filters.shed.v1alpha.Shed`.

use aeraki_route::config::{AdaptiveConcurrency, ConfigError, Shed};

use super::super::at::At;
use super::super::duration;
use crate::proto::aeraki::meta_protocol_proxy::filters::shed::v1alpha as proto;

pub(super) fn from_proto(shed: &proto::Shed, at: &At<'_>) -> Result<Shed, ConfigError> {
    let mut converted = Shed::default();
    converted.max_requests = shed.max_requests;
    converted.adaptive =
        shed.adaptive.as_ref().map(|adaptive| adaptive_from_proto(adaptive, &at.field("adaptive"))).transpose()?;
    Ok(converted)
}

fn adaptive_from_proto(adaptive: &proto::AdaptiveConcurrency, at: &At<'_>) -> Result<AdaptiveConcurrency, ConfigError> {
    let default = AdaptiveConcurrency::default();
    let interval = |interval: Option<&_>, name| duration::exact_from_proto(interval, &at.field(name));
    let (update, baseline) = (adaptive.update_interval.as_ref(), adaptive.baseline_interval.as_ref());
    let mut converted = default;
    converted.min_requests = adaptive.min_requests.unwrap_or(default.min_requests);
    converted.max_requests = adaptive.max_requests.unwrap_or(default.max_requests);
    converted.update_interval = interval(update, "update_interval")?.unwrap_or(default.update_interval);
    converted.baseline_interval = interval(baseline, "baseline_interval")?.unwrap_or(default.baseline_interval);
    converted.buffer_percent = adaptive.buffer_percent.unwrap_or(default.buffer_percent);
    Ok(converted)
}
