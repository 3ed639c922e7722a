//! The parts of Istio's and Kubernetes' resources that translation needs, one kind a file.
//!
//! These kinds have many more fields; what is not listed here is neither read nor an error.

mod destination_rule;
mod service;
mod service_entry;

pub use self::{
    destination_rule::{
        ConsistentHash, DestinationRule, DestinationRuleSpec, LoadBalancer, RingSize, SimpleBalancer, Subset,
        TableSize, TrafficPolicy,
    },
    service::{Service, ServicePort, ServiceSpec},
    service_entry::{Port, Resolution, ServiceEntry, ServiceEntrySpec, WorkloadEntry, WorkloadSelector},
};
