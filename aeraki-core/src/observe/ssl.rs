//! What is counted of TLS, on either side of the proxy.

use super::{Counter, Scope, Value};

macro_rules! ssl_stats {
    ($($(#[doc = $help:literal])+ $name:ident,)+) => {
        /// Counts handshakes; shown as `….ssl.<field>` beside the other numbers of a listener or cluster.
        ///
        /// Names are Envoy's where Envoy has them.
        #[derive(Debug, Default)]
        #[non_exhaustive]
        pub struct SslStats { $($(#[doc = $help])+ pub $name: Counter,)+ }

        impl SslStats {
            pub(crate) fn collect(&self, scope: &mut Scope<'_>) {
                $(scope.add(
                    concat!("ssl.", stringify!($name)),
                    concat!($($help),+).trim_ascii(),
                    Value::Counter(self.$name.get()),
                );)+
            }
        }
    };
}

ssl_stats! {
    /// Handshakes that succeeded.
    handshake,
    /// Handshakes that failed for another reason than the peer's certificate.
    connection_error,
    /// Handshakes that were not finished in time.
    handshake_timeout,
    /// Handshakes that took up an earlier session.
    session_reused,
    /// Handshakes that succeeded without a certificate of the peer.
    no_certificate,
    /// Handshakes that failed because the peer has no certificate.
    fail_verify_no_cert,
    /// Handshakes that failed because the peer's certificate is not believed.
    fail_verify_error,
    /// Handshakes that failed because the peer's certificate is for another name.
    fail_verify_san,
}
