//! TLS with clients and servers, by rustls.
//!
//! ```text
//! config::DownstreamTlsContext ┐                 ┌ Secured: a Serve around another one, with the client's identity
//!                              ├─ Secrets: files ┤
//! config::UpstreamTlsContext   ┘  read, watched  └ TlsConnector: a Connector around another one
//! ```
//!
//! [`Secrets`] turns each configuration into what rustls takes, once for all workers, and makes it anew when a file has
//! changed; handshakes take what is there when they begin. The identity of a client is the SPIFFE ID in its verified
//! certificate.

mod certificate;
mod client;
mod clock;
mod context;
mod handshake;
mod secrets;
mod server;
#[cfg(test)]
mod tests;
mod verify;

use aeraki_route::config::{ConfigError, DataSource};

use self::context::User;
pub use self::{secrets::Secrets, server::Secured};

/// Why a certificate, key or authority cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct TlsError {
    /// Path of the field inside the TLS context.
    field: &'static str,
    reason: String,
    /// When the fault is over by itself, in seconds since 1970: a certificate becomes valid then.
    until: Option<i64>,
}

impl TlsError {
    fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into(), until: None }
    }

    /// Names the file whose content is at fault.
    fn read_from(mut self, source: &DataSource) -> Self {
        if let DataSource::Filename(path) = source {
            self.reason = format!("{}: {}", path.display(), self.reason);
        }
        self
    }

    /// Completes the error with the place of the TLS context.
    fn at(&self, User { object, path }: &User) -> ConfigError {
        let error = self.of(object);
        if path.is_empty() { error } else { error.within(object, path) }
    }

    /// Completes the error with the object whose field `tls` is at fault, such as `cluster "a"`.
    #[must_use]
    pub fn of(&self, object: impl Into<String>) -> ConfigError {
        ConfigError::new(object, format!("tls.{}", self.field), self.reason.as_str())
    }
}
