//! Certificates of a test: made when it runs, never kept.

use std::ops::Range;

use aeraki_route::config::{CertificateValidationContext, DataSource, TlsCertificate};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType, date_time_ymd};

/// An authority that issues certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key in PEM.
#[derive(Clone)]
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Believes this authority.
    pub(super) fn trusted(&self) -> CertificateValidationContext {
        CertificateValidationContext::new(DataSource::InlineString(self.pem.clone()))
    }

    /// Issues a certificate for names: URIs hold `://`, IP addresses are digits, the rest are host names.
    pub(super) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_until(names, 2090)
    }

    /// Issues a certificate that expires with the beginning of a year.
    pub(super) fn issue_until(&self, names: &[&str], year: i32) -> Issued {
        self.issue_for(names, 2020..year)
    }

    /// Issues a certificate that is valid in these years.
    pub(super) fn issue_for(&self, names: &[&str], years: Range<i32>) -> Issued {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|name| san(name)).collect();
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued { chain: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Issued {
    pub(super) fn inline(&self) -> TlsCertificate {
        let [chain, key] = [&self.chain, &self.key].map(|text| DataSource::InlineString(text.clone()));
        TlsCertificate::new(chain, key)
    }
}

fn san(name: &str) -> SanType {
    match name.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) if name.contains("://") => SanType::URI(name.try_into().expect("ASCII")),
        Err(_) => SanType::DnsName(name.try_into().expect("ASCII")),
    }
}
