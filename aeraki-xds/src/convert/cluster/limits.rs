//! What a cluster and its connections may take, and which connections are opened ahead.

use aeraki_route::config::{Cluster, ConfigError, Decimal, Preconnect, RoutingPriority, Thresholds};

use crate::convert::at::At;
use crate::convert::{duration, priority};
use crate::proto::envoy::config::cluster::v3 as proto;

/// Sets the thresholds of every priority, and the limits of connections.
pub(super) fn apply(cluster: &proto::Cluster, converted: &mut Cluster, at: &At<'_>) -> Result<(), ConfigError> {
    thresholds(cluster.circuit_breakers.as_ref(), converted, &at.field("circuit_breakers"))?;
    converted.preconnect = preconnect(cluster.preconnect_policy.as_ref(), &at.field("preconnect_policy"))?;
    let limits = &mut converted.limits;
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

fn preconnect(policy: Option<&proto::cluster::PreconnectPolicy>, at: &At<'_>) -> Result<Preconnect, ConfigError> {
    let Some(ratio) = policy.and_then(|policy| policy.per_upstream_preconnect_ratio) else {
        return Ok(Preconnect::default());
    };
    let ratio = Decimal::new(ratio)
        .ok_or_else(|| at.field("per_upstream_preconnect_ratio").refuse("must lie between 1 and 3"))?;
    Ok(Preconnect::default().with_per_upstream_ratio(ratio))
}

fn thresholds(
    breakers: Option<&proto::CircuitBreakers>,
    converted: &mut Cluster,
    at: &At<'_>,
) -> Result<(), ConfigError> {
    let thresholds = breakers.map_or(&[][..], |breakers| &breakers.thresholds);
    let mut seen: Vec<RoutingPriority> = Vec::new();
    for (index, said) in thresholds.iter().enumerate() {
        let at = at.item("thresholds", index);
        let at = at.field("priority");
        let priority = priority::from_proto(said.priority, &at)?;
        if seen.contains(&priority) {
            return Err(at.refuse("is that of other thresholds of this cluster"));
        }
        seen.push(priority);
        let mut thresholds = Thresholds::default();
        thresholds.max_connections = said.max_connections.unwrap_or(thresholds.max_connections);
        thresholds.max_pending_requests = said.max_pending_requests.unwrap_or(thresholds.max_pending_requests);
        thresholds.max_requests = said.max_requests;
        thresholds.max_retries = said.max_retries;
        thresholds.track_remaining = said.track_remaining;
        converted.limits = converted.limits.with_thresholds(priority, thresholds);
    }
    Ok(())
}
