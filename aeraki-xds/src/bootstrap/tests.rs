use aeraki_route::config::{Address, Discovery, Filter, FilterConfig, LbPolicy, RouteSource};
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
    assert_eq!(
        (listener.protocol.name.as_str(), listener.protocol.codec()),
        ("dubbo", "aeraki.meta_protocol.codec.dubbo")
    );
    assert!(matches!(&listener.routes, RouteSource::Inline(routes) if routes.routes.len() == 1));
    assert_eq!(proxy.clusters[0].connect_timeout.as_millis(), 250);
}

#[test]
fn the_preferred_protocol_fields_win_over_the_deprecated_ones() {
    let filter = FILTER.replace("codec:", "protocol: {name: thrift, codec: {name: t}}, codec:");
    let listener = read(&filter, "type: STATIC").expect("is valid").proxy.listeners.remove(0);
    assert_eq!((listener.protocol.name.as_str(), listener.protocol.codec()), ("thrift", "t"));
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
    assert_eq!(cluster.lb_policy, LbPolicy::LeastRequest { choices: 3 });
    let limits = cluster.limits;
    assert_eq!((limits.max_connections, limits.max_pending_requests, limits.max_requests), (7, 8, Some(9)));
    assert_eq!((cluster.depth, cluster.concurrent), (Some(9), Some(true)));
    let [endpoint] = cluster.endpoints.as_slice() else { panic!("the sick one is left out: {cluster:?}") };
    assert_eq!((&endpoint.address, endpoint.weight), (&Address::new("host", 1), 5));
    assert_eq!(endpoint.metadata.iter().collect::<Vec<_>>(), [(&"version".to_owned(), &"v2".to_owned())]);
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
            "static_resources.clusters[0].common_lb_config: accepted, but has no effect",
            &format!("{PROXY}.tracing: accepted, but has no effect"),
            r#"listener "in": filter aeraki.meta_protocol.filters.istio_stats: NOT ENFORCED"#,
        ]
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
    let filters = &read.proxy.listeners[0].filters;
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
        (refused(FILTER, "lb_policy: MAGLEV"), "cluster \"c\": lb_policy: MAGLEV is not supported".to_owned()),
        (
            refused(FILTER, "transport_socket: {name: envoy.transport_sockets.tls}"),
            "cluster \"c\": transport_socket.typed_config: is required".to_owned(),
        ),
        (
            refused(&FILTER.replace("cluster: c", "cluster: d"), "type: STATIC"),
            "listener \"in\": routes.inline.routes[0].action: there is no cluster \"d\"".to_owned(),
        ),
    ];
    for (text, expected) in cases {
        assert!(text.starts_with(&expected), "{text:?} should start with {expected:?}");
    }
}

#[test]
fn bad_yaml_is_refused_with_line_and_column() {
    let error = Bootstrap::from_yaml("node: {id: a\nadmin: [").expect_err("is no YAML").to_string();
    assert!(error.contains("line 2"), "{error}");
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
fn every_documented_part_of_tls_is_read_and_has_an_effect() {
    const TEXT: &str = include_str!("../../../docs/tls.md");
    let blocks: Vec<&str> = TEXT.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let Bootstrap { proxy, warnings } =
            Bootstrap::from_yaml(block).unwrap_or_else(|error| panic!("{error}\n{block}"));
        assert_eq!(warnings, [], "{block}");
        let (listener, cluster) = (proxy.listeners.first(), &proxy.clusters[0]);
        let secured = listener.is_some_and(|listener| listener.tls.is_some() || listener.proxy_protocol.is_some());
        assert!(secured || cluster.tls.is_some(), "nothing is read of it\n{block}");
    }
}
