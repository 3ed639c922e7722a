//! The parts of Istio's and Kubernetes' resources that translation needs, one kind a file.
//!
//! These kinds have many more fields; what is not listed here is neither read nor an error. Where it would change how
//! requests are treated, translation tells that it has no effect.

mod destination_rule;
mod service;
mod service_entry;
mod traffic_policy;
mod unread;

pub use self::{
    destination_rule::{DestinationRule, DestinationRuleSpec, Subset},
    service::{Service, ServicePort, ServiceSpec},
    service_entry::{Port, Resolution, ServiceEntry, ServiceEntrySpec, WorkloadEntry, WorkloadSelector},
    traffic_policy::{
        ConnectionPool, ConsistentHash, HttpSettings, LoadBalancer, LocalityLbSetting, OutlierDetection,
        PortTrafficPolicy, RingSize, SimpleBalancer, TableSize, TcpKeepalive, TcpSettings, TrafficPolicy, Warmup,
    },
    unread::Unread,
};
