//! `envoy.config.overload.v3.OverloadManager`.

use aeraki_route::config::ConfigError;

use super::at::At;
use super::unpack::unpack;
use crate::proto::envoy::config::overload::v3::{OverloadManager, resource_monitor::ConfigType};
use crate::proto::envoy::extensions::resource_monitors::downstream_connections::v3::DownstreamConnectionsConfig;

/// Converts the bound on the connections of all listeners together; none where no monitor asks for one.
///
/// # Errors
///
/// Names the field and the reason: another monitor, a number that is not above zero.
pub(crate) fn max_connections(manager: &OverloadManager) -> Result<Option<u32>, ConfigError> {
    let at = &At::resource("overload_manager", "");
    let mut most = None;
    for (index, monitor) in manager.resource_monitors.iter().enumerate() {
        let at = &at.named("resource_monitors", index, &monitor.name);
        if monitor.name != MONITOR {
            return Err(at.refuse(format!("is not supported: use {MONITOR}")));
        }
        let at = &at.field("typed_config");
        let config = monitor.config_type.as_ref().map(|ConfigType::TypedConfig(config)| config);
        let config: DownstreamConnectionsConfig = unpack(at.require(config)?, at)?;
        let at = &at.field("max_active_downstream_connections");
        match u32::try_from(config.max_active_downstream_connections) {
            Ok(connections @ 1..) => most = Some(connections),
            _ => return Err(at.refuse(format!("must be from 1 to {}", u32::MAX))),
        }
    }
    Ok(most)
}

const MONITOR: &str = "envoy.resource_monitors.global_downstream_max_connections";
