//! Which fields of a route table have an effect.

use prost_reflect::FieldDescriptor;

use crate::json::Use;

pub(super) fn of(field: &FieldDescriptor) -> Use {
    let name = field.full_name();
    if WHOLE.contains(&name) {
        Use::Whole
    } else if INSIDE.iter().any(|(message, fields)| {
        name.strip_prefix(message).and_then(|name| name.strip_prefix('.')).is_some_and(|name| fields.contains(&name))
    }) {
        Use::Inside
    } else {
        Use::None
    }
}

/// Fields that are taken with all that is in them, or that the conversion refuses.
const WHOLE: &[&str] = &[
    "envoy.config.route.v3.Route.typed_per_filter_config",
    "envoy.config.route.v3.RouteAction.metadata_match",
    "envoy.config.route.v3.RouteConfiguration.typed_per_filter_config",
    "envoy.config.route.v3.RouteMatch.headers",
    "envoy.config.route.v3.VirtualHost.typed_per_filter_config",
    "envoy.config.route.v3.WeightedCluster.ClusterWeight.typed_per_filter_config",
    "envoy.config.route.v3.WeightedCluster.ClusterWeight.metadata_match",
];

/// Fields of messages that are taken as far as what is in them is. Domains and the prefix of paths must be there for
/// Envoy, and match everything.
const INSIDE: &[(&str, &[&str])] = &[
    ("envoy.config.core.v3.HeaderValue", &["key", "value", "raw_value"]),
    ("envoy.config.core.v3.HeaderValueOption", &["header", "append", "append_action"]),
    ("envoy.config.core.v3.RuntimeFractionalPercent", &["default_value"]),
    ("envoy.config.route.v3.HedgePolicy", &["hedge_on_per_try_timeout"]),
    ("envoy.config.route.v3.RetryPolicy.RetryBackOff", &["base_interval", "max_interval"]),
    (
        "envoy.config.route.v3.RetryPolicy",
        &[
            "num_retries",
            "per_try_timeout",
            "retriable_request_headers",
            "retriable_status_codes",
            "retry_back_off",
            "retry_on",
        ],
    ),
    (
        "envoy.config.route.v3.Route",
        &[
            "match",
            "name",
            "request_headers_to_add",
            "request_headers_to_remove",
            "response_headers_to_add",
            "response_headers_to_remove",
            "route",
        ],
    ),
    ("envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties", &["source_ip"]),
    ("envoy.config.route.v3.RouteAction.HashPolicy.Header", &["header_name"]),
    ("envoy.config.route.v3.RouteAction.HashPolicy", &["connection_properties", "header", "terminal"]),
    ("envoy.config.route.v3.RouteAction.MaxStreamDuration", &["max_stream_duration"]),
    ("envoy.config.route.v3.RouteAction.RequestMirrorPolicy", &["cluster", "runtime_fraction"]),
    (
        "envoy.config.route.v3.RouteAction",
        &[
            "cluster",
            "hash_policy",
            "hedge_policy",
            "idle_timeout",
            "max_stream_duration",
            "priority",
            "request_mirror_policies",
            "retry_policy",
            "timeout",
            "weighted_clusters",
        ],
    ),
    ("envoy.config.route.v3.RouteConfiguration", &["name", "virtual_hosts"]),
    ("envoy.config.route.v3.RouteMatch", &["prefix"]),
    ("envoy.config.route.v3.VirtualHost", &["domains", "name", "routes"]),
    ("envoy.config.route.v3.WeightedCluster.ClusterWeight", &["name", "weight"]),
    ("envoy.config.route.v3.WeightedCluster", &["clusters", "total_weight"]),
    ("envoy.service.discovery.v3.DiscoveryResponse", &["resources", "type_url", "version_info"]),
    ("envoy.type.v3.FractionalPercent", &["denominator", "numerator"]),
];
