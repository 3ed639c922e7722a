//! What a cluster and its connections may take.

use aeraki_route::config::{Cluster, ConfigError};

use crate::convert::at::At;
use crate::convert::duration;
use crate::proto::envoy::config::cluster::v3 as proto;
use crate::proto::envoy::config::core::v3::RoutingPriority;

/// Sets the limits: the thresholds of the default priority, there being no other here, and those of connections.
pub(super) fn apply(cluster: &proto::Cluster, converted: &mut Cluster, at: &At<'_>) -> Result<(), ConfigError> {
    let limits = &mut converted.limits;
    let thresholds = cluster.circuit_breakers.iter().flat_map(|breakers| &breakers.thresholds);
    let default = thresholds.into_iter().find(|threshold| threshold.priority == i32::from(RoutingPriority::Default));
    if let Some(threshold) = default {
        limits.max_connections = threshold.max_connections.unwrap_or(limits.max_connections);
        limits.max_pending_requests = threshold.max_pending_requests.unwrap_or(limits.max_pending_requests);
        limits.max_requests = threshold.max_requests;
        limits.max_retries = threshold.max_retries;
    }
    let common = cluster.common_http_protocol_options.as_ref();
    let own = cluster.max_requests_per_connection.filter(|most| *most > 0);
    let common_most = common.and_then(|options| options.max_requests_per_connection).filter(|most| *most > 0);
    limits.max_requests_per_connection = own.or(common_most);
    if let Some(options) = common {
        let at = at.field("common_http_protocol_options");
        let duration = options.max_connection_duration.as_ref();
        limits.max_connection_duration = duration::positive_from_proto(duration, &at.field("max_connection_duration"))?;
        if let Some(idle) = duration::exact_from_proto(options.idle_timeout.as_ref(), &at.field("idle_timeout"))? {
            // Envoy's word for never
            converted.idle_timeout = Some(idle).filter(|idle| !idle.is_zero());
        }
    }
    Ok(())
}
