//! TLS with servers.

use serde::{Deserialize, Serialize};

use super::{CertificateValidationContext, CommonTlsContext, TlsCertificate, TlsVersion};
use crate::config::error::{Checked, ensure};

/// How a cluster speaks TLS; `UpstreamTlsContext`.
///
/// Unlike in Envoy a server is always verified: without `validation_context` the context is refused, and without
/// matchers of names the certificate must be for `sni`, or else for the endpoint's IP address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct UpstreamTlsContext {
    /// The certificate that the servers are shown, and whom the cluster believes.
    #[serde(default)]
    pub common: CommonTlsContext,
    /// The host name that the servers are told (RFC 6066 §3); none: they are told none.
    #[serde(default)]
    pub sni: Option<String>,
}

impl UpstreamTlsContext {
    /// Creates a context that verifies servers.
    pub fn new(validation: CertificateValidationContext) -> Self {
        let common = CommonTlsContext { validation_context: Some(validation), ..CommonTlsContext::default() };
        Self { common, sni: None }
    }

    /// Sets the certificate that the servers are shown.
    #[must_use]
    pub fn with_certificate(mut self, certificate: TlsCertificate) -> Self {
        self.common.tls_certificate = Some(certificate);
        self
    }

    /// Sets the host name that the servers are told.
    #[must_use]
    pub fn with_sni(mut self, sni: impl Into<String>) -> Self {
        self.sni = Some(sni.into());
        self
    }

    /// Adds an application protocol that is offered.
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

    /// Tells whether it says which name a server's certificate must bear; else that is the address of the endpoint.
    pub(in crate::config) fn names_server(&self) -> bool {
        let matched = |it: &CertificateValidationContext| !it.match_typed_subject_alt_names.is_empty();
        self.sni.is_some() || self.common.validation_context.as_ref().is_some_and(matched)
    }

    pub(in crate::config) fn check(&self) -> Checked {
        let reason = "is required: without it any server would be believed";
        ensure(self.common.validation_context.is_some(), "common.validationContext", reason)?;
        self.common.check().map_err(|error| error.within("common"))?;
        let is_host = |name: &String| is_host_name(name);
        ensure(self.sni.as_ref().is_none_or(is_host), "sni", "is not a host name")
    }
}

/// Tells whether a text is a host name as SNI has it: labels of letters, digits, `-` and `_`, and no IP address.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(is_label) && text.parse::<std::net::IpAddr>().is_err()
}
