use std::time::Duration;

use aeraki_route::config::{
    Address, Consecutive, Decimal, Discovery, Filter, FilterConfig, HealthCheck, HealthCheckKind, HealthStatus,
    LbPolicy, LeastRequest, Locality, Maglev, MetaProtocolProxy, OutlierDetection, Preconnect, RouteSource, Thresholds,
    ZoneAware,
};
use proptest::prelude::*;

use super::*;
use crate::fixtures::fixtures;

/// A bootstrap with one listener, whose MetaProtocol proxy has the fields `filter`, and one cluster.
fn bootstrap(filter: &str, cluster: &str) -> String {
    format!(
        "
node: {{id: me, cluster: us, metadata: {{A: {{b: [1, true]}}}}}}
admin: {{address: {{socket_address: {{address: '::1', port_value: 15000}}}}}}
static_resources:
  listeners:
    name: in
    address: {{socket_address: {{address: 127.0.0.1, port_value: 20880}}}}
    filterChains:
      filters:
        name: any
        typed_config: {{{filter}}}
  clusters: {{name: c, {cluster}}}
"
    )
}

const FILTER: &str = "'@type': type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy, \
                      stat_prefix: s, applicationProtocol: dubbo, codec: {name: aeraki.meta_protocol.codec.dubbo}, \
                      routeConfig: {routes: [{route: {cluster: c}}]}";

fn read(filter: &str, cluster: &str) -> Result<Bootstrap, String> {
    Bootstrap::from_yaml(&bootstrap(filter, cluster)).map_err(|error| error.to_string())
}

fn refused(filter: &str, cluster: &str) -> String {
    read(filter, cluster).expect_err("is refused")
}

/// Returns the one service of a listener.
fn service(listener: &Listener) -> &MetaProtocolProxy {
    let [chain] = listener.filter_chains.as_slice() else { panic!("one chain, not {listener:?}") };
    match &chain.filter {
        NetworkFilter::MetaProtocolProxy(service) => service,
        other => panic!("{other:?}"),
    }
}

const PROXY: &str = "static_resources.listeners[0].filterChains[0].filters[0].typed_config";

#[test]
fn both_spellings_and_lone_mappings_are_read() {
    let read = read(FILTER, "connect_timeout: 0.25s").expect("is valid");
    assert_eq!(read.warnings, []);
    let proxy = read.proxy;
    assert_eq!(proxy.admin.map(|address| address.to_string()).as_deref(), Some("[::1]:15000"));
    assert_eq!((proxy.node.id.as_str(), proxy.node.cluster.as_str()), ("me", "us"));
    assert_eq!(proxy.node.metadata["A"], serde_json::json!({"b": [1, true]}));
    let [listener] = proxy.listeners.as_slice() else { panic!("one listener, not {:?}", proxy.listeners) };
    let service = service(listener);
    assert_eq!(
        (service.protocol.name.as_str(), service.protocol.codec()),
        ("dubbo", "aeraki.meta_protocol.codec.dubbo")
    );
    assert!(matches!(&service.routes, RouteSource::Inline(routes) if routes.routes.len() == 1));
    assert_eq!(proxy.clusters[0].connect_timeout.as_millis(), 250);
}

#[test]
fn the_preferred_protocol_fields_win_over_the_deprecated_ones() {
    let filter = FILTER.replace("codec:", "protocol: {name: thrift, codec: {name: t}}, codec:");
    let listener = read(&filter, "type: STATIC").expect("is valid").proxy.listeners.remove(0);
    let protocol = &service(&listener).protocol;
    assert_eq!((protocol.name.as_str(), protocol.codec()), ("thrift", "t"));
}

#[test]
fn a_listener_wrapped_in_a_typed_struct_is_the_same() {
    let (_, fields) = FILTER.split_once(", ").expect("a type and fields");
    for wrapper in ["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"] {
        let wrapped = format!(
            "'@type': type.googleapis.com/{wrapper}, \
             type_url: type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy, value: {{{fields}}}"
        );
        let wrapped = read(&wrapped, "type: STATIC").expect("is valid");
        assert_eq!(wrapped, read(FILTER, "type: STATIC").expect("is valid"));
    }
}

#[test]
fn clusters_are_read_in_full() {
    let cluster = "type: STRICT_DNS, dns_refresh_rate: 2s, respect_dns_ttl: true, lb_policy: LEAST_REQUEST, \
                   least_request_lb_config: {choice_count: 3}, \
                   circuit_breakers: {thresholds: {max_connections: 7, max_pending_requests: 8, max_requests: 9}}, \
                   metadata: {filter_metadata: {aeraki: {depth: 9, concurrent: true}, other: {x: 1}}}, \
                   load_assignment: {cluster_name: c, endpoints: {lb_endpoints: [\
                   {endpoint: {address: {socket_address: {address: host, port_value: 1}}}, load_balancing_weight: 5, \
                   metadata: {filter_metadata: {envoy.lb: {version: v2, n: 1}}}}, \
                   {endpoint: {address: {socket_address: {address: sick, port_value: 1}}}, health_status: UNHEALTHY}]}}";
    let cluster = read(FILTER, cluster).expect("is valid").proxy.clusters.remove(0);
    assert!(matches!(cluster.discovery, Discovery::StrictDns(dns) if dns.refresh.as_secs() == 2 && dns.respect_ttl));
    assert_eq!(cluster.lb_policy, LbPolicy::LeastRequest(LeastRequest::default().with_choices(3)));
    let limits = cluster.limits.thresholds;
    assert_eq!((limits.max_connections, limits.max_pending_requests, limits.max_requests), (7, 8, Some(9)));
    assert_eq!((cluster.depth, cluster.concurrent), (Some(9), Some(true)));
    let [endpoint, sick] = cluster.endpoints.as_slice() else { panic!("{cluster:?}") };
    assert_eq!((&endpoint.address, endpoint.weight), (&Address::new("host", 1), 5));
    assert_eq!(endpoint.metadata, [("n", "1"), ("version", "v2")].map(|(k, v)| (k.into(), v.into())).into());
    assert_eq!((endpoint.health_status, sick.health_status), (HealthStatus::Healthy, HealthStatus::Unhealthy));
}

#[test]
fn detectors_of_outliers_may_be_off() {
    let off =
        "outlier_detection: {consecutive_5xx: 0, consecutive_gateway_failure: 0, consecutive_local_origin_failure: 0}";
    let read = read(FILTER, off).expect("is valid");
    let mut expected = OutlierDetection::default();
    expected.consecutive_errors.threshold = 0;
    expected.consecutive_gateway_failure.threshold = 0;
    expected.consecutive_local_origin_failure.threshold = 0;
    assert_eq!(read.proxy.clusters[0].outlier_detection, Some(expected));
}

#[test]
fn health_and_limits_are_read_in_full() {
    let detection = "outlier_detection: {consecutive_5xx: 1, interval: 2s, base_ejection_time: 3s, max_ejection_percent: 4, \
        enforcing_consecutive_5xx: 5, enforcing_success_rate: 6, success_rate_minimum_hosts: 7, \
        success_rate_request_volume: 8, success_rate_stdev_factor: 9, consecutive_gateway_failure: 10, \
        enforcing_consecutive_gateway_failure: 11, split_external_local_origin_errors: true, \
        consecutive_local_origin_failure: 13, enforcing_consecutive_local_origin_failure: 14, \
        enforcing_local_origin_success_rate: 15, failure_percentage_threshold: 16, enforcing_failure_percentage: 17, \
        enforcing_failure_percentage_local_origin: 18, failure_percentage_minimum_hosts: 19, \
        failure_percentage_request_volume: 20, max_ejection_time: 21s, max_ejection_time_jitter: 22s, \
        successful_active_health_check_uneject_host: false, always_eject_one_host: true}";
    let check = "health_checks: {timeout: 1s, interval: 2s, unhealthy_threshold: 3, healthy_threshold: 4, \
        initial_jitter: 5s, interval_jitter: 6s, interval_jitter_percent: 7, unhealthy_interval: 8s, \
        unhealthy_edge_interval: 9s, healthy_edge_interval: 10s, \
        tcp_health_check: {send: {text: '50696e67'}, receive: [{text: '50'}, {binary: b25n}]}}";
    let limits = "circuit_breakers: {thresholds: [{max_retries: 3}, {priority: HIGH, max_connections: 7, max_pending_requests: 8, max_requests: 9, max_retries: 10, track_remaining: true}]}, max_requests_per_connection: 4, \
        common_http_protocol_options: {idle_timeout: 0s, max_connection_duration: 5s, max_requests_per_connection: 6}, \
        preconnect_policy: {per_upstream_preconnect_ratio: 1.5}, \
        metadata: {filter_metadata: {aeraki: {error_statuses: [80, 100], spare_connections: 2}}}";
    let read = read(FILTER, &format!("{detection}, {check}, {limits}")).expect("is valid");
    assert_eq!(read.warnings, []);
    let cluster = &read.proxy.clusters[0];

    let seconds = Duration::from_secs;
    let mut expected = OutlierDetection::default();
    expected.consecutive_errors = Consecutive::new(1, 5);
    expected.consecutive_gateway_failure = Consecutive::new(10, 11);
    expected.consecutive_local_origin_failure = Consecutive::new(13, 14);
    expected.split_external_local_origin_errors = true;
    let rate = &mut expected.success_rate;
    (rate.minimum_hosts, rate.request_volume, rate.stdev_factor) = (7, 8, 9);
    (rate.enforcing, rate.enforcing_local_origin) = (6, 15);
    let share = &mut expected.failure_percentage;
    (share.threshold, share.minimum_hosts, share.request_volume) = (16, 19, 20);
    (share.enforcing, share.enforcing_local_origin) = (17, 18);
    (expected.interval, expected.base_ejection_time) = (seconds(2), seconds(3));
    (expected.max_ejection_time, expected.max_ejection_time_jitter) = (Some(seconds(21)), seconds(22));
    (expected.max_ejection_percent, expected.always_eject_one_host) = (4, true);
    expected.successful_active_health_check_uneject_host = false;
    expected.error_statuses = Some(vec![80, 100]);
    assert_eq!(cluster.outlier_detection, Some(expected));

    let kind = HealthCheckKind::Tcp { send: b"Ping".to_vec(), receive: vec![b"P".to_vec(), b"ong".to_vec()] };
    let mut expected = HealthCheck::new(kind, seconds(1), seconds(2)).with_thresholds(3, 4);
    (expected.initial_jitter, expected.interval_jitter) = (seconds(5), seconds(6));
    (expected.interval_jitter_percent, expected.unhealthy_interval) = (7, Some(seconds(8)));
    (expected.unhealthy_edge_interval, expected.healthy_edge_interval) = (Some(seconds(9)), Some(seconds(10)));
    assert_eq!(cluster.health_check, Some(expected));

    let limits = &cluster.limits;
    let high = Thresholds::default()
        .with_max_connections(7)
        .with_max_pending_requests(8)
        .with_max_requests(9)
        .with_max_retries(10)
        .with_track_remaining(true);
    assert_eq!((limits.thresholds, limits.high_thresholds), (Thresholds::default().with_max_retries(3), high));
    assert_eq!(limits.max_requests_per_connection, Some(4));
    let ratio = Decimal::new(1.5).expect("positive");
    let preconnect = Preconnect::default().with_per_upstream_ratio(ratio).with_spare_connections(2);
    assert_eq!(cluster.preconnect, preconnect);
    assert_eq!((limits.max_connection_duration, cluster.idle_timeout), (Some(seconds(5)), None));
}

#[test]
fn a_check_may_be_a_sign_of_life_and_what_is_wrong_with_one_is_named() {
    let check = |fields: &str| {
        format!(
            "health_checks: [{{timeout: 1s, interval: 2s, unhealthy_threshold: 3, healthy_threshold: 4, {fields}}}]"
        )
    };
    let read = read(FILTER, &check("custom_health_check: {name: aeraki.health_checkers.dubbo}")).expect("is valid");
    assert_eq!(read.warnings, []);
    let heartbeat = HealthCheckKind::Heartbeat { protocol: "dubbo".to_owned() };
    assert_eq!(read.proxy.clusters[0].health_check.as_ref().map(|check| &check.kind), Some(&heartbeat));
    for (fields, expected) in [
        (
            "custom_health_check: {name: envoy.health_checkers.redis}",
            ".custom_health_check.name: \"envoy.health_checkers.redis\" is unknown",
        ),
        ("tcp_health_check: {send: {text: '5'}}", ".tcp_health_check.send.text: \"5\" is not hexadecimal"),
        ("tcp_health_check: {receive: [{}]}", ".tcp_health_check.receive[0]: must hold text or binary"),
        ("http_health_check: {path: /}", ": must hold tcp_health_check or custom_health_check"),
    ] {
        let text = refused(FILTER, &check(fields));
        assert!(text.starts_with(&format!("cluster \"c\": health_checks[0]{expected}")), "{text}");
    }
    for (fields, expected) in [
        ("health_checks: [{interval: 1s}]", "health_checks[0].timeout: is required"),
        ("health_checks: [{}, {}]", "health_checks: must not hold more than one check"),
        (
            "outlier_detection: {max_ejection_percent: 101}",
            "outlier_detection.max_ejection_percent: must not be above 100",
        ),
        (
            "circuit_breakers: {thresholds: [{priority: HIGH}, {max_retries: 1}, {priority: HIGH, max_retries: 2}]}",
            "circuit_breakers.thresholds[2].priority: is that of other thresholds of this cluster",
        ),
        (
            "circuit_breakers: {thresholds: {priority: HIGH, max_retries: 0}}",
            "circuit_breakers.thresholds[HIGH].max_retries: must not be zero",
        ),
        (
            "preconnect_policy: {per_upstream_preconnect_ratio: 3.5}",
            "preconnect_policy.per_upstream_preconnect_ratio: must lie between 1 and 3",
        ),
        (
            "metadata: {filter_metadata: {aeraki: {spare_connections: 17}}}",
            "metadata.filter_metadata.aeraki.spare_connections: must not exceed 16",
        ),
        ("outlier_detection: {interval: 0s}", "outlier_detection.interval: must not be zero"),
        ("outlier_detection: {max_ejection_time: 1s}", "outlier_detection.max_ejection_time: must not be below"),
        ("connect_timeout: 0s", "connect_timeout: must not be zero"),
        ("type: STRICT_DNS, dns_refresh_rate: 0s", "dns_refresh_rate: must not be zero"),
        (
            "lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 0}",
            "ring_hash_lb_config.minimum_ring_size: must not be zero",
        ),
        (
            "metadata: {filter_metadata: {aeraki: {error_statuses: [1]}}}",
            "metadata.filter_metadata.aeraki.error_statuses: has no outlier_detection to apply to",
        ),
    ] {
        let text = refused(FILTER, fields);
        assert!(text.starts_with(&format!("cluster \"c\": {expected}")), "{text}");
    }
}

#[test]
fn the_zone_of_the_proxy_is_read_and_its_own_cluster_must_be_there() {
    let bootstrap = |local: &str| {
        format!(
            "node: {{id: one, cluster: proxies, locality: {{region: r, zone: z, subZone: s}}}}\n\
             cluster_manager: {{local_cluster_name: {local}}}\n\
             static_resources: {{clusters: [{{name: own, common_lb_config: {{zone_aware_lb_config: \
             {{routing_enabled: {{value: 70}}, min_cluster_size: 2, fail_traffic_on_panic: true}}}}}}]}}"
        )
    };
    let read = Bootstrap::from_yaml(&bootstrap("own")).expect("is valid");
    assert_eq!(read.warnings, []);
    assert_eq!(read.proxy.local_cluster.as_deref(), Some("own"));
    assert_eq!(read.proxy.node.locality, Locality::new("r", "z", "s"));
    let expected = ZoneAware::default()
        .with_routing_enabled(Decimal::from(70))
        .with_min_cluster_size(2)
        .with_fail_traffic_on_panic(true);
    assert_eq!(read.proxy.clusters[0].common_lb.zone_aware, expected);
    let refused = Bootstrap::from_yaml(&bootstrap("other")).expect_err("is refused").to_string();
    assert_eq!(refused, "proxy: cluster_manager.local_cluster_name: there is no cluster \"other\"");
    let hashed = bootstrap("own").replace("{name: own,", "{name: own, lb_policy: MAGLEV,");
    let refused = Bootstrap::from_yaml(&hashed).expect_err("is refused").to_string();
    assert_eq!(
        refused,
        "cluster \"own\": common_lb_config.zone_aware_lb_config: has no effect under policies with hashes"
    );
}

#[test]
fn every_way_of_balancing_has_an_effect() {
    let endpoints = "load_assignment: {cluster_name: c, policy: {overprovisioning_factor: 150}, endpoints: [\
                     {priority: 1, load_balancing_weight: 3, locality: {region: r, zone: z, sub_zone: s}, lb_endpoints: [\
                     {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}, \
                     health_status: DEGRADED}]}]}";
    let common = "common_lb_config: {healthy_panic_threshold: {value: 30}, locality_weighted_lb_config: {}}";
    for policy in [
        "lb_policy: ROUND_ROBIN, round_robin_lb_config: {slow_start_config: {slow_start_window: 30s, \
         aggression: {default_value: 2}, min_weight_percent: {value: 5}}}",
        "lb_policy: LEAST_REQUEST, least_request_lb_config: {choice_count: 3, \
         active_request_bias: {default_value: 0.5}, slow_start_config: {slow_start_window: 30s}}",
        "lb_policy: RING_HASH, \
         ring_hash_lb_config: {minimum_ring_size: 12, maximum_ring_size: 99, hash_function: MURMUR_HASH_2}",
        "lb_policy: MAGLEV, maglev_lb_config: {table_size: 7}",
        "lb_policy: RANDOM, lb_subset_config: {fallback_policy: DEFAULT_SUBSET, default_subset: {stage: prod, shard: 1}, \
         locality_weight_aware: true, subset_selectors: [{keys: [stage, shard], fallback_policy: ANY_ENDPOINT}]}",
        "metadata: {filter_metadata: {aeraki: {peak_ewma_decay: 5}}}",
    ] {
        let read = read(FILTER, &format!("{policy}, {common}, {endpoints}")).expect("is valid");
        assert_eq!(read.warnings, [], "{policy}");
        let cluster = &read.proxy.clusters[0];
        assert_eq!(cluster.common_lb.overprovisioning_factor, 150);
        let [endpoint] = cluster.endpoints.as_slice() else { panic!("{cluster:?}") };
        let locality = Locality::new("r", "z", "s");
        assert_eq!((endpoint.priority, endpoint.locality_weight, &endpoint.locality), (1, Some(3), &locality));
    }
    let bounded = "lb_policy: MAGLEV, common_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 120}}";
    let read = read(FILTER, bounded).expect("is valid");
    assert_eq!(read.warnings, []);
    let policy = LbPolicy::Maglev(Maglev::default().with_balance_factor(120));
    assert_eq!(read.proxy.clusters[0].lb_policy, policy);
}

#[test]
fn what_has_no_effect_is_named_once_and_what_is_not_enforced_is_named_so() {
    let filter = FILTER.replace(
        "codec:",
        "tracing: {verbose: true}, metaProtocolFilters: [{name: aeraki.meta_protocol.filters.istio_stats}, \
         {name: aeraki.meta_protocol.filters.router}], codec:",
    );
    let warnings =
        read(&filter, "type: STATIC, common_lb_config: {update_merge_window: 1s}").expect("is valid").warnings;
    let texts: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "static_resources.clusters[0].common_lb_config.update_merge_window: accepted, but has no effect",
            &format!("{PROXY}.tracing: accepted, but has no effect"),
            r#"listener "in": filter aeraki.meta_protocol.filters.istio_stats: NOT ENFORCED"#,
        ]
    );
}

#[test]
fn what_has_no_effect_in_a_transport_socket_is_named_too() {
    let cluster = "type: STATIC, http2_protocol_options: {connection_keepalive: {interval: 1s}}, transport_socket: {name: \
                   envoy.transport_sockets.tls, typed_config: {'@type': \
                   type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: \
                   {key_log: {path: /keys}, validation_context: {trusted_ca: {filename: /ca.pem}}}}}";
    let warnings = read(FILTER, cluster).expect("is valid").warnings;
    let mut texts: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    texts.sort_unstable();
    let expected =
        ["http2_protocol_options.connection_keepalive", "transport_socket.typed_config.common_tls_context.key_log"];
    assert_eq!(
        texts,
        expected.map(|field| format!("static_resources.clusters[0].{field}: accepted, but has no effect"))
    );
}

#[test]
fn filters_of_an_embedder_are_handed_on() {
    let filter = FILTER.replace(
        "codec:",
        "metaProtocolFilters: {name: acme.audit, config: {'@type': x/google.protobuf.StringValue, value: all}}, codec:",
    );
    let text = bootstrap(&filter, "type: STATIC");
    Bootstrap::from_yaml(&text).expect_err("is unknown");
    let read = Bootstrap::from_yaml_with(&text, &KnownFilters::new(["acme.audit"])).expect("is known");
    let filters = &service(&read.proxy.listeners[0]).filters;
    let expected = Filter::new("acme.audit", FilterConfig::Custom(b"\x0a\x03all".to_vec()));
    assert_eq!(filters.as_slice(), [expected.with_type_url("x/google.protobuf.StringValue")]);
}

#[test]
fn refusals_name_the_path_and_the_reason() {
    let with = |addition: &str| FILTER.replace("codec:", &format!("{addition}, codec:"));
    let proxy = "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy";
    let cases = [
        (refused(&with("routConfig: {}"), "type: STATIC"), format!("{PROXY}.routConfig: {proxy} has no such field")),
        (refused(FILTER, "connect_timeout: soon"), "static_resources.clusters[0].connect_timeout: ".to_owned()),
        (refused(FILTER, "type: FAST"), "static_resources.clusters[0].type: ".to_owned()),
        (refused(&with("tracing: {verbose: 3}"), "type: STATIC"), format!("{PROXY}.tracing.verbose: ")),
        (
            refused(&with("rds: {}"), "type: STATIC"),
            format!("{PROXY}.routeConfig: excludes \"rds\", which is given too"),
        ),
        (
            refused(&with("metaProtocolFilters: {name: f, config: {'@type': x/unknown.Type}}"), "type: STATIC"),
            format!("{PROXY}.metaProtocolFilters[0].config: the type \"x/unknown.Type\" is unknown"),
        ),
        (
            refused(&with("metaProtocolFilters: {name: f}"), "type: STATIC"),
            "listener \"in\": filter_chains[0].filters[0] \"any\".typed_config.meta_protocol_filters[0].name: \
             there is no filter \"f\""
                .to_owned(),
        ),
        (
            refused(FILTER, "metadata: {filter_metadata: {aeraki: {depth: 1.5}}}"),
            "cluster \"c\": metadata.filter_metadata.aeraki.depth: must be a whole number".to_owned(),
        ),
        (
            refused(FILTER, "metadata: {filter_metadata: {aeraki: {deep: 1}}}"),
            "cluster \"c\": metadata.filter_metadata.aeraki.deep: is unknown".to_owned(),
        ),
        (
            refused(FILTER, "lb_policy: CLUSTER_PROVIDED"),
            "cluster \"c\": lb_policy: CLUSTER_PROVIDED is not supported".to_owned(),
        ),
        (
            refused(FILTER, "transport_socket: {name: envoy.transport_sockets.tls}"),
            "cluster \"c\": transport_socket.typed_config: is required".to_owned(),
        ),
        (
            refused(&FILTER.replace("cluster: c", "cluster: d"), "type: STATIC"),
            "listener \"in\": filter_chains[0].filters.typed_config.route_config.routes[0].route: there is no cluster \"d\""
                .to_owned(),
        ),
        (
            refused(
                &with("metaProtocolFilters: [{name: aeraki.meta_protocol.filters.router}, \
                       {name: aeraki.meta_protocol.filters.request_id}]"),
                "type: STATIC",
            ),
            "listener \"in\": filter_chains[0].filters.typed_config.meta_protocol_filters[1] \
             \"aeraki.meta_protocol.filters.request_id\": stands behind the router, which ends the list"
                .to_owned(),
        ),
    ];
    for (text, expected) in cases {
        assert!(text.starts_with(&expected), "{text:?} should start with {expected:?}");
    }
}

#[test]
fn values_of_another_type_are_told_what_is_wanted() {
    for (cluster, expected) in [
        (
            "connect_timeout: 100ms",
            "connect_timeout: must be a number of seconds with an s, such as 5s or 0.1s, not \"100ms\"",
        ),
        ("connect_timeout: 5", "connect_timeout: must be a number of seconds with an s, such as 5s or 0.1s, not 5"),
        (
            "circuit_breakers: {thresholds: {max_retries: -1}}",
            "circuit_breakers.thresholds.max_retries: must be a whole number from 0 to 4294967295, not -1",
        ),
        ("respect_dns_ttl: yes please", "respect_dns_ttl: must be true or false, not \"yes please\""),
        ("lb_policy: FASTEST", "lb_policy: must be one of ROUND_ROBIN, LEAST_REQUEST, RING_HASH, RANDOM, "),
        (
            "load_assignment: {endpoints: {lb_endpoints: {load_balancing_weight: heavy}}}",
            "load_assignment.endpoints[0].lb_endpoints[0].load_balancing_weight: \
             must be a whole number from 0 to 4294967295, not \"heavy\"",
        ),
        (
            "lb_subset_config: {subset_selectors: {keys: [a, 7]}}",
            "lb_subset_config.subset_selectors[0].keys[1]: must be a text, not 7",
        ),
        ("metadata: {filter_metadata: {a: b}}", "metadata.filter_metadata.a: must be a mapping, not \"b\""),
    ] {
        let text = refused(FILTER, cluster);
        let text = text.strip_prefix("static_resources.clusters[0].").unwrap_or(&text).to_owned();
        let text = text.replace("thresholds[0]", "thresholds");
        assert!(text.starts_with(expected), "{text:?} should start with {expected:?}");
        assert!(text.len() < 300 && !text.contains("line"), "{text}");
    }
}

#[test]
fn what_is_hardly_meant_so_is_named() {
    let policies = "metaProtocolFilters: {name: aeraki.meta_protocol.filters.authorization, config: {'@type': \
        type.googleapis.com/aeraki.meta_protocol_proxy.filters.authorization.v1alpha.Authorization, \
        policies: [{name: p}, {name: q}, {name: p}]}}, codec:";
    let filter = FILTER.replace("codec:", policies);
    let filter = filter.replace(
        "[{route: {cluster: c}}]",
        "[{name: a, route: {cluster: c}}, {route: {cluster: c}}, \
        {route: {cluster: c}}, {name: a, route: {cluster: c}}]",
    );
    let admin = "{address: {socket_address: {address: '::1', port_value: 15000}}}";
    let text = bootstrap(&filter, "type: STATIC").replace(admin, "{}");
    let read = Bootstrap::from_yaml(&text).expect("is valid");
    assert_eq!(
        read.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "admin: has no address: there is no admin interface",
            "listener \"in\": filter_chains[0].filters.typed_config.route_config.routes[3] \"a\".name: \
             is the name of routes[0] too: records cannot tell them apart",
            "listener \"in\": filter_chains[0].filters.typed_config.meta_protocol_filters[0] \
             \"aeraki.meta_protocol.filters.authorization\".config.policies[2] \"p\".name: \
             is the name of policies[0] too: records cannot tell them apart",
        ]
    );
}

#[test]
fn bad_yaml_is_refused_with_line_and_column() {
    let error = Bootstrap::from_yaml("node: {id: a\nadmin: [").expect_err("is no YAML").to_string();
    assert!(error.starts_with("line 2, column "), "{error}");
    let error = Bootstrap::from_yaml("node: {id: a}\nnode: {id: b}").expect_err("is given twice").to_string();
    assert_eq!(error, "line 2, column 1: duplicate mapping key `node` is not allowed here");
    for text in ["", "[]", "3", "node: 3", "static_resources: []"] {
        Bootstrap::from_yaml(text).expect_err("is no bootstrap");
    }
    assert_eq!(Bootstrap::from_yaml("[]").expect_err("is a list").to_string(), "document: must be a mapping");
    let deep = format!("node: {{metadata: {}}}", "{a: ".repeat(10_000) + "1" + &"}".repeat(10_000));
    Bootstrap::from_yaml(&deep).expect_err("is too deep");
    let dynamic = Bootstrap::from_yaml("dynamic_resources: {lds_config: {ads: {}}}").expect_err("is not served");
    assert_eq!(dynamic.to_string(), "dynamic_resources: is not supported: listeners and clusters must be static");
}

#[test]
fn upstream_test_configurations_load_unmodified() {
    let Some(folder) = fixtures("meta-protocol-proxy") else { return };
    let files = [
        ("brpc/test.yaml", 0),
        ("dubbo/test.yaml", 1),
        ("global-ratelimit/test.yaml", 0),
        ("local-ratelimit/test-full-match-condition.yaml", 0),
        ("local-ratelimit/test-no-global-bucket-no-matched-condition.yaml", 0),
        ("local-ratelimit/test-only-global-token.yaml", 0),
        ("rds/test.yaml", 0),
        ("thrift/test.yaml", 0),
    ];
    for (file, unenforced) in files {
        let text = std::fs::read_to_string(folder.join(file)).expect("the fixture is there");
        let read = Bootstrap::from_yaml(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let named = read.warnings.iter().filter(|warning| matches!(warning, Warning::NotEnforced { .. })).count();
        assert_eq!((read.proxy.listeners.len(), named), (1, unenforced), "{file}: {:?}", read.warnings);
    }
}

proptest! {
    /// Whatever is typed into a bootstrap, the answer is a configuration or a refusal.
    #[test]
    fn damaged_bootstraps_do_no_harm(damage in prop::collection::vec((any::<prop::sample::Index>(), "[ -~\n]{0,3}"), 1..6)) {
        let mut text = bootstrap(FILTER, "type: STATIC");
        for (index, typed) in damage {
            let at = index.index(text.len());
            text.replace_range(at..=at, &typed);
        }
        drop(Bootstrap::from_yaml(&text));
    }
}

#[test]
fn the_connections_of_all_listeners_are_bounded_by_a_monitor_and_other_monitors_are_refused() {
    let read = |name: &str, most: i64| {
        let url = "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.\
                   DownstreamConnectionsConfig";
        let config = format!("{{'@type': {url}, max_active_downstream_connections: {most}}}");
        let monitor = format!("overload_manager: {{resource_monitors: {{name: {name}, typed_config: {config}}}}}");
        let read = Bootstrap::from_yaml(&monitor).map_err(|error| error.to_string())?;
        assert_eq!(read.warnings, []);
        Ok::<_, String>(read.proxy.max_connections)
    };
    let name = "envoy.resource_monitors.global_downstream_max_connections";
    assert_eq!(read(name, 1000), Ok(Some(1000)));
    let field =
        format!("overload_manager: resource_monitors[0] {name:?}.typed_config.max_active_downstream_connections");
    assert_eq!(read(name, 0), Err(format!("{field}: must be from 1 to 4294967295")));
    let other = read("envoy.resource_monitors.fixed_heap", 1).expect_err("is not known");
    assert!(other.ends_with(&format!("is not supported: use {name}")), "{other}");
}

#[test]
fn secrets_that_are_to_come_by_sds_are_refused_by_name() {
    let socket = |kind: &str, fields: &str| {
        let context = format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}");
        format!(
            "transport_socket: {{name: envoy.transport_sockets.tls, typed_config: {{'@type': {context}, {fields}}}}}"
        )
    };
    let listener = |fields: &str| {
        let chain = format!("filterChains:\n      {}\n", socket("DownstreamTlsContext", fields));
        let text = bootstrap(FILTER, "").replace("filterChains:\n", &chain);
        Bootstrap::from_yaml(&text).expect_err("is refused").to_string()
    };
    let own = "tls_certificates: [{certificate_chain: {filename: /c.pem}, private_key: {filename: /k.pem}}]";
    let sds = "sds_config: {api_config_source: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: sds}}]}}";
    let reason =
        |name| format!("the secret {name:?} is to come by SDS, which is not supported: name files or write it inline");
    for (field, named, fields) in [
        (
            "tls_certificate_sds_secret_configs",
            "default",
            format!("tls_certificate_sds_secret_configs: [{{name: default, {sds}}}]"),
        ),
        (
            "validation_context_sds_secret_config",
            "ROOTCA",
            format!("{own}, validation_context_sds_secret_config: {{name: ROOTCA, {sds}}}"),
        ),
        (
            "combined_validation_context",
            "ROOTCA",
            format!(
                "{own}, combined_validation_context: {{default_validation_context: {{}}, \
                 validation_context_sds_secret_config: {{name: ROOTCA, {sds}}}}}"
            ),
        ),
    ] {
        let fields = format!("common_tls_context: {{{fields}}}");
        let expected = format!("transport_socket.typed_config.common_tls_context.{field}: {}", reason(named));
        assert_eq!(listener(&fields), format!("listener \"in\": filter_chains[0].{expected}"));
        assert_eq!(refused(FILTER, &socket("UpstreamTlsContext", &fields)), format!("cluster \"c\": {expected}"));
    }
    let tickets =
        format!("common_tls_context: {{{own}}}, session_ticket_keys_sds_secret_config: {{name: tickets, {sds}}}");
    let place = "listener \"in\": filter_chains[0].transport_socket.typed_config";
    assert_eq!(listener(&tickets), format!("{place}.session_ticket_keys_sds_secret_config: is not supported"));
}
