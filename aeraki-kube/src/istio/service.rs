//! A Kubernetes Service, seen as Istio serves it: as a ServiceEntry.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::service_entry::{Port, Resolution, ServiceEntry, ServiceEntrySpec, WorkloadSelector};
use crate::object::{Object, Resource};

/// Describes a Service of Kubernetes.
pub type Service = Object<ServiceSpec>;

/// Says under which ports a Service is reached, and which pods serve it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ServiceSpec {
    /// Its ports.
    #[serde(default)]
    pub ports: Vec<ServicePort>,
    /// The labels that its pods have.
    #[serde(default)]
    pub selector: BTreeMap<String, String>,
    /// Its virtual address; `None` for a headless Service.
    #[serde(default, rename = "clusterIP", skip_serializing_if = "Option::is_none")]
    pub cluster_ip: Option<String>,
}

impl Resource for ServiceSpec {
    const GROUP: &'static str = "";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "Service";
}

/// Describes a port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ServicePort {
    /// The number that clients use.
    pub port: u16,
    /// The name, which says which protocol the port speaks.
    #[serde(default)]
    pub name: String,
}

impl Service {
    /// Turns the Service into the ServiceEntry that Istio makes of it, with the name `<name>.<namespace>.svc.<domain>`.
    pub fn into_service_entry(self, domain: &str) -> ServiceEntry {
        let Self { mut metadata, spec, origin } = self;
        let spec = ServiceEntrySpec {
            hosts: vec![format!("{}.{}.svc.{domain}", metadata.name, metadata.namespace)],
            addresses: spec.cluster_ip.into_iter().filter(|address| address != "None").collect(),
            ports: spec.ports.into_iter().map(Port::from).collect(),
            resolution: Resolution::Static,
            workload_selector: Some(WorkloadSelector { labels: spec.selector }),
            ..ServiceEntrySpec::default()
        };
        metadata.name.insert_str(0, "synthetic-");
        Object { metadata, spec, origin }
    }
}

impl From<ServicePort> for Port {
    fn from(ServicePort { port, name }: ServicePort) -> Self {
        Self { number: port, name, target_port: None }
    }
}
