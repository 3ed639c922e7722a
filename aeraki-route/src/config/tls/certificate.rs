//! Certificates: one's own, and what those of others must be.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::config::error::{Checked, ensure};

/// A certificate and its key, both in PEM; `TlsCertificate`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsCertificate {
    /// The certificate, followed by those between it and an authority that the peer trusts.
    pub certificate_chain: DataSource,
    /// The certificate's private key (PKCS #8, PKCS #1 or SEC 1), not encrypted.
    pub private_key: DataSource,
}

impl TlsCertificate {
    /// Creates a certificate from where its parts are.
    pub fn new(certificate_chain: impl Into<DataSource>, private_key: impl Into<DataSource>) -> Self {
        Self { certificate_chain: certificate_chain.into(), private_key: private_key.into() }
    }

    pub(super) fn check(&self) -> Checked {
        self.certificate_chain.check("certificateChain")?;
        self.private_key.check("privateKey")
    }
}

/// Where a text is; `envoy.config.core.v3.DataSource`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum DataSource {
    /// In a file, which is looked at again and again.
    Filename(PathBuf),
    /// In the configuration itself.
    InlineString(String),
}

impl DataSource {
    fn check(&self, field: &str) -> Checked {
        match self {
            Self::Filename(path) => ensure(!path.as_os_str().is_empty(), field, "the file name must not be empty"),
            Self::InlineString(text) => ensure(!text.is_empty(), field, "must not be empty"),
        }
    }
}

impl fmt::Debug for DataSource {
    /// Keeps what may be a private key out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filename(path) => f.debug_tuple("Filename").field(path).finish(),
            Self::InlineString(_) => f.debug_tuple("InlineString").finish_non_exhaustive(),
        }
    }
}

impl From<PathBuf> for DataSource {
    fn from(path: PathBuf) -> Self {
        Self::Filename(path)
    }
}

impl From<&Path> for DataSource {
    fn from(path: &Path) -> Self {
        Self::Filename(path.to_owned())
    }
}

/// What the certificate of a peer must be; `CertificateValidationContext`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct CertificateValidationContext {
    /// The authorities that are believed, as certificates in PEM; a peer's certificate must lead to one of them.
    pub trusted_ca: DataSource,
    /// The certificate must bear a name that one of these matches; none: a client compares the name that it asked for,
    /// a server does not look at names.
    #[serde(default)]
    pub match_typed_subject_alt_names: Vec<SanMatcher>,
}

impl CertificateValidationContext {
    /// Creates a context that believes the authorities in `trusted_ca`.
    pub fn new(trusted_ca: impl Into<DataSource>) -> Self {
        Self { trusted_ca: trusted_ca.into(), match_typed_subject_alt_names: Vec::new() }
    }

    /// Adds a matcher of which one must match.
    #[must_use]
    pub fn with_san(mut self, matcher: SanMatcher) -> Self {
        self.match_typed_subject_alt_names.push(matcher);
        self
    }

    pub(super) fn check(&self) -> Checked {
        self.trusted_ca.check("trustedCa")?;
        for (index, matcher) in self.match_typed_subject_alt_names.iter().enumerate() {
            let field = format_args!("matchTypedSubjectAltNames[{index}]");
            ensure(!matcher.matcher.text().is_empty(), field, "must not be empty")?;
        }
        Ok(())
    }
}

/// Matches a subject alternative name of a certificate (RFC 5280 §4.2.1.6); `SubjectAltNameMatcher`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct SanMatcher {
    /// The kind of name.
    pub san_type: SanKind,
    /// What the name must be.
    pub matcher: SanValue,
}

impl SanMatcher {
    /// Creates a matcher.
    pub const fn new(san_type: SanKind, matcher: SanValue) -> Self {
        Self { san_type, matcher }
    }

    /// Tells whether a name of the matcher's kind is one that it is meant for. Host names are compared without regard
    /// to case, and an exact one is matched by a wildcard in the certificate too, as `*.shop.example` matches
    /// `a.shop.example` (RFC 6125 §6.4.3).
    pub fn matches(&self, name: &str) -> bool {
        match self.san_type {
            SanKind::Dns => self.matches_host(&name.to_ascii_lowercase()),
            SanKind::Uri => self.matcher.matches(name),
        }
    }

    fn matches_host(&self, name: &str) -> bool {
        match &self.matcher {
            SanValue::Exact(host) => {
                let host = host.to_ascii_lowercase();
                let covered = || Some(host.split_once('.')?.1 == name.strip_prefix("*.")?);
                host == name || covered() == Some(true)
            }
            SanValue::Prefix(start) => name.starts_with(&start.to_ascii_lowercase()),
            SanValue::Suffix(end) => name.ends_with(&end.to_ascii_lowercase()),
        }
    }
}

/// A kind of subject alternative name; `SubjectAltNameMatcher.SanType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum SanKind {
    /// A host name.
    Dns,
    /// A URI, such as the SPIFFE identity `spiffe://cluster.local/ns/shop/sa/web`.
    Uri,
}

/// What a name must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum SanValue {
    /// This text.
    Exact(String),
    /// A text that starts with this one.
    Prefix(String),
    /// A text that ends with this one.
    Suffix(String),
}

impl SanValue {
    fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) => text,
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(text) => name == text,
            Self::Prefix(start) => name.starts_with(start),
            Self::Suffix(end) => name.ends_with(end),
        }
    }
}
