//! TLS with clients.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CertificateValidationContext, CommonTlsContext, TlsCertificate, TlsVersion};
use crate::config::{
    duration,
    error::{Checked, ensure},
};

/// How a filter chain speaks TLS; `DownstreamTlsContext`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct DownstreamTlsContext {
    /// The certificate that it shows, and whom it believes.
    #[serde(default)]
    pub common: CommonTlsContext,
    /// Whether a client without a certificate is refused; default: no. One that is shown is verified in any case.
    #[serde(default)]
    pub require_client_certificate: bool,
    /// How long the handshake may take; default 15 s, not zero.
    #[serde(default = "default_handshake_timeout", with = "duration")]
    pub handshake_timeout: Duration,
}

impl DownstreamTlsContext {
    /// Creates a context that shows `certificate` and asks clients for none.
    pub fn new(certificate: TlsCertificate) -> Self {
        Self {
            common: CommonTlsContext { tls_certificate: Some(certificate), ..CommonTlsContext::default() },
            require_client_certificate: false,
            handshake_timeout: default_handshake_timeout(),
        }
    }

    /// Asks clients for a certificate and verifies it.
    #[must_use]
    pub fn with_validation(mut self, validation: CertificateValidationContext) -> Self {
        self.common.validation_context = Some(validation);
        self
    }

    /// Sets whether a client without a certificate is refused.
    #[must_use]
    pub fn with_required_client_certificate(mut self, required: bool) -> Self {
        self.require_client_certificate = required;
        self
    }

    /// Adds an application protocol that is accepted.
    #[must_use]
    pub fn with_alpn_protocol(mut self, protocol: impl Into<String>) -> Self {
        self.common.alpn_protocols.push(protocol.into());
        self
    }

    /// Sets the lowest version that is spoken.
    #[must_use]
    pub fn with_min_version(mut self, version: TlsVersion) -> Self {
        self.common.min_version = version;
        self
    }

    /// Sets how long the handshake may take.
    #[must_use]
    pub fn with_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    pub(in crate::config) fn check(&self) -> Checked {
        ensure(self.common.tls_certificate.is_some(), "common.tlsCertificate", "is required")?;
        let verifies = self.common.validation_context.is_some();
        let reason = "is required to require a certificate of clients";
        ensure(verifies || !self.require_client_certificate, "common.validationContext", reason)?;
        self.common.check().map_err(|error| error.within("common"))?;
        duration::check(self.handshake_timeout, "handshakeTimeout")
    }
}

fn default_handshake_timeout() -> Duration {
    Duration::from_secs(15)
}
