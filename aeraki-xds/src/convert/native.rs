//! The native shape: `aeraki.meta_protocol_proxy.config.route.v1alpha.RouteConfiguration`, inline in a listener.

use aeraki_route::config::{
    ConfigError, Destination, HashPolicy, Mirror, MutationEntry, Route, RouteAction, RouteConfig,
};

use super::at::At;
use super::{fraction, matcher, weighted};
use crate::proto::aeraki::meta_protocol_proxy::config::route::v1alpha as proto;
use proto::route_action::{ClusterSpecifier, RequestMirrorPolicy};

pub(super) fn routes_from_proto(routes: &proto::RouteConfiguration, at: &At<'_>) -> Result<RouteConfig, ConfigError> {
    let convert =
        |(index, route): (usize, &proto::Route)| route_from_proto(route, &at.named("routes", index, &route.name));
    let converted = routes.routes.iter().enumerate().map(convert).collect::<Result<Vec<_>, _>>()?;
    Ok(RouteConfig::new(&routes.name, converted))
}

fn route_from_proto(route: &proto::Route, at: &At<'_>) -> Result<Route, ConfigError> {
    let action = at.field("route").require(route.route.as_ref())?;
    let mut converted = Route::new(&route.name, action_from_proto(action, &at.field("route"))?);
    converted.matches = matcher::criteria_from_proto(route.r#match.as_ref(), at)?;
    converted.request_mutation = mutation(&route.request_mutation);
    converted.response_mutation = mutation(&route.response_mutation);
    Ok(converted)
}

fn action_from_proto(action: &proto::RouteAction, at: &At<'_>) -> Result<RouteAction, ConfigError> {
    let destination = match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => Destination::Cluster(name.clone()),
        Some(ClusterSpecifier::WeightedClusters(clusters)) => weighted::from_proto(clusters, at)?,
        None => return Err(at.refuse("must hold cluster or weighted_clusters")),
    };
    let mirror = |(index, policy): (usize, &RequestMirrorPolicy)| {
        let at = at.named("request_mirror_policies", index, &policy.cluster);
        Ok(Mirror::new(&policy.cluster, fraction::from_runtime(policy.runtime_fraction.as_ref(), &at)?))
    };
    let mut converted = RouteAction::default();
    converted.destination = destination;
    converted.hash_policy = action.hash_policy.iter().map(HashPolicy::attribute).collect();
    converted.mirrors = action.request_mirror_policies.iter().enumerate().map(mirror).collect::<Result<_, _>>()?;
    Ok(converted)
}

fn mutation(entries: &[proto::KeyValue]) -> Vec<MutationEntry> {
    entries.iter().map(|entry| MutationEntry::set(&entry.key, &entry.value)).collect()
}
