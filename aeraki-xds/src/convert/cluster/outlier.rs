//! `envoy.config.cluster.v3.OutlierDetection`.

use aeraki_route::config::{ConfigError, OutlierDetection};

use crate::convert::at::At;
use crate::convert::duration;
use crate::proto::envoy::config::cluster::v3 as proto;

/// Reads when endpoints are taken out; what is absent has Envoy's default.
pub(super) fn from_proto(from: &proto::OutlierDetection, at: &At<'_>) -> Result<OutlierDetection, ConfigError> {
    let mut detection = OutlierDetection::default();
    set(&mut detection.consecutive_errors.threshold, from.consecutive_5xx);
    set(&mut detection.consecutive_errors.enforcing, from.enforcing_consecutive_5xx);
    let gateway = &mut detection.consecutive_gateway_failure;
    set(&mut gateway.threshold, from.consecutive_gateway_failure);
    set(&mut gateway.enforcing, from.enforcing_consecutive_gateway_failure);
    let local_origin = &mut detection.consecutive_local_origin_failure;
    set(&mut local_origin.threshold, from.consecutive_local_origin_failure);
    set(&mut local_origin.enforcing, from.enforcing_consecutive_local_origin_failure);
    detection.split_external_local_origin_errors = from.split_external_local_origin_errors;
    apply_rates(from, &mut detection);
    apply_times(from, &mut detection, at)?;
    set(&mut detection.max_ejection_percent, from.max_ejection_percent);
    set(&mut detection.always_eject_one_host, from.always_eject_one_host);
    let uneject = &mut detection.successful_active_health_check_uneject_host;
    set(uneject, from.successful_active_health_check_uneject_host);
    Ok(detection)
}

fn apply_rates(from: &proto::OutlierDetection, detection: &mut OutlierDetection) {
    let rate = &mut detection.success_rate;
    set(&mut rate.minimum_hosts, from.success_rate_minimum_hosts);
    set(&mut rate.request_volume, from.success_rate_request_volume);
    set(&mut rate.stdev_factor, from.success_rate_stdev_factor);
    set(&mut rate.enforcing, from.enforcing_success_rate);
    set(&mut rate.enforcing_local_origin, from.enforcing_local_origin_success_rate);
    let share = &mut detection.failure_percentage;
    set(&mut share.threshold, from.failure_percentage_threshold);
    set(&mut share.minimum_hosts, from.failure_percentage_minimum_hosts);
    set(&mut share.request_volume, from.failure_percentage_request_volume);
    set(&mut share.enforcing, from.enforcing_failure_percentage);
    set(&mut share.enforcing_local_origin, from.enforcing_failure_percentage_local_origin);
}

fn apply_times(
    from: &proto::OutlierDetection,
    detection: &mut OutlierDetection,
    at: &At<'_>,
) -> Result<(), ConfigError> {
    let time = |duration, field| duration::exact_from_proto(duration, &at.field(field));
    set(&mut detection.interval, time(from.interval.as_ref(), "interval")?);
    set(&mut detection.base_ejection_time, time(from.base_ejection_time.as_ref(), "base_ejection_time")?);
    detection.max_ejection_time = time(from.max_ejection_time.as_ref(), "max_ejection_time")?;
    let jitter = time(from.max_ejection_time_jitter.as_ref(), "max_ejection_time_jitter")?;
    set(&mut detection.max_ejection_time_jitter, jitter);
    Ok(())
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
