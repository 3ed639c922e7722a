//! The subsets of a service and how requests are spread over their endpoints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    pub traffic_policy: Option<TrafficPolicy>,
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

/// Says how requests are spread over endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TrafficPolicy {
    /// The load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
}

/// Names a load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LoadBalancer {
    /// One of the balancers without parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simple: Option<SimpleBalancer>,
    /// The balancer that sends equal keys to the same endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistent_hash: Option<ConsistentHash>,
}

/// Lists the load balancers without parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum SimpleBalancer {
    /// Leaves the choice to the mesh.
    #[default]
    Unspecified,
    /// The endpoint with the fewest requests under way, of two taken at random.
    LeastRequest,
    /// The old name of `LEAST_REQUEST`.
    LeastConn,
    /// Any.
    Random,
    /// One after the other.
    RoundRobin,
    /// The address that the client used.
    Passthrough,
}

/// Says what a request's key is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ConsistentHash {
    /// The attribute whose value is the key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub http_header_name: String,
    /// Whether the key is the client's IP address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_source_ip: bool,
    /// Points that the ring has at least; where there is no `ring_hash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_ring_size: Option<u32>,
    /// Chooses by a ring, as without anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring_hash: Option<RingSize>,
    /// Chooses by a Maglev table instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maglev: Option<TableSize>,
}

/// Says how large a ring is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RingSize {
    /// Points that it has at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_ring_size: Option<u32>,
}

/// Says how large a Maglev table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TableSize {
    /// Entries that it has; a prime number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_size: Option<u32>,
}
