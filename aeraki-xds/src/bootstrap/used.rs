//! Which fields of a bootstrap have an effect.

use prost_reflect::FieldDescriptor;

use crate::json::Use;

pub(super) fn of(field: &FieldDescriptor) -> Use {
    let name = field.full_name();
    if WHOLE.contains(&name) {
        Use::Whole
    } else if INSIDE.contains(&name) || WHOLE_MESSAGES.contains(&field.parent_message().full_name()) {
        Use::Inside
    } else {
        Use::None
    }
}

/// Fields that are taken with all that is in them, or that are refused by the conversion.
const WHOLE: &[&str] = &[
    "aeraki.meta_protocol_proxy.v1alpha.Codec.config",
    "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolFilter.config",
    "envoy.config.bootstrap.v3.Bootstrap.dynamic_resources",
    "envoy.config.cluster.v3.Cluster.http2_protocol_options",
    "envoy.config.cluster.v3.Cluster.metadata",
    "envoy.config.cluster.v3.Cluster.transport_socket",
    "envoy.config.core.v3.Node.metadata",
    "envoy.config.endpoint.v3.LbEndpoint.metadata",
    "envoy.config.listener.v3.FilterChain.transport_socket",
    "envoy.config.listener.v3.FilterChain.transport_socket_connect_timeout",
];

/// Fields that are taken as far as what is in them is.
const INSIDE: &[&str] = &[
    "aeraki.meta_protocol_proxy.v1alpha.ApplicationProtocol.codec",
    "aeraki.meta_protocol_proxy.v1alpha.ApplicationProtocol.name",
    "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy.application_protocol",
    "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy.codec",
    "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy.idle_timeout",
    "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy.meta_protocol_filters",
    "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy.protocol",
    "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy.rds",
    "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy.reverse_response_filters",
    "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy.route_config",
    "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy.stat_prefix",
    "envoy.config.bootstrap.v3.Admin.address",
    "envoy.config.bootstrap.v3.Bootstrap.admin",
    "envoy.config.bootstrap.v3.Bootstrap.node",
    "envoy.config.bootstrap.v3.Bootstrap.static_resources",
    "envoy.config.bootstrap.v3.Bootstrap.StaticResources.clusters",
    "envoy.config.bootstrap.v3.Bootstrap.StaticResources.listeners",
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds.max_connections",
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds.max_pending_requests",
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds.priority",
    "envoy.config.cluster.v3.CircuitBreakers.thresholds",
    "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig.choice_count",
    "envoy.config.cluster.v3.Cluster.circuit_breakers",
    "envoy.config.cluster.v3.Cluster.connect_timeout",
    "envoy.config.cluster.v3.Cluster.dns_refresh_rate",
    "envoy.config.cluster.v3.Cluster.lb_policy",
    "envoy.config.cluster.v3.Cluster.least_request_lb_config",
    "envoy.config.cluster.v3.Cluster.load_assignment",
    "envoy.config.cluster.v3.Cluster.name",
    "envoy.config.cluster.v3.Cluster.respect_dns_ttl",
    "envoy.config.cluster.v3.Cluster.type",
    "envoy.config.core.v3.Address.socket_address",
    "envoy.config.core.v3.ApiConfigSource.api_type",
    "envoy.config.core.v3.ApiConfigSource.grpc_services",
    "envoy.config.core.v3.ApiConfigSource.transport_api_version",
    "envoy.config.core.v3.ConfigSource.api_config_source",
    "envoy.config.core.v3.ConfigSource.initial_fetch_timeout",
    "envoy.config.core.v3.ConfigSource.resource_api_version",
    "envoy.config.core.v3.GrpcService.EnvoyGrpc.cluster_name",
    "envoy.config.core.v3.GrpcService.envoy_grpc",
    "envoy.config.core.v3.Node.cluster",
    "envoy.config.core.v3.Node.id",
    "envoy.config.core.v3.RuntimeFractionalPercent.default_value",
    "envoy.config.core.v3.SocketAddress.address",
    "envoy.config.core.v3.SocketAddress.port_value",
    "envoy.config.core.v3.SocketAddress.protocol",
    "envoy.config.endpoint.v3.ClusterLoadAssignment.cluster_name",
    "envoy.config.endpoint.v3.ClusterLoadAssignment.endpoints",
    "envoy.config.endpoint.v3.Endpoint.address",
    "envoy.config.endpoint.v3.LbEndpoint.endpoint",
    "envoy.config.endpoint.v3.LbEndpoint.health_status",
    "envoy.config.endpoint.v3.LbEndpoint.load_balancing_weight",
    "envoy.config.endpoint.v3.LocalityLbEndpoints.lb_endpoints",
    "envoy.config.endpoint.v3.LocalityLbEndpoints.priority",
    "envoy.config.listener.v3.Filter.name",
    "envoy.config.listener.v3.Filter.typed_config",
    "envoy.config.listener.v3.FilterChain.filter_chain_match",
    "envoy.config.listener.v3.FilterChain.filters",
    "envoy.config.listener.v3.FilterChain.name",
    "envoy.config.listener.v3.FilterChainMatch.transport_protocol",
    "envoy.config.listener.v3.Listener.address",
    "envoy.config.listener.v3.Listener.filter_chains",
    "envoy.config.listener.v3.Listener.listener_filters",
    "envoy.config.listener.v3.Listener.listener_filters_timeout",
    "envoy.config.listener.v3.Listener.name",
    "envoy.config.listener.v3.Listener.traffic_direction",
    "envoy.config.listener.v3.ListenerFilter.name",
    "envoy.config.listener.v3.ListenerFilter.typed_config",
    "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol.allow_requests_without_proxy_protocol",
    "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol.disallowed_versions",
    "envoy.config.route.v3.WeightedCluster.ClusterWeight.name",
    "envoy.config.route.v3.WeightedCluster.ClusterWeight.weight",
    "envoy.config.route.v3.WeightedCluster.clusters",
    "envoy.config.route.v3.WeightedCluster.total_weight",
];

/// Messages of which every field counts.
const WHOLE_MESSAGES: &[&str] = &[
    "aeraki.meta_protocol_proxy.config.route.v1alpha.KeyValue",
    "aeraki.meta_protocol_proxy.config.route.v1alpha.Route",
    "aeraki.meta_protocol_proxy.config.route.v1alpha.RouteAction",
    "aeraki.meta_protocol_proxy.config.route.v1alpha.RouteAction.RequestMirrorPolicy",
    "aeraki.meta_protocol_proxy.config.route.v1alpha.RouteConfiguration",
    "aeraki.meta_protocol_proxy.config.route.v1alpha.RouteMatch",
    "aeraki.meta_protocol_proxy.v1alpha.Codec",
    "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolFilter",
    "aeraki.meta_protocol_proxy.v1alpha.Rds",
    "envoy.config.route.v3.HeaderMatcher",
    "envoy.type.matcher.v3.RegexMatcher",
    "envoy.type.matcher.v3.RegexMatcher.GoogleRE2",
    "envoy.type.matcher.v3.StringMatcher",
    "envoy.type.v3.FractionalPercent",
    "envoy.type.v3.Int64Range",
    "udpa.type.v1.TypedStruct",
    "xds.type.v3.TypedStruct",
];
