//! How the addresses of a cluster's endpoints are found.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{duration, error::Checked};

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
}

impl Discovery {
    pub(super) fn check(&self) -> Checked {
        match self {
            Self::Static => Ok(()),
            Self::StrictDns(dns) | Self::LogicalDns(dns) => duration::check(dns.refresh, "refresh"),
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
