//! How a handshake ends, and what is counted of it.

use std::io;

use rustls::{CertificateError, CommonState, Error, HandshakeKind};

use crate::observe::SslStats;

/// Counts a handshake that succeeded.
pub(super) fn succeeded(session: &CommonState, stats: &SslStats) {
    stats.handshake.inc();
    if session.handshake_kind() == Some(HandshakeKind::Resumed) {
        stats.session_reused.inc();
    }
    if session.peer_certificates().is_none_or(<[_]>::is_empty) {
        stats.no_certificate.inc();
    }
}

/// Counts a handshake that failed, by what was wrong.
pub(super) fn failed(error: &io::Error, stats: &SslStats) {
    if error.kind() == io::ErrorKind::TimedOut {
        stats.handshake_timeout.inc();
        return;
    }
    let counter = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::NoCertificatesPresented) => &stats.fail_verify_no_cert,
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => &stats.fail_verify_san,
        Some(Error::InvalidCertificate(_)) => &stats.fail_verify_error,
        _ => &stats.connection_error,
    };
    counter.inc();
}
