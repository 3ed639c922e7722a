//! How the addresses of a cluster's endpoints are found.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{
    duration,
    error::{Checked, ensure},
};

/// How the addresses of a cluster's endpoints are found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Discovery {
    /// They are IP addresses in the configuration.
    #[default]
    Static,
    /// Host names are resolved again and again; every address of an answer is an endpoint.
    StrictDns(Dns),
    /// The one host name is resolved again and again; new connections go to the first address of the latest answer.
    LogicalDns(Dns),
    /// There are none: a request goes where its client meant its connection to go before it was intercepted.
    OriginalDst(OriginalDst),
}

impl Discovery {
    pub(super) fn check(&self) -> Checked {
        match self {
            Self::Static => Ok(()),
            Self::StrictDns(dns) | Self::LogicalDns(dns) => duration::check(dns.refresh, "refresh"),
            Self::OriginalDst(original) => original.check(),
        }
    }
}

/// When a name is resolved again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Dns {
    /// The interval; default 5 s, not zero.
    #[serde(with = "duration")]
    pub refresh: Duration,
    /// Waits as long as the answer's time to live says, where it is known, instead of `refresh`; default: no.
    #[serde(default)]
    pub respect_ttl: bool,
}

impl Dns {
    /// Creates a policy that resolves a name again after `refresh`.
    pub fn every(refresh: Duration) -> Self {
        Self { refresh, respect_ttl: false }
    }

    /// Sets whether the time to live of an answer counts.
    #[must_use]
    pub fn with_respect_ttl(mut self, respect_ttl: bool) -> Self {
        self.respect_ttl = respect_ttl;
        self
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self::every(Duration::from_secs(5))
    }
}

/// What becomes of an address that clients meant; `envoy.config.cluster.v3.Cluster.OriginalDstLbConfig`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct OriginalDst {
    /// An address that no request has asked for so long is forgotten, and its connections end; default 5 s, not zero.
    #[serde(with = "duration")]
    pub cleanup_interval: Duration,
    /// The port that is connected to instead of the one that the client meant; none: that one. Not zero.
    pub port_override: Option<u16>,
}

impl OriginalDst {
    /// Sets after what time an address is forgotten.
    #[must_use]
    pub fn with_cleanup_interval(mut self, interval: Duration) -> Self {
        self.cleanup_interval = interval;
        self
    }

    /// Sets the port that is connected to.
    #[must_use]
    pub fn with_port_override(mut self, port: u16) -> Self {
        self.port_override = Some(port);
        self
    }

    fn check(&self) -> Checked {
        duration::check(self.cleanup_interval, "cleanupInterval")?;
        ensure(
            self.port_override != Some(0),
            "portOverride",
            "must not be zero; leave it out for the port that was meant",
        )
    }
}

impl Default for OriginalDst {
    fn default() -> Self {
        Self { cleanup_interval: Duration::from_secs(5), port_override: None }
    }
}
