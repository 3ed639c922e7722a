//! A service and its endpoints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::object::{Object, Resource};

/// Describes a service of the mesh.
pub type ServiceEntry = Object<ServiceEntrySpec>;

/// Says under which names, addresses and ports a service is reached, and by whom it is served.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ServiceEntrySpec {
    /// Its names.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Its virtual addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Its ports; a port's name says which protocol it speaks.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// How its endpoints are found.
    #[serde(default)]
    pub resolution: Resolution,
    /// Its endpoints, where they are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<WorkloadEntry>,
    /// Its endpoints, where they are chosen by label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_selector: Option<WorkloadSelector>,
}

impl Resource for ServiceEntrySpec {
    const GROUP: &'static str = "networking.istio.io";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "ServiceEntry";
}

/// Describes a port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Port {
    /// The number that clients use.
    pub number: u16,
    /// The name; `tcp-metaprotocol-dubbo-…` for Dubbo over MetaProtocol.
    #[serde(default)]
    pub name: String,
    /// The port of the endpoints, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_port: Option<u16>,
}

/// Says how a service's endpoints are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Resolution {
    /// The address that the client used is taken as it is.
    #[default]
    None,
    /// The endpoints' addresses are given.
    Static,
    /// The endpoints' names, or the host's, are looked up.
    Dns,
    /// As `Dns`, one address at a time.
    DnsRoundRobin,
}

/// Describes one endpoint of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct WorkloadEntry {
    /// An address or, with DNS resolution, a name; `unix://` and the path of a Unix socket, or `@` and its name.
    #[serde(default)]
    pub address: String,
    /// Its own port numbers, by the name of the service's port.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, u16>,
    /// Its labels, by which subsets choose it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where it runs, as `region/zone/sub-zone`; later parts may be missing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub locality: String,
    /// Its share among the endpoints; 0 counts as 1.
    #[serde(default)]
    pub weight: u32,
}

/// Chooses workloads by label.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct WorkloadSelector {
    /// The labels that a workload must have.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}
