//! `envoy.config.route.v3.RouteAction.HashPolicy`: by header or by the client's address.

use aeraki_route::config::{ConfigError, HashPolicy, HashSource};

use crate::convert::at::At;
use crate::proto::envoy::config::route::v3::route_action as proto;
use proto::hash_policy::{ConnectionProperties, Header, PolicySpecifier};

/// Converts a part of the hash; none where it is by something that only HTTP has.
pub(super) fn from_proto(policy: &proto::HashPolicy) -> Option<HashPolicy> {
    let converted = match policy.policy_specifier.as_ref()? {
        PolicySpecifier::Header(header) => HashPolicy::attribute(&header.header_name),
        PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true }) => HashPolicy::source_ip(),
        PolicySpecifier::ConnectionProperties(_) => return None,
    };
    Some(converted.with_terminal(policy.terminal))
}

pub(super) fn to_proto(policy: &HashPolicy, at: &At<'_>) -> Result<proto::HashPolicy, ConfigError> {
    let specifier = match &policy.source {
        HashSource::Attribute(key) => PolicySpecifier::Header(Header { header_name: key.clone() }),
        HashSource::SourceIp => PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true }),
        _ => return Err(at.field("source").refuse("has no form in protobuf")),
    };
    Ok(proto::HashPolicy { policy_specifier: Some(specifier), terminal: policy.terminal })
}
