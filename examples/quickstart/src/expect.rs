//! Which share of a group's calls each version should get, by the routes in force.

use std::collections::BTreeMap;

use aeraki_route::{Rules, config::Cluster};

use crate::{caller::Group, wire::Wire};

/// The route that a group's calls take, and the share of each version.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Expectation {
    pub(crate) route: String,
    /// Parts of 1.
    pub(crate) shares: BTreeMap<String, f64>,
}

/// Works out what `group` should see under `rules` with `clusters`.
pub(crate) fn expect(group: &Group, rules: &Rules, clusters: &BTreeMap<String, Cluster>) -> Expectation {
    let Some(route) = rules.find(&attributes(group)) else { return Expectation::default() };
    let total: f64 = route.clusters().map(|(_, weight)| f64::from(weight)).sum();
    let mut shares = BTreeMap::new();
    for (name, weight) in route.clusters() {
        let versions = versions(clusters.get(&**name));
        for version in &versions {
            *shares.entry(version.clone()).or_default() += f64::from(weight) / total / versions.len() as f64;
        }
    }
    Expectation { route: route.name().to_string(), shares }
}

fn attributes(group: &Group) -> Vec<(&'static str, &'static str)> {
    match group.wire {
        Wire::Dubbo => vec![("interface", group.interface), ("method", group.method), ("user", group.user)],
        Wire::Thrift => vec![("method", group.method)],
    }
}

/// Lists the version label of each endpoint.
fn versions(cluster: Option<&Cluster>) -> Vec<String> {
    let endpoints = cluster.into_iter().flat_map(|cluster| &cluster.endpoints);
    endpoints.filter_map(|endpoint| endpoint.metadata.get("version").cloned()).collect()
}
