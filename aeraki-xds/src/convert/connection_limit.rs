//! `envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit`, a filter in front of the one that serves.

use aeraki_route::config::{ConfigError, ConnectionLimit};

use super::at::At;
use super::duration;
use super::unpack::unpack;
use crate::proto::envoy::config::listener::v3::{Filter, filter::ConfigType};
use crate::proto::envoy::extensions::filters::network::connection_limit::v3 as proto;

/// Takes the limit off the front of a chain's filters, if it is there.
pub(super) fn split<'a>(
    filters: &'a [Filter],
    at: &At<'_>,
) -> Result<(Option<ConnectionLimit>, &'a [Filter]), ConfigError> {
    match filters {
        [first, rest @ ..] if first.name == NAME => {
            let at = &at.named("filters", 0, NAME);
            let config = first.config_type.as_ref().map(|ConfigType::TypedConfig(config)| config);
            let at = &at.field("typed_config");
            Ok((from_proto(&unpack(at.require(config)?, at)?, at)?, rest))
        }
        _ => Ok((None, filters)),
    }
}

/// Converts the limit; none where it is turned off.
fn from_proto(limit: &proto::ConnectionLimit, at: &At<'_>) -> Result<Option<ConnectionLimit>, ConfigError> {
    let most = at.field("max_connections").require(limit.max_connections)?;
    let most = u32::try_from(most).map_err(|_| at.field("max_connections").refuse("is more than can be"))?;
    let delay = duration::exact_from_proto(limit.delay.as_ref(), &at.field("delay"))?.unwrap_or_default();
    let enabled = limit.runtime_enabled.as_ref().and_then(|flag| flag.default_value).unwrap_or(true);
    Ok(enabled.then(|| ConnectionLimit::new(&limit.stat_prefix, most).with_delay(delay)))
}

const NAME: &str = "envoy.filters.network.connection_limit";
