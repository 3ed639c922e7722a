//! The PROXY protocol: what a load balancer in front says of the client.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{duration, error::Checked};

/// How a listener takes the header of the PROXY protocol, versions 1 and 2;
/// `envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol`.
///
/// Who may connect can claim any address: use it only where nobody but a load balancer can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ProxyProtocol {
    /// Whether connections without a header are served too, by the addresses of the connection; default: no.
    pub allow_requests_without_proxy_protocol: bool,
    /// How long the header may take; default 15 s, not zero.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

impl ProxyProtocol {
    /// Sets whether connections without a header are served too.
    #[must_use]
    pub fn with_optional_header(mut self, optional: bool) -> Self {
        self.allow_requests_without_proxy_protocol = optional;
        self
    }

    /// Sets how long the header may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(super) fn check(&self) -> Checked {
        duration::check(self.timeout, "timeout")
    }
}

/// A version of the PROXY protocol; `envoy.config.core.v3.ProxyProtocolConfig.Version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ProxyProtocolVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl Default for ProxyProtocol {
    fn default() -> Self {
        Self { allow_requests_without_proxy_protocol: false, timeout: Duration::from_secs(15) }
    }
}
