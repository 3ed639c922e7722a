//! TLS: with which certificate a side shows who it is, and whom it believes; the parts of
//! `envoy.extensions.transport_sockets.tls.v3` that mean something here.

mod certificate;
mod downstream;
mod upstream;

use serde::{Deserialize, Serialize};

pub use self::{
    certificate::{CertificateValidationContext, DataSource, SanKind, SanMatcher, SanValue, TlsCertificate},
    downstream::DownstreamTlsContext,
    upstream::UpstreamTlsContext,
};
use super::error::{Checked, ensure};

/// What both directions have in common; `CommonTlsContext`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CommonTlsContext {
    /// The certificate that this side shows; none: a client shows none, and a server cannot do without.
    pub tls_certificate: Option<TlsCertificate>,
    /// Whom this side believes; none: a server asks its clients for no certificate, and a client cannot do without.
    pub validation_context: Option<CertificateValidationContext>,
    /// The application protocols that are offered or accepted, the best first; none: the extension is not used. Where
    /// there are some, a client that offers only others is refused (RFC 7301 §3.2).
    pub alpn_protocols: Vec<String>,
    /// The lowest version that is spoken; default: TLS 1.2.
    pub min_version: TlsVersion,
}

impl CommonTlsContext {
    fn check(&self) -> Checked {
        if let Some(certificate) = &self.tls_certificate {
            certificate.check().map_err(|error| error.within("tlsCertificate"))?;
        }
        if let Some(validation) = &self.validation_context {
            validation.check().map_err(|error| error.within("validationContext"))?;
        }
        for (index, protocol) in self.alpn_protocols.iter().enumerate() {
            let fits = (1..=255).contains(&protocol.len());
            ensure(fits, format_args!("alpnProtocols[{index}]"), "must have 1 to 255 bytes")?;
        }
        Ok(())
    }
}

/// A version of the protocol; `TlsParameters.TlsProtocol`, of which the older ones are not spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    #[serde(rename = "TLSv1_2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "TLSv1_3")]
    Tls13,
}
