//! The shape of MetaRDS: routes of any protocol dressed as `envoy.config.route.v3.RouteConfiguration`.
//!
//! What upstream's proxy reads of it is read here: one virtual host, per route its name, the header matchers, cluster
//! or weighted clusters, hash keys, mirrors and headers to add. Beyond that the standard fields `timeout`,
//! `idle_timeout` and `max_stream_duration` of streams, `retry_policy`, `hedge_policy`, `*_headers_to_remove` and
//! `typed_per_filter_config` count, which that proxy ignores; so one resource serves old and new proxies.

mod hash_policy;
mod mutation;
mod per_filter;
mod retry;

use aeraki_route::config::{ConfigError, Destination, Mirror, Route, RouteAction, RouteConfig};

use super::at::At;
use super::{duration, fraction, labels, matcher, priority, weighted};
use crate::proto::envoy::config::route::v3 as proto;
use proto::route_action::{ClusterSpecifier, MaxStreamDuration, RequestMirrorPolicy};

/// Converts and validates the routes of a MetaRDS resource.
///
/// # Errors
///
/// Names the route configuration, the field and the reason: not exactly one virtual host, a route whose action is not
/// `route`, a cluster specifier that is neither `cluster` nor `weighted_clusters`, a weight that is missing, a
/// filter configuration of ours that is not a route's, and everything that [`RouteConfig::validate`] refuses.
pub fn routes_from_http(resource: &proto::RouteConfiguration) -> Result<RouteConfig, ConfigError> {
    let at = At::resource(ROUTE_CONFIGURATION, &resource.name);
    let [host] = resource.virtual_hosts.as_slice() else {
        let count = resource.virtual_hosts.len();
        return Err(at.field("virtual_hosts").refuse(format!("must hold exactly one virtual host, not {count}")));
    };
    let host_at = at.named("virtual_hosts", 0, &host.name);
    per_filter::refuse(&resource.typed_per_filter_config, &at)?;
    per_filter::refuse(&host.typed_per_filter_config, &host_at)?;
    let convert =
        |(index, route): (usize, &proto::Route)| route_from_proto(route, &host_at.named("routes", index, &route.name));
    let routes = host.routes.iter().enumerate().map(convert).collect::<Result<Vec<_>, _>>()?;
    let config = RouteConfig::new(&resource.name, routes);
    config.validate()?;
    Ok(config)
}

/// Converts routes to a MetaRDS resource.
///
/// # Errors
///
/// Names the route and field that this shape cannot carry.
pub fn routes_to_http(config: &RouteConfig) -> Result<proto::RouteConfiguration, ConfigError> {
    let at = At::resource(ROUTE_CONFIGURATION, &config.name);
    let convert = |(index, route): (usize, &Route)| route_to_proto(route, &at.named("routes", index, &route.name));
    let host = proto::VirtualHost {
        // The names that upstream's control plane uses.
        name: "dummy".to_owned(),
        domains: vec!["*".to_owned()],
        routes: config.routes.iter().enumerate().map(convert).collect::<Result<_, _>>()?,
        ..proto::VirtualHost::default()
    };
    Ok(proto::RouteConfiguration {
        name: config.name.clone(),
        virtual_hosts: vec![host],
        ..proto::RouteConfiguration::default()
    })
}

fn route_from_proto(route: &proto::Route, at: &At<'_>) -> Result<Route, ConfigError> {
    let Some(proto::route::Action::Route(action)) = &route.action else {
        return Err(at.field("route").refuse("is required: no other action can be taken"));
    };
    let headers = route.r#match.as_ref().map_or(&[][..], |criteria| &criteria.headers);
    let mut converted = Route::new(&route.name, action_from_proto(action, &at.field("route"))?);
    converted.matches = matcher::matches_from_proto(headers, "headers", &at.field("match"))?;
    let (remove, add) = (&route.request_headers_to_remove, &route.request_headers_to_add);
    converted.request_mutation = mutation::from_proto(remove, add, "request_headers_to_add", at)?;
    let (remove, add) = (&route.response_headers_to_remove, &route.response_headers_to_add);
    converted.response_mutation = mutation::from_proto(remove, add, "response_headers_to_add", at)?;
    per_filter::apply(&route.typed_per_filter_config, &mut converted, at)?;
    Ok(converted)
}

fn action_from_proto(action: &proto::RouteAction, at: &At<'_>) -> Result<RouteAction, ConfigError> {
    let destination = match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => Destination::Cluster(name.clone()),
        Some(ClusterSpecifier::WeightedClusters(clusters)) => {
            let weighted = at.field("weighted_clusters");
            for (index, cluster) in clusters.clusters.iter().enumerate() {
                let at = weighted.named("clusters", index, &cluster.name);
                per_filter::refuse(&cluster.typed_per_filter_config, &at)?;
            }
            weighted::from_proto(clusters, at)?
        }
        _ => return Err(at.refuse("must hold cluster or weighted_clusters")),
    };
    let mirror = |(index, policy): (usize, &RequestMirrorPolicy)| {
        let at = at.named("request_mirror_policies", index, &policy.cluster);
        Ok(Mirror::new(&policy.cluster, fraction::from_runtime(policy.runtime_fraction.as_ref(), &at)?))
    };
    let mut converted = RouteAction::default();
    converted.destination = destination;
    converted.hash_policy = action.hash_policy.iter().filter_map(hash_policy::from_proto).collect();
    converted.priority = priority::from_proto(action.priority, &at.field("priority"))?;
    converted.metadata_match = labels::criteria(action.metadata_match.as_ref(), &at.field("metadata_match"))?;
    converted.mirrors = action.request_mirror_policies.iter().enumerate().map(mirror).collect::<Result<_, _>>()?;
    converted.timeout = duration::positive_from_proto(action.timeout.as_ref(), &at.field("timeout"))?;
    converted.streams.idle = duration::exact_from_proto(action.idle_timeout.as_ref(), &at.field("idle_timeout"))?;
    let total = action.max_stream_duration.as_ref().and_then(|limits| limits.max_stream_duration.as_ref());
    converted.streams.total = duration::exact_from_proto(total, &at.field("max_stream_duration"))?;
    let retry = |policy| retry::from_proto(policy, &at.field("retry_policy"));
    converted.retry = action.retry_policy.as_ref().map(retry).transpose()?;
    converted.hedge = action.hedge_policy.as_ref().map(retry::hedge_from_proto);
    Ok(converted)
}

fn route_to_proto(route: &Route, at: &At<'_>) -> Result<proto::Route, ConfigError> {
    let criteria = proto::RouteMatch {
        headers: matcher::matches_to_proto(&route.matches, at)?,
        path_specifier: Some(proto::route_match::PathSpecifier::Prefix("/".to_owned())),
        ..proto::RouteMatch::default()
    };
    let (request_headers_to_remove, request_headers_to_add) =
        mutation::to_proto(&route.request_mutation, &at.field("requestMutation"))?;
    let (response_headers_to_remove, response_headers_to_add) =
        mutation::to_proto(&route.response_mutation, &at.field("responseMutation"))?;
    Ok(proto::Route {
        name: route.name.clone(),
        r#match: Some(criteria),
        action: Some(proto::route::Action::Route(action_to_proto(&route.action, at)?)),
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        typed_per_filter_config: per_filter::to_proto(route, at)?,
        ..proto::Route::default()
    })
}

fn action_to_proto(action: &RouteAction, at: &At<'_>) -> Result<proto::RouteAction, ConfigError> {
    let specifier = match &action.destination {
        Destination::Cluster(name) => ClusterSpecifier::Cluster(name.clone()),
        Destination::Weighted(clusters) => ClusterSpecifier::WeightedClusters(weighted::to_proto(clusters)),
        _ => return Err(at.field("destination").refuse("has no form in protobuf")),
    };
    let mirror = |mirror: &Mirror| RequestMirrorPolicy {
        cluster: mirror.cluster.clone(),
        runtime_fraction: Some(fraction::to_runtime(mirror.fraction)),
        ..RequestMirrorPolicy::default()
    };
    let hash_policy = |(index, policy)| hash_policy::to_proto(policy, &at.item("hashPolicy", index));
    let timeout = |timeout| duration::to_proto(timeout, &at.field("timeout"));
    let stream_time = |time| duration::to_proto(time, &at.field("streams"));
    let total = action.streams.total.map(stream_time).transpose()?;
    let retry = |policy| retry::to_proto(policy, &at.field("retry"));
    Ok(proto::RouteAction {
        cluster_specifier: Some(specifier),
        hash_policy: action.hash_policy.iter().enumerate().map(hash_policy).collect::<Result<_, _>>()?,
        metadata_match: labels::to_proto(&action.metadata_match),
        priority: priority::to_proto(action.priority),
        request_mirror_policies: action.mirrors.iter().map(mirror).collect(),
        timeout: action.timeout.map(timeout).transpose()?,
        idle_timeout: action.streams.idle.map(stream_time).transpose()?,
        max_stream_duration: total
            .map(|total| MaxStreamDuration { max_stream_duration: Some(total), ..Default::default() }),
        retry_policy: action.retry.as_ref().map(retry).transpose()?,
        hedge_policy: action.hedge.map(retry::hedge_to_proto),
        ..proto::RouteAction::default()
    })
}

/// What the resource is called in error texts.
pub(super) const ROUTE_CONFIGURATION: &str = "route configuration";
