//! Transport sockets: what asks for encryption must not end up in plain text, nor unverified.
//!
//! A field that would make TLS stricter, or that says where certificates come from, is refused where it is not
//! supported. Those that only tune are passed over, with a warning where a bootstrap has them: `key_log`,
//! `watched_directory`, `full_scan_certs_on_sni_mismatch`, `prefer_client_ciphers`, `suppress_client_ca_list`.

mod common;

use aeraki_route::config::{ConfigError, DownstreamTlsContext, UpstreamTlsContext};
use prost::{Message, Name};

use super::at::At;
use super::unpack::unpack;
use crate::proto::envoy::config::core::v3::{TransportSocket, transport_socket::ConfigType};
use crate::proto::envoy::extensions::transport_sockets::tls::v3 as proto;
use proto::downstream_tls_context::SessionTicketKeysType;

/// Converts the transport socket of a filter chain; none for plain TCP.
pub(super) fn downstream(
    socket: Option<&TransportSocket>,
    at: &At<'_>,
) -> Result<Option<DownstreamTlsContext>, ConfigError> {
    let at = &at.field("transport_socket");
    let Some(context) = context::<proto::DownstreamTlsContext>(socket, at)? else { return Ok(None) };
    let at = &at.field("typed_config");
    refuse_unsupported_downstream(&context, at)?;
    let common = common::from_proto(context.common_tls_context.as_ref(), &at.field("common_tls_context"))?;
    let certificate = common.tls_certificate.clone();
    let certificate = at.field("common_tls_context").field("tls_certificates").require(certificate)?;
    let mut converted = DownstreamTlsContext::new(certificate)
        .with_required_client_certificate(context.require_client_certificate.unwrap_or_default());
    converted.common = common;
    Ok(Some(converted))
}

/// Converts the transport socket of a cluster; none for plain TCP.
pub(super) fn upstream(
    socket: Option<&TransportSocket>,
    at: &At<'_>,
) -> Result<Option<UpstreamTlsContext>, ConfigError> {
    let at = &at.field("transport_socket");
    let Some(context) = context::<proto::UpstreamTlsContext>(socket, at)? else { return Ok(None) };
    let at = &at.field("typed_config");
    refuse_unsupported_upstream(&context, at)?;
    let at = &at.field("common_tls_context");
    let common = common::from_proto(context.common_tls_context.as_ref(), at)?;
    let validation = at.field("validation_context").require(common.validation_context.clone())?;
    let mut converted = UpstreamTlsContext::new(validation);
    converted.common = common;
    converted.sni = Some(context.sni).filter(|sni| !sni.is_empty());
    Ok(Some(converted))
}

fn context<M>(socket: Option<&TransportSocket>, at: &At<'_>) -> Result<Option<M>, ConfigError>
where
    M: Message + Name + Default,
{
    let Some(socket) = socket else { return Ok(None) };
    match socket.name.as_str() {
        RAW_BUFFER => Ok(None),
        TLS => {
            let config = socket.config_type.as_ref().map(|ConfigType::TypedConfig(config)| config);
            unpack(at.field("typed_config").require(config)?, &at.field("typed_config")).map(Some)
        }
        name => Err(at.refuse(format!("{name:?} is not supported: use {TLS} or {RAW_BUFFER}"))),
    }
}

fn refuse_unsupported_downstream(context: &proto::DownstreamTlsContext, at: &At<'_>) -> Result<(), ConfigError> {
    let proto::DownstreamTlsContext {
        common_tls_context: _,
        require_client_certificate: _,
        require_sni,
        disable_stateful_session_resumption,
        session_timeout,
        ocsp_staple_policy,
        full_scan_certs_on_sni_mismatch: _,
        prefer_client_ciphers: _,
        session_ticket_keys_type,
    } = context;
    let keys = match session_ticket_keys_type {
        // there are no stateless tickets anyway
        None | Some(SessionTicketKeysType::DisableStatelessSessionResumption(_)) => None,
        Some(SessionTicketKeysType::SessionTicketKeys(_)) => Some("session_ticket_keys"),
        Some(SessionTicketKeysType::SessionTicketKeysSdsSecretConfig(_)) => {
            Some("session_ticket_keys_sds_secret_config")
        }
    };
    at.refuse_used(&[
        ("require_sni", require_sni.unwrap_or_default()),
        ("disable_stateful_session_resumption", *disable_stateful_session_resumption),
        ("session_timeout", session_timeout.is_some()),
        ("ocsp_staple_policy", *ocsp_staple_policy != 0),
        (keys.unwrap_or_default(), keys.is_some()),
    ])
}

fn refuse_unsupported_upstream(context: &proto::UpstreamTlsContext, at: &At<'_>) -> Result<(), ConfigError> {
    let proto::UpstreamTlsContext {
        common_tls_context: _,
        sni: _,
        auto_host_sni,
        auto_sni_san_validation,
        allow_renegotiation,
        max_session_keys,
        enforce_rsa_key_usage,
    } = context;
    at.refuse_used(&[
        ("auto_host_sni", *auto_host_sni),
        ("auto_sni_san_validation", *auto_sni_san_validation),
        ("allow_renegotiation", *allow_renegotiation),
        ("max_session_keys", max_session_keys.is_some()),
        // what the extension says that a key is for is not looked at
        ("enforce_rsa_key_usage", enforce_rsa_key_usage.unwrap_or_default()),
    ])
}

const TLS: &str = "envoy.transport_sockets.tls";
const RAW_BUFFER: &str = "envoy.transport_sockets.raw_buffer";
