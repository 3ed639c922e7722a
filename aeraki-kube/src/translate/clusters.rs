//! From services and their subsets to clusters.

use std::collections::{BTreeMap, btree_map::Entry};

use aeraki_route::config::{Address, Cluster, Discovery, Dns, Endpoint, Locality, Pipe};

use super::{
    Options, Translation,
    names::cluster_name,
    rejection::Rejection,
    services::{Declared, Service},
    traffic_policy::{self, Traffic},
};
use crate::{
    istio::{DestinationRule, Resolution, Subset},
    world::World,
};

/// Adds the clusters of a host: for every MetaProtocol port the whole service and each of its subsets.
pub(super) fn translate(world: &World, service: &Service<'_>, options: &Options, translation: &mut Translation) {
    traffic_policy::check(world, service, options, translation);
    let whole = ("", &BTreeMap::new());
    let subsets = subsets(world, service.host, service.namespace);
    let subsets = subsets.map(|(_, subset)| (subset.name.as_str(), &subset.labels));
    for (subset, labels) in [whole].into_iter().chain(subsets) {
        for (number, declared) in &service.ports {
            let endpoints = endpoints(service.host, declared, labels);
            let mut cluster = Cluster::new(cluster_name(*number, subset, service.host))
                .with_connect_timeout(options.connect_timeout)
                .with_discovery(discovery(declared, endpoints.len()));
            cluster.endpoints = endpoints;
            let traffic = Traffic::find(world, (service.host, service.namespace), subset, *number);
            add(cluster, traffic, (declared, options), translation);
        }
    }
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

/// Adds a cluster, unless an earlier rule declares a subset of this name. Where what its rules say is at fault, it
/// stays as it was.
fn add(
    cluster: Cluster,
    traffic: Traffic<'_>,
    (declared, options): (&[Declared<'_>], &Options),
    translation: &mut Translation,
) {
    if let (Err(error), Some(first)) = (cluster.validate(), declared.first()) {
        let field = format!("spec.{}", error.field());
        return translation.reject(Rejection::invalid(first.entry, field, error.reason()));
    }
    let Entry::Vacant(entry) = translation.clusters.entry(cluster.name.clone()) else { return };
    let whole = traffic.apply(cluster.clone(), options);
    if whole.validate().is_ok() {
        entry.insert(whole);
    } else {
        translation.held_clusters.insert(cluster.name.clone());
        entry.insert(Traffic::default().apply(cluster, options));
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
                let mut endpoint = Endpoint::new(address(&workload.address, own.unwrap_or(common)));
                endpoint.weight = workload.weight.max(1);
                endpoint.metadata.clone_from(&workload.labels);
                endpoint.locality = locality(&workload.locality);
                endpoints.push(endpoint);
            }
        }
    }
    endpoints
}

/// Returns where a workload is: a Unix socket has no port.
fn address(text: &str, port: u16) -> Address {
    text.strip_prefix("unix://").map_or_else(|| Address::new(text, port), |path| Pipe::new(path).into())
}

fn locality(text: &str) -> Locality {
    let mut parts = text.splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default();
    Locality::new(part(), part(), part())
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
