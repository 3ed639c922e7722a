//! `google.protobuf.Duration`.

use std::time::Duration;

use aeraki_route::config::ConfigError;

use super::at::At;

/// Reads a duration; a zero stays one.
pub(super) fn exact_from_proto(
    duration: Option<&prost_types::Duration>,
    at: &At<'_>,
) -> Result<Option<Duration>, ConfigError> {
    duration.map(|duration| Duration::try_from(*duration).map_err(|_| at.refuse("must not be negative"))).transpose()
}

/// Reads a duration where zero means none.
pub(super) fn positive_from_proto(
    duration: Option<&prost_types::Duration>,
    at: &At<'_>,
) -> Result<Option<Duration>, ConfigError> {
    Ok(exact_from_proto(duration, at)?.filter(|duration| !duration.is_zero()))
}

pub(super) fn to_proto(duration: Duration, at: &At<'_>) -> Result<prost_types::Duration, ConfigError> {
    duration.try_into().map_err(|_| at.refuse("is too long"))
}
