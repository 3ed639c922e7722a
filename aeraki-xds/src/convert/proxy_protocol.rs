//! The PROXY protocol: a filter of listeners, and a transport socket of clusters around another one.

use aeraki_route::config::{ConfigError, ProxyProtocol, ProxyProtocolVersion};

use super::at::At;
use super::unpack::unpack;
use crate::Any;
use crate::proto::envoy::config::core::v3::proxy_protocol_config::Version;
use crate::proto::envoy::config::core::v3::{ProxyProtocolConfig, TransportSocket, transport_socket::ConfigType};
use crate::proto::envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol as ProxyProtocolFilter;
use crate::proto::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;

/// Converts the configuration of the listener filter.
pub(super) fn downstream(config: &Any, at: &At<'_>) -> Result<ProxyProtocol, ConfigError> {
    let config: ProxyProtocolFilter = unpack(config, at)?;
    at.refuse_used(&[("disallowed_versions", !config.disallowed_versions.is_empty())])?;
    Ok(ProxyProtocol::default().with_optional_header(config.allow_requests_without_proxy_protocol))
}

/// Converts the transport socket that tells servers who the client is, and returns the one inside; none for any other.
pub(super) fn upstream(
    socket: Option<&TransportSocket>,
    at: &At<'_>,
) -> Result<Option<(ProxyProtocolVersion, TransportSocket)>, ConfigError> {
    let Some(socket) = socket.filter(|socket| socket.name == TRANSPORT_SOCKET) else { return Ok(None) };
    let at = &at.field("transport_socket.typed_config");
    let config = socket.config_type.as_ref().map(|ConfigType::TypedConfig(config)| config);
    let ProxyProtocolUpstreamTransport { config, transport_socket, allow_unspecified_address, tlv_as_pool_key } =
        unpack(at.require(config)?, at)?;
    let ProxyProtocolConfig { version, pass_through_tlvs, added_tlvs } = config.unwrap_or_default();
    let unsupported = [
        ("allow_unspecified_address", allow_unspecified_address),
        ("tlv_as_pool_key", tlv_as_pool_key),
        ("config.pass_through_tlvs", pass_through_tlvs.is_some()),
        ("config.added_tlvs", !added_tlvs.is_empty()),
    ];
    at.refuse_used(&unsupported)?;
    let version = match Version::try_from(version) {
        Ok(Version::V1) => ProxyProtocolVersion::V1,
        Ok(Version::V2) => ProxyProtocolVersion::V2,
        Err(_) => return Err(at.field("config.version").refuse(format!("{version} is not a version"))),
    };
    Ok(Some((version, at.field("transport_socket").require(transport_socket)?)))
}

const TRANSPORT_SOCKET: &str = "envoy.transport_sockets.upstream_proxy_protocol";
