//! The subsets of a service, and what holds for requests to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::traffic_policy::TrafficPolicy;
use crate::object::{Object, Resource};

/// Divides a service into subsets and says how requests are spread.
pub type DestinationRule = Object<DestinationRuleSpec>;

/// Says which subsets a host has and how requests to it are spread.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DestinationRuleSpec {
    /// The service: a full name, or a short one of the rule's own namespace.
    pub host: String,
    /// How requests are spread, unless a subset says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_policy: Option<Box<TrafficPolicy>>,
    /// The subsets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subsets: Vec<Subset>,
}

impl Resource for DestinationRuleSpec {
    const GROUP: &'static str = "networking.istio.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "DestinationRule";
}

/// Chooses some endpoints of a service by label.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Subset {
    /// The subset's name.
    pub name: String,
    /// The labels that an endpoint must have.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How requests are spread, where it differs from the rest of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_policy: Option<TrafficPolicy>,
}
