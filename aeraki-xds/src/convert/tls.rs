//! Transport sockets: what asks for encryption must not end up in plain text.

use aeraki_route::config::ConfigError;

use super::at::At;
use crate::proto::envoy::config::core::v3::TransportSocket;

/// Refuses every transport socket but the one that is plain TCP anyway.
pub(super) fn refuse_tls(socket: Option<&TransportSocket>, at: &At<'_>) -> Result<(), ConfigError> {
    match socket {
        Some(socket) if socket.name != "envoy.transport_sockets.raw_buffer" => {
            Err(at.field("transport_socket").refuse(format!("{:?} is not supported: only plain TCP is", socket.name)))
        }
        _ => Ok(()),
    }
}
