//! From services and their subsets to clusters.

use std::collections::BTreeMap;

use aeraki_route::config::{Address, Cluster, Discovery, Dns, Endpoint, LbPolicy, LeastRequest, Maglev, RingHash};

use super::{
    Options, Translation,
    names::cluster_name,
    rejection::Rejection,
    services::{Declared, Service},
};
use crate::{
    istio::{ConsistentHash, DestinationRule, LoadBalancer, Resolution, SimpleBalancer, Subset},
    world::World,
};

/// Adds the clusters of a host: for every MetaProtocol port the whole service and each of its subsets.
pub(super) fn translate(world: &World, service: &Service<'_>, options: &Options, translation: &mut Translation) {
    warn_of_hashing(world, service, translation);
    let whole = ("", &BTreeMap::new());
    let subsets = subsets(world, service.host, service.namespace);
    let subsets = subsets.map(|(_, subset)| (subset.name.as_str(), &subset.labels));
    for (subset, labels) in [whole].into_iter().chain(subsets) {
        let policy = lb_policy(balancer(world, service.host, service.namespace, subset));
        for (number, declared) in &service.ports {
            let endpoints = endpoints(service.host, declared, labels);
            let mut cluster = Cluster::new(cluster_name(*number, subset, service.host))
                .with_connect_timeout(options.connect_timeout)
                .with_discovery(discovery(declared, endpoints.len()))
                .with_lb_policy(policy);
            cluster.endpoints = endpoints;
            add(cluster, declared, translation);
        }
    }
}

/// Finds the load balancer of a subset, or that of the whole service where the subset has none.
pub(super) fn balancer<'a>(world: &'a World, host: &str, namespace: &str, subset: &str) -> Option<&'a LoadBalancer> {
    let own = subsets(world, host, namespace).find(|(_, declared)| declared.name == subset);
    let own = own.and_then(|(_, subset)| subset.traffic_policy.as_ref());
    // as Istio merges the rules of a host: the first policy counts
    let common = world.destination_rules(host, namespace).find_map(|rule| rule.spec.traffic_policy.as_ref());
    own.into_iter().chain(common).find_map(|policy| policy.load_balancer.as_ref())
}

/// Lists the subsets of a host with the rule that declares each, in order of precedence.
pub(super) fn subsets<'a>(
    world: &'a World,
    host: &str,
    namespace: &str,
) -> impl Iterator<Item = (&'a DestinationRule, &'a Subset)> {
    let rules = world.destination_rules(host, namespace);
    rules.flat_map(|rule| rule.spec.subsets.iter().map(move |subset| (&**rule, subset)))
}

/// Adds a cluster, unless an earlier rule declares a subset of this name.
fn add(cluster: Cluster, declared: &[Declared<'_>], translation: &mut Translation) {
    match (cluster.validate(), declared.first()) {
        (Err(error), Some(first)) => {
            let field = format!("spec.{}", error.field());
            translation.reject(Rejection::invalid(first.entry, field, error.reason()));
        }
        _ => {
            translation.clusters.entry(cluster.name.clone()).or_insert(cluster);
        }
    }
}

fn endpoints(host: &str, declared: &[Declared<'_>], labels: &BTreeMap<String, String>) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for Declared { entry, port } in declared {
        let common = port.target_port.unwrap_or(port.number);
        if entry.spec.endpoints.is_empty() && by_name(entry.spec.resolution) && labels.is_empty() {
            endpoints.push(Endpoint::new(Address::new(host, common)));
        }
        for workload in &entry.spec.endpoints {
            if labels.iter().all(|(key, value)| workload.labels.get(key) == Some(value)) {
                let own = workload.ports.get(&port.name).copied();
                let mut endpoint = Endpoint::new(Address::new(&workload.address, own.unwrap_or(common)));
                endpoint.weight = workload.weight.max(1);
                endpoint.metadata.clone_from(&workload.labels);
                endpoints.push(endpoint);
            }
        }
    }
    endpoints
}

fn discovery(declared: &[Declared<'_>], endpoints: usize) -> Discovery {
    match declared.first().map(|first| first.entry.spec.resolution) {
        Some(Resolution::DnsRoundRobin) if endpoints == 1 => Discovery::LogicalDns(Dns::default()),
        Some(resolution) if by_name(resolution) => Discovery::StrictDns(Dns::default()),
        _ => Discovery::Static,
    }
}

fn by_name(resolution: Resolution) -> bool {
    matches!(resolution, Resolution::Dns | Resolution::DnsRoundRobin)
}

fn lb_policy(balancer: Option<&LoadBalancer>) -> LbPolicy {
    if let Some(hash) = balancer.and_then(|balancer| balancer.consistent_hash.as_ref()) {
        return hash_policy(hash);
    }
    match balancer.and_then(|balancer| balancer.simple) {
        Some(SimpleBalancer::RoundRobin) => LbPolicy::RoundRobin,
        Some(SimpleBalancer::Random) => LbPolicy::Random,
        // what Istio does where nothing is said
        _ => LbPolicy::LeastRequest(LeastRequest::default()),
    }
}

fn hash_policy(hash: &ConsistentHash) -> LbPolicy {
    if let Some(maglev) = hash.maglev {
        let default = Maglev::default();
        return LbPolicy::Maglev(default.with_table_size(maglev.table_size.unwrap_or(default.table_size)));
    }
    let default = RingHash::default();
    let minimum = hash.ring_hash.map_or(hash.minimum_ring_size, |ring| ring.minimum_ring_size);
    LbPolicy::RingHash(default.with_size(minimum.unwrap_or(default.minimum), default.maximum))
}

fn warn_of_hashing(world: &World, service: &Service<'_>, translation: &mut Translation) {
    for rule in world.destination_rules(service.host, service.namespace) {
        let common = ("spec".to_owned(), &rule.spec.traffic_policy);
        let subsets = rule.spec.subsets.iter().enumerate();
        let subsets = subsets.map(|(index, subset)| (format!("spec.subsets[{index}]"), &subset.traffic_policy));
        for (field, policy) in [common].into_iter().chain(subsets) {
            let balancer = policy.as_ref().and_then(|policy| policy.load_balancer.as_ref());
            let hash = balancer.and_then(|balancer| balancer.consistent_hash.as_ref());
            if hash.is_some_and(|hash| hash.http_header_name.is_empty() && !hash.use_source_ip) {
                let field = format!("{field}.trafficPolicy.loadBalancer.consistentHash");
                let reason = "has neither `httpHeaderName` nor `useSourceIp`, the keys there are: requests go anywhere";
                translation.reject(Rejection::ineffective(&**rule, field, reason));
            }
        }
    }
}
