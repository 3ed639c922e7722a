//! How urgent requests are, which routes and thresholds say.

use aeraki_route::config::{ConfigError, RoutingPriority};

use super::at::At;
use crate::proto::envoy::config::core::v3 as proto;

pub(super) fn from_proto(priority: i32, at: &At<'_>) -> Result<RoutingPriority, ConfigError> {
    match proto::RoutingPriority::try_from(priority) {
        Ok(proto::RoutingPriority::Default) => Ok(RoutingPriority::Default),
        Ok(proto::RoutingPriority::High) => Ok(RoutingPriority::High),
        Err(_) => Err(at.refuse(format!("{priority} is unknown: use DEFAULT or HIGH"))),
    }
}

pub(super) fn to_proto(priority: RoutingPriority) -> i32 {
    match priority {
        RoutingPriority::High => proto::RoutingPriority::High.into(),
        _ => proto::RoutingPriority::Default.into(),
    }
}
