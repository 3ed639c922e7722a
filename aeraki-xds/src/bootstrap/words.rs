//! Errors in the words of the file: the configuration has other names for some of its fields.

use aeraki_route::config::ConfigError;

/// Names the field of an error as the bootstrap calls it: `lbPolicy.minimum` of a cluster is
/// `ring_hash_lb_config.minimum_ring_size` there.
///
/// A field that has the same name in both is written as Envoy's documentation has it, `connect_timeout`. Everything
/// else stays.
#[must_use]
pub fn in_words_of_bootstrap(error: &ConfigError) -> ConfigError {
    let mut scope = error.object().split(' ').next().unwrap_or_default();
    let mut path = Vec::new();
    for segment in segments(error.field()) {
        let end = segment.find(['[', ' ']).unwrap_or(segment.len());
        let (name, place) = segment.split_at(end);
        let known = WORDS.iter().find(|(within, word, ..)| *within == scope && *word == name);
        let word = match known {
            Some((.., word, inside)) => {
                scope = inside;
                (*word).to_owned()
            }
            None => {
                scope = "";
                snake_case(name)
            }
        };
        if !word.is_empty() {
            path.push(word + place);
        }
    }
    ConfigError::new(error.object(), path.join("."), error.reason())
}

/// Splits a path at its dots, except those within quotes.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let segments = path.split(move |character| {
        quoted ^= character == '"';
        character == '.' && !quoted
    });
    segments.filter(|segment| !segment.is_empty())
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

/// A field that the file calls otherwise: where it is, its name in the configuration, its name in the file (empty:
/// nothing stands for it there), and what its own fields are found under.
type Word = (&'static str, &'static str, &'static str, &'static str);

const WORDS: &[Word] = &[
    ("proxy", "admin", "admin.address", ""),
    ("proxy", "localCluster", "cluster_manager.local_cluster_name", ""),
    ("proxy", "maxConnections", "overload_manager.resource_monitors", ""),
    // clusters
    ("cluster", "lbPolicy", "", "lbPolicy"),
    ("lbPolicy", "minimum", "ring_hash_lb_config.minimum_ring_size", ""),
    ("lbPolicy", "maximum", "ring_hash_lb_config.maximum_ring_size", ""),
    ("lbPolicy", "tableSize", "maglev_lb_config.table_size", ""),
    ("lbPolicy", "choices", "least_request_lb_config.choice_count", ""),
    ("lbPolicy", "balanceFactor", "common_lb_config.consistent_hashing_lb_config.hash_balance_factor", ""),
    ("lbPolicy", "decay", "metadata.filter_metadata.aeraki.peak_ewma_decay", ""),
    ("cluster", "slowStart", "slow_start_config", "slowStart"),
    ("slowStart", "window", "slow_start_window", ""),
    ("cluster", "commonLb", "", "commonLb"),
    ("commonLb", "zoneAware", "common_lb_config.zone_aware_lb_config", ""),
    ("commonLb", "healthyPanicThreshold", "common_lb_config.healthy_panic_threshold", ""),
    ("commonLb", "overprovisioningFactor", "load_assignment.policy.overprovisioning_factor", ""),
    ("cluster", "subsets", "lb_subset_config", "subsets"),
    ("subsets", "selectors", "subset_selectors", ""),
    ("cluster", "endpoints", "load_assignment.lb_endpoints", "endpoint"),
    ("endpoint", "weight", "load_balancing_weight", ""),
    ("endpoint", "localityWeight", "load_balancing_weight", ""),
    ("endpoint", "address", "endpoint.address", ""),
    ("cluster", "discovery", "", "discovery"),
    ("discovery", "refresh", "dns_refresh_rate", ""),
    ("discovery", "portOverride", "original_dst_lb_config.upstream_port_override", ""),
    ("cluster", "depth", "metadata.filter_metadata.aeraki.depth", ""),
    ("cluster", "idleTimeout", "common_http_protocol_options.idle_timeout", ""),
    ("cluster", "limits", "", "limits"),
    ("limits", "thresholds", "circuit_breakers.thresholds", ""),
    ("limits", "highThresholds", "circuit_breakers.thresholds[HIGH]", ""),
    ("limits", "maxConnectionDuration", "common_http_protocol_options.max_connection_duration", ""),
    ("cluster", "preconnect", "", "preconnect"),
    ("preconnect", "perUpstreamRatio", "preconnect_policy.per_upstream_preconnect_ratio", ""),
    ("preconnect", "spareConnections", "metadata.filter_metadata.aeraki.spare_connections", ""),
    ("cluster", "healthCheck", "health_checks[0]", "healthCheck"),
    ("healthCheck", "kind", "", "checkKind"),
    ("checkKind", "protocol", "custom_health_check.name", ""),
    ("checkKind", "receive", "tcp_health_check.receive", ""),
    ("cluster", "outlierDetection", "outlier_detection", "outlier"),
    ("outlier", "consecutiveErrors", "", "errors"),
    ("errors", "enforcing", "enforcing_consecutive_5xx", ""),
    ("outlier", "consecutiveGatewayFailure", "", "gatewayFailure"),
    ("gatewayFailure", "enforcing", "enforcing_consecutive_gateway_failure", ""),
    ("outlier", "consecutiveLocalOriginFailure", "", "localFailure"),
    ("localFailure", "enforcing", "enforcing_consecutive_local_origin_failure", ""),
    ("outlier", "successRate", "", "successRate"),
    ("successRate", "enforcing", "enforcing_success_rate", ""),
    ("successRate", "enforcingLocalOrigin", "enforcing_local_origin_success_rate", ""),
    ("outlier", "failurePercentage", "", "failures"),
    ("failures", "threshold", "failure_percentage_threshold", ""),
    ("failures", "enforcing", "enforcing_failure_percentage", ""),
    ("failures", "enforcingLocalOrigin", "enforcing_failure_percentage_local_origin", ""),
    ("cluster", "tcpKeepalive", "upstream_connection_options.tcp_keepalive", "keepalive"),
    ("keepalive", "probes", "keepalive_probes", ""),
    ("keepalive", "time", "keepalive_time", ""),
    ("keepalive", "interval", "keepalive_interval", ""),
    ("cluster", "tls", "", "tls"),
    ("tls", "common", "transport_socket.typed_config.common_tls_context", "tlsCommon"),
    ("tls", "sni", "transport_socket.typed_config.sni", ""),
    ("tls", "handshakeTimeout", "transport_socket_connect_timeout", ""),
    ("tlsCommon", "tlsCertificate", "tls_certificates[0]", ""),
    // listeners
    ("listener", "tcpKeepalive", "tcp_keepalive", "keepalive"),
    ("listener", "proxyProtocol", "", "proxyProtocol"),
    ("proxyProtocol", "timeout", "listener_filters_timeout", ""),
    ("listener", "originalDst", "use_original_dst", ""),
    ("listener", "filterChains", "filter_chains", "chain"),
    ("listener", "defaultFilterChain", "default_filter_chain", "chain"),
    ("chain", "matches", "filter_chain_match", ""),
    ("chain", "tls", "", "tls"),
    ("chain", "connectionLimit", "filters.typed_config", ""),
    ("chain", "filter", "", "network"),
    ("network", "tcpProxy", "filters.typed_config", "tcp"),
    ("tcp", "destination", "", "tcpDestination"),
    ("tcpDestination", "weighted", "weighted_clusters.clusters", ""),
    ("network", "metaProtocolProxy", "filters.typed_config", "proxyFilter"),
    ("proxyFilter", "protocol", "protocol", "protocol"),
    ("protocol", "options", "codec.config", ""),
    ("proxyFilter", "filters", "meta_protocol_filters", "filter"),
    ("proxyFilter", "routes", "", "routeSource"),
    ("routeSource", "dynamic", "rds", "rds"),
    ("rds", "origin", "config_source", "origin"),
    ("origin", "cluster", "api_config_source.grpc_services[0].envoy_grpc.cluster_name", ""),
    ("origin", "file", "path_config_source.path", ""),
    ("rds", "initialFetchTimeout", "config_source.initial_fetch_timeout", ""),
    ("routeSource", "inline", "route_config", "table"),
    ("table", "routes", "routes", "route"),
    ("route", "matches", "match.metadata", ""),
    ("route", "action", "route", "action"),
    ("action", "destination", "", "destination"),
    ("destination", "weighted", "weighted_clusters.clusters", ""),
    ("action", "mirrors", "request_mirror_policies", ""),
    // filters
    ("filter", "config", "config", "filterConfig"),
    ("filterConfig", "authorization", "policies", ""),
    ("filterConfig", "matches", "match.metadata", ""),
    ("filterConfig", "bucket", "token_bucket", ""),
    ("filterConfig", "conditions", "conditions", "condition"),
    ("condition", "matches", "match.metadata", ""),
    ("condition", "bucket", "token_bucket", ""),
    ("filterConfig", "cluster", "rate_limit_service.grpc_service.envoy_grpc.cluster_name", ""),
    ("filterConfig", "descriptors", "descriptors", "descriptor"),
    ("descriptor", "entries", "entries", "descriptorEntry"),
    ("descriptorEntry", "key", "descriptor_key", ""),
    ("descriptorEntry", "attribute", "property", ""),
    ("filterConfig", "delay", "delay", "delay"),
    ("delay", "duration", "fixed_delay", ""),
    ("delay", "fraction", "percentage", ""),
    ("filterConfig", "abort", "abort", "abort"),
    ("abort", "with", "", ""),
    ("abort", "fraction", "percentage", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_called_as_in_the_file() {
        let rpc = "filterChains[1] \"a.b\".filter.metaProtocolProxy";
        let served = "filter_chains[1] \"a.b\".filters.typed_config";
        for (object, field, expected) in [
            ("cluster \"c\"", "lbPolicy.minimum", "ring_hash_lb_config.minimum_ring_size"),
            ("cluster \"c\"", "connectTimeout", "connect_timeout"),
            ("cluster \"c\"", "limits.highThresholds.maxRetries", "circuit_breakers.thresholds[HIGH].max_retries"),
            ("cluster \"c\"", "endpoints[3].weight", "load_assignment.lb_endpoints[3].load_balancing_weight"),
            ("cluster \"c\"", "health_checks[0].timeout", "health_checks[0].timeout"),
            ("cluster \"c\"", "healthCheck.kind.protocol", "health_checks[0].custom_health_check.name"),
            ("listener \"in\"", &format!("{rpc}.idleTimeout"), &format!("{served}.idle_timeout")),
            (
                "listener \"in\"",
                &format!("{rpc}.filters[0] \"a.fault\".config.abort.with.status"),
                &format!("{served}.meta_protocol_filters[0] \"a.fault\".config.abort.status"),
            ),
            (
                "listener \"in\"",
                &format!("{rpc}.routes.inline.routes[2] \"x.y\".action.destination.cluster"),
                &format!("{served}.route_config.routes[2] \"x.y\".route.cluster"),
            ),
            ("proxy", "localCluster", "cluster_manager.local_cluster_name"),
            ("proxy", "", ""),
        ] {
            let error = in_words_of_bootstrap(&ConfigError::new(object, field, "myReason"));
            assert_eq!((error.object(), error.field(), error.reason()), (object, expected, "myReason"));
        }
    }

    /// A word whose inside nothing is found under, or that is found under nothing, has lost its other half.
    #[test]
    fn every_word_can_be_reached() {
        for (within, word, ..) in WORDS {
            let reached = WORDS.iter().any(|(.., inside)| inside == within);
            assert!(reached || ["proxy", "cluster", "listener"].contains(within), "{within} {word}");
        }
        for (.., inside) in WORDS.iter().filter(|(.., inside)| !inside.is_empty()) {
            assert!(WORDS.iter().any(|(within, ..)| within == inside), "{inside}");
        }
    }
}
