//! Certificates as they are read: from PEM, and what is in them.

use std::sync::Arc;

use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
    time::ASN1Time,
};

use super::TlsError;

/// Reads the certificates of one text, of which there must be one at least.
pub(super) fn certificates(pem: &[u8], field: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => Err(TlsError::new(field, "holds no certificate in PEM")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(TlsError::new(field, format!("is not PEM: {error}"))),
    }
}

/// Reads a private key and makes a pair of it and the chain, if they belong together.
pub(super) fn pair(
    chain: Vec<CertificateDer<'static>>,
    key: &[u8],
    field: &'static str,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| TlsError::new(field, format!("holds no private key in PEM: {error}")))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::new(field, "does not belong to the certificate"),
        error => TlsError::new(field, format!("cannot be used: {error}")),
    })
}

/// Makes a store of authorities.
pub(super) fn roots(authorities: &[CertificateDer<'static>], field: &'static str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (index, authority) in authorities.iter().enumerate() {
        roots
            .add(authority.clone())
            .map_err(|error| TlsError::new(field, format!("certificate {index} cannot be used: {error}")))?;
    }
    Ok(roots)
}

/// Refuses a certificate that is not valid at `now`, in seconds since 1970: no peer would believe it.
pub(super) fn check_validity(certificate: &CertificateDer<'_>, now: i64, field: &'static str) -> Result<(), TlsError> {
    let Some(validity) = parse(certificate).map(|certificate| certificate.validity().clone()) else {
        return Err(TlsError::new(field, "cannot be read"));
    };
    if now > validity.not_after.timestamp() {
        return Err(TlsError::new(field, format!("has expired on {}", date(validity.not_after))));
    }
    if now < validity.not_before.timestamp() {
        let error = TlsError::new(field, format!("is not valid before {}", date(validity.not_before)));
        return Err(TlsError { until: Some(validity.not_before.timestamp()), ..error });
    }
    Ok(())
}

fn date(time: ASN1Time) -> String {
    let time = time.to_datetime();
    let (hour, minute, second) = time.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02} UTC", time.date())
}

/// Returns when a certificate expires, in seconds since 1970; none where it cannot be read.
pub(super) fn expiry(certificate: &CertificateDer<'_>) -> Option<i64> {
    Some(parse(certificate)?.validity().not_after.timestamp())
}

/// The subject alternative names of a certificate (RFC 5280 §4.2.1.6), those of other kinds left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) hosts: Vec<String>,
    pub(super) uris: Vec<String>,
}

impl Names {
    /// Reads the names; a certificate that cannot be read has none.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        let mut names = Self::default();
        let parsed = parse(certificate);
        let extension = parsed.as_ref().and_then(|parsed| parsed.subject_alternative_name().ok().flatten());
        for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(host) => names.hosts.push((*host).to_owned()),
                GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
                _ => {}
            }
        }
        names
    }

    /// Returns the SPIFFE ID without `spiffe://`. A certificate with more than one URI has none: it would not be known
    /// whose it is (X.509-SVID §2).
    pub(super) fn principal(&self) -> Option<Arc<str>> {
        let [uri] = self.uris.as_slice() else { return None };
        let id = uri.strip_prefix("spiffe://").filter(|id| is_spiffe_id(id))?;
        Some(id.into())
    }
}

/// Tells whether a text is trust domain and path as SPIFFE-ID §2 has them: what comes out is safe to compare as text.
fn is_spiffe_id(id: &str) -> bool {
    let mut segments = id.split('/');
    let domain = segments.next().unwrap_or_default();
    let is_domain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_path);
    id.len() <= 2048 && !domain.is_empty() && domain.bytes().all(is_domain) && segments.all(is_segment)
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(certificate).ok().map(|(_, certificate)| certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(uris: &[&str]) -> Option<Arc<str>> {
        Names { hosts: Vec::new(), uris: uris.iter().map(|uri| (*uri).to_owned()).collect() }.principal()
    }

    #[test]
    fn a_spiffe_id_is_the_only_uri_and_safe_to_compare() {
        let web = "spiffe://cluster.local/ns/shop/sa/web";
        assert_eq!(principal(&[web]).as_deref(), Some("cluster.local/ns/shop/sa/web"));
        assert_eq!(principal(&["spiffe://cluster.local"]).as_deref(), Some("cluster.local"));
        for none in [
            &[][..],
            &[web, "spiffe://cluster.local/ns/shop/sa/other"],
            &[web, "https://shop.example"],
            &["https://cluster.local/ns/shop/sa/web"],
            &["spiffe://"],
            &["spiffe:///ns/shop"],
            &["spiffe://Cluster.local/ns"],
            &["spiffe://cluster.local/"],
            &["spiffe://cluster.local/ns//sa"],
            &["spiffe://cluster.local/ns/../sa"],
            &["spiffe://cluster.local/ns/%2e"],
            &["spiffe://user@cluster.local/ns"],
            &["spiffe://cluster.local:80/ns"],
            &["spiffe://cluster.local/ns?x"],
            &["spiffe://cluster.local/n\u{e9}"],
        ] {
            assert_eq!(principal(none), None, "{none:?}");
        }
    }

    #[test]
    fn nonsense_has_no_names() {
        for bytes in [&b""[..], b"\x30\x80", &[0x30; 300]] {
            assert_eq!(Names::of(&CertificateDer::from(bytes)), Names::default());
        }
    }
}
