//! What a route says about the choice of an endpoint.

use serde::{Deserialize, Serialize};

use super::error::{Checked, ensure};

/// How urgent requests are: those of either priority have connections and thresholds of their own;
/// `envoy.config.core.v3.RoutingPriority`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum RoutingPriority {
    /// Like most.
    #[default]
    Default,
    /// More urgent: not held up where the others use up what they may.
    High,
}

impl RoutingPriority {
    /// All priorities.
    pub const ALL: [Self; 2] = [Self::Default, Self::High];
}

/// One part of the hash by which endpoints are chosen; `envoy.config.route.v3.RouteAction.HashPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct HashPolicy {
    /// What is hashed.
    pub source: HashSource,
    /// Whether the parts behind it do not count once there is a hash; default: no.
    #[serde(default)]
    pub terminal: bool,
}

impl HashPolicy {
    /// Creates a part that is the hash of an attribute, where a message has it.
    pub fn attribute(key: impl Into<String>) -> Self {
        Self { source: HashSource::Attribute(key.into()), terminal: false }
    }

    /// Creates a part that is the hash of the client's IP address.
    pub fn source_ip() -> Self {
        Self { source: HashSource::SourceIp, terminal: false }
    }

    /// Sets whether the parts behind it do not count once there is a hash.
    #[must_use]
    pub fn with_terminal(mut self, terminal: bool) -> Self {
        self.terminal = terminal;
        self
    }

    pub(super) fn check(&self) -> Checked {
        match &self.source {
            HashSource::Attribute(key) => ensure(!key.is_empty(), "source.attribute", "must not be empty"),
            HashSource::SourceIp => Ok(()),
        }
    }
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum HashSource {
    /// The value of the attribute of this name.
    Attribute(String),
    /// The IP address of the client, as far as the connection tells.
    SourceIp,
}
