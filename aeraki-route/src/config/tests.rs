use std::{net::SocketAddr, path::Path, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, from_value, json, to_value};

use super::*;

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn routes() -> RouteConfig {
    let action = RouteAction::weighted([("v1", 80), ("v2", 20)])
        .with_hash_key("user")
        .with_mirror(Mirror::new("shadow", FractionalPercent::new(5, Denominator::Million)))
        .with_timeout(Duration::from_millis(250));
    let route = Route::new("split", action)
        .with_match(AttributeMatch::exact("method", "sayHello"))
        .with_match(AttributeMatch::prefix("interface", "org.").with_ignore_case(true))
        .with_request_mutation(MutationEntry::set("x-env", "test"))
        .with_response_mutation(MutationEntry::remove("x-secret"));
    RouteConfig::new("dubbo_20880", [route])
}

fn proxy() -> Proxy {
    let dubbo = MetaProtocolProxy::new("dubbo", ProtocolConfig::new("dubbo"), RouteSource::Inline(routes()));
    let dynamic = RouteSource::dynamic("thrift_9090", "aeraki-xds");
    ["v1", "v2", "shadow", "aeraki-xds"].into_iter().fold(
        Proxy::new(Node::new("sidecar~10.0.0.1~a.b~c", "a").with_metadata("CLUSTER_ID", "k8s"))
            .with_admin(local(0))
            .with_listener(Listener::of("dubbo", local(20880), dubbo.with_idle_timeout(Duration::from_secs(60))))
            .with_listener(Listener::new("thrift", local(9090), ProtocolConfig::new("thrift"), dynamic)),
        |proxy, name| proxy.with_cluster(Cluster::new(name).with_endpoint(local(1))),
    )
}

/// Returns the service of the listener `dubbo`.
fn dubbo(proxy: &mut Proxy) -> &mut MetaProtocolProxy {
    match &mut proxy.listeners[0].filter_chains[0].filter {
        NetworkFilter::MetaProtocolProxy(service) => service,
        NetworkFilter::TcpProxy(service) => panic!("{service:?}"),
    }
}

fn assert_round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> Value {
    let json = to_value(value).expect("plain data serialises");
    assert_eq!(*value, from_value(json.clone()).expect("what was written is read"));
    json
}

fn refusal(validated: Result<(), ConfigError>) -> String {
    validated.expect_err("the configuration is wrong").to_string()
}

fn route_refusal(change: impl FnOnce(&mut Route)) -> String {
    let mut config = routes();
    change(&mut config.routes[0]);
    refusal(config.validate())
}

fn proxy_refusal(change: impl FnOnce(&mut Proxy)) -> String {
    let mut config = proxy();
    change(&mut config);
    refusal(config.validate())
}

#[test]
fn a_valid_proxy_is_accepted_and_survives_serde() {
    let proxy = proxy();
    assert_eq!(proxy.validate(), Ok(()));
    assert_round_trip(&proxy);
}

#[test]
fn routes_are_written_in_camel_case() {
    let json = assert_round_trip(&routes());
    let route = &json["routes"][0];
    assert_eq!(
        route["matches"][1],
        json!({"key": "interface", "value": {"prefix": "org."}, "ignoreCase": true, "invert": false,
            "treatMissingAsEmpty": false}),
    );
    assert_eq!(route["requestMutation"], json!([{"set": {"key": "x-env", "value": {"text": "test"}}}]));
    assert_eq!(route["action"]["timeout"], "0.25s");
    assert_eq!(
        route["action"]["mirrors"],
        json!([{"cluster": "shadow", "fraction": {"numerator": 5, "denominator": "MILLION"}, "timeout": "15s",
            "maxActive": 1024, "compare": false}]),
    );
}

#[test]
fn left_out_fields_take_their_documented_defaults() {
    let cluster: Cluster = from_value(json!({"name": "a", "endpoints": [{"address": "[::1]:80"}]})).expect("reads");
    assert_eq!(cluster, Cluster::new("a").with_endpoint(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 80))));
    assert_eq!(cluster.connect_timeout, Duration::from_secs(5));
    let mirror: Mirror = from_value(json!({"cluster": "a"})).expect("reads");
    assert_eq!(mirror.fraction, FractionalPercent::ALWAYS);
    let streams = |json| from_value::<StreamTimeouts>(json).expect("reads");
    assert_eq!(streams(json!({})).idle_limit(), Some(Duration::from_secs(300)));
    assert_eq!(streams(json!({"idle": "0s", "total": "60s"})).idle_limit(), None);
    assert_eq!(streams(json!({"idle": "0s"})).or(streams(json!({"idle": "1s"}))).idle_limit(), None);
    let limits = |json| from_value::<ListenerLimits>(json).expect("reads").unfinished_frame_timeout;
    assert_eq!(limits(json!({})), Some(Duration::from_secs(60)));
    assert_eq!(limits(json!({"unfinishedFrameTimeout": "1.5s"})), Some(Duration::from_millis(1500)));
    assert_eq!(limits(json!({"unfinishedFrameTimeout": null})), None);
    let unknown = from_value::<Cluster>(json!({"name": "a", "conectTimeout": "1s"})).expect_err("is refused");
    assert!(unknown.to_string().contains("unknown field `conectTimeout`"), "{unknown}");
}

#[test]
fn addresses_and_durations_are_parsed_strictly() {
    let read = |text: &str| text.parse::<Address>().map(|address| address.to_string());
    for text in ["127.0.0.1:80", "[::1]:80", "svc.ns:20880", "/run/a.sock", "./a.sock", "@name", "/80:80"] {
        assert_eq!(read(text).as_deref(), Ok(text));
    }
    for text in ["", "host", ":80", "host:", "host:65536", "::1", "[x]:80"] {
        assert!(read(text).is_err(), "{text:?}");
    }
    assert_eq!(Address::new("127.0.0.1", 80), local(80).into());
    assert_eq!("/run/a.sock".parse(), Ok(Address::from(Pipe::new("/run/a.sock"))));
    let address = |text: &str| text.parse::<SocketAddress>().map(|address| address.to_string());
    assert_eq!(["[::1]:80", "@name"].map(|text| address(text).is_ok_and(|written| written == text)), [true; 2]);
    assert!(address("host:80").is_err(), "a name is no address yet");
    for text in ["5", "5m", "-1s", "NaNs", "1e300s", "s"] {
        assert!(from_value::<Dns>(json!({"refresh": text})).is_err(), "{text:?}");
    }
}

#[test]
fn a_fraction_holds_exactly_its_share_of_the_draws() {
    let share = |fraction: FractionalPercent, draws: u64| (0..draws).filter(|&draw| fraction.contains(draw)).count();
    assert_eq!(share(FractionalPercent::new(0, Denominator::Hundred), 1000), 0);
    assert_eq!(share(FractionalPercent::new(30, Denominator::Hundred), 1000), 300);
    assert_eq!(share(FractionalPercent::new(1, Denominator::TenThousand), 20_000), 2);
    assert_eq!(share(FractionalPercent::new(200, Denominator::Hundred), 1000), 1000);
}

#[test]
fn route_refusals_name_configuration_route_field_and_reason() {
    let route = r#"route configuration "dubbo_20880": routes[0] "split""#;
    let cases = [
        (
            route_refusal(|route| route.action.destination = Destination::Weighted(vec![])),
            "action.destination.weighted: the weights sum up to 0",
        ),
        (
            route_refusal(|route| {
                let weights = ["a", "b"].map(|name| WeightedCluster::new(name, u32::MAX));
                route.action.destination = Destination::Weighted(weights.into());
            }),
            "action.destination.weighted: the weights sum up to more than 4294967295",
        ),
        (route_refusal(|route| route.action = RouteAction::default()), "action.destination.cluster: must not be empty"),
        (route_refusal(|route| route.action.timeout = Some(Duration::ZERO)), "action.timeout: must not be zero"),
        (
            route_refusal(|route| route.action.hash_policy = vec![HashPolicy::source_ip(); 101]),
            "action.hashPolicy: must not hold more than 100 parts",
        ),
        (route_refusal(|route| route.matches[1].key.clear()), r#"matches[1] (key "").key: must not be empty"#),
        (
            route_refusal(|route| {
                route.matches[0] = AttributeMatch::regex("method", "a").with_ignore_case(true);
            }),
            r#"matches[0] (key "method").ignoreCase: applies only to exact, prefix, suffix and contains"#,
        ),
        (
            route_refusal(|route| route.request_mutation.push(MutationEntry::remove(""))),
            "requestMutation[1].key: must have 1 to 16384 bytes",
        ),
        (
            route_refusal(|route| {
                route.response_mutation = vec![MutationEntry::set("k", "v".repeat(16_385))];
            }),
            "responseMutation[0].value: must not exceed 16384 bytes",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(text, format!("{route}.{expected}"));
    }
    let empty = refusal(RouteConfig::new("r", []).validate());
    assert_eq!(empty, r#"route configuration "r": routes: must hold at least one route"#);
}

#[test]
fn proxy_refusals_name_object_field_and_reason() {
    let cases = [
        (proxy_refusal(|proxy| proxy.listeners[1].name = "dubbo".into()), r#"listener "dubbo": name: is there twice"#),
        (proxy_refusal(|proxy| proxy.clusters[1].name = "v1".into()), r#"cluster "v1": name: is there twice"#),
        (
            proxy_refusal(|proxy| proxy.listeners[1].address = local(20880).into()),
            r#"listener "thrift": address: 127.0.0.1:20880 is taken by listener "dubbo""#,
        ),
        (
            proxy_refusal(|proxy| drop(proxy.clusters.remove(2))),
            r#"listener "dubbo": filterChains[0].filter.metaProtocolProxy.routes.inline.routes[0] "split".action: there is no cluster "shadow""#,
        ),
        (
            proxy_refusal(|proxy| drop(proxy.clusters.pop())),
            r#"listener "thrift": filterChains[0].filter.metaProtocolProxy.routes.dynamic.origin.cluster: there is no cluster "aeraki-xds""#,
        ),
        (
            proxy_refusal(|proxy| {
                let in_file = RouteSubscription::in_file("thrift_9090", "/etc/routes.yaml");
                dubbo(proxy).routes = RouteSource::Dynamic(in_file);
            }),
            r#"listener "thrift": filterChains[0].filter.metaProtocolProxy.routes.dynamic.origin: listener "dubbo" takes the table "thrift_9090" from elsewhere; tables are told apart by name"#,
        ),
        (
            proxy_refusal(|proxy| dubbo(proxy).limits.max_requests_in_flight = 0),
            r#"listener "dubbo": filterChains[0].filter.metaProtocolProxy.limits.maxRequestsInFlight: must not be zero"#,
        ),
        (
            proxy_refusal(|proxy| dubbo(proxy).limits.max_stream_bytes = 0),
            r#"listener "dubbo": filterChains[0].filter.metaProtocolProxy.limits.maxStreamBytes: must not be zero"#,
        ),
        (
            proxy_refusal(|proxy| dubbo(proxy).streams.idle = Some(Duration::MAX)),
            r#"listener "dubbo": filterChains[0].filter.metaProtocolProxy.streams.idle: must not be longer than 365 days"#,
        ),
        (
            proxy_refusal(|proxy| dubbo(proxy).limits.unfinished_frame_timeout = Some(Duration::ZERO)),
            r#"listener "dubbo": filterChains[0].filter.metaProtocolProxy.limits.unfinishedFrameTimeout: must not be zero"#,
        ),
        (
            proxy_refusal(|proxy| dubbo(proxy).stat_prefix.clear()),
            r#"listener "dubbo": filterChains[0].filter.metaProtocolProxy.statPrefix: must not be empty"#,
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(text, expected);
    }
}

#[test]
fn cluster_refusals_name_cluster_field_and_reason() {
    let refused = |cluster: Cluster| refusal(cluster.validate());
    let cluster = || Cluster::new("c");
    let name = || Address::new("host", 80);
    let cases = [
        (
            refused(cluster().with_endpoint(name())),
            r#"endpoints[0].address: "host" is not an IP address, and the cluster is static; use DNS discovery"#,
        ),
        (
            refused(cluster().with_endpoint(Endpoint::new(local(1)).with_weight(0))),
            "endpoints[0].weight: must not be zero",
        ),
        (refused(cluster().with_endpoint(local(0))), "endpoints[0].address: 127.0.0.1:0: 0 is not a port"),
        (
            refused(
                cluster().with_discovery(Discovery::StrictDns(Dns::default())).with_endpoint(Address::new("host", 0)),
            ),
            "endpoints[0].address: host:0: 0 is not a port",
        ),
        (
            refused(cluster().with_endpoint(Pipe::new("a.sock:80"))),
            r#"endpoints[0].address.path: must hold a "/" or begin with "@""#,
        ),
        (refused(cluster().with_endpoint(Pipe::new("@"))), "endpoints[0].address.path: must not be empty"),
        (
            refused(cluster().with_endpoint(Pipe::new("/run/a.sock").with_mode(0o660))),
            "endpoints[0].address.mode: is for who listens there",
        ),
        (
            refused(cluster().with_discovery(Discovery::LogicalDns(Dns::default()))),
            "endpoints: a logical DNS cluster has exactly one endpoint",
        ),
        (
            refused(cluster().with_discovery(Discovery::StrictDns(Dns::every(Duration::ZERO)))),
            "discovery.refresh: must not be zero",
        ),
        (refused(cluster().with_depth(0)), "depth: must not be zero"),
        (refused(cluster().with_connect_timeout(Duration::ZERO)), "connectTimeout: must not be zero"),
        (
            refused(cluster().with_limits(Thresholds::default().with_max_connections(0))),
            "limits.thresholds.maxConnections: must not be zero",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(text, format!("cluster \"c\": {expected}"));
    }
    let named = cluster().with_discovery(Discovery::StrictDns(Dns::default())).with_endpoint(name());
    assert_eq!(named.validate(), Ok(()));
}

fn certificate() -> TlsCertificate {
    TlsCertificate::new(Path::new("/etc/tls/chain.pem"), DataSource::InlineString("key".to_owned()))
}

fn authority() -> CertificateValidationContext {
    CertificateValidationContext::new(Path::new("/etc/tls/ca.pem"))
}

#[test]
fn tls_is_written_with_the_names_of_envoy_and_keys_stay_out_of_logs() {
    let web = SanMatcher::new(SanKind::Uri, SanValue::Prefix("spiffe://cluster.local/ns/shop/".to_owned()));
    let upstream = UpstreamTlsContext::new(authority().with_san(web))
        .with_certificate(certificate())
        .with_sni("shop.example")
        .with_alpn_protocol("istio")
        .with_min_version(TlsVersion::Tls13);
    assert_eq!(
        assert_round_trip(&upstream),
        json!({"sni": "shop.example", "common": {
            "tlsCertificate": {"certificateChain": {"filename": "/etc/tls/chain.pem"}, "privateKey": {"inlineString": "key"}},
            "validationContext": {"trustedCa": {"filename": "/etc/tls/ca.pem"}, "matchTypedSubjectAltNames": [
                {"sanType": "URI", "matcher": {"prefix": "spiffe://cluster.local/ns/shop/"}}]},
            "alpnProtocols": ["istio"], "minVersion": "TLSv1_3"}}),
    );
    assert!(!format!("{upstream:?}").contains("\"key\""), "{upstream:?}");
    let downstream = DownstreamTlsContext::new(certificate());
    assert_eq!(assert_round_trip(&downstream)["handshakeTimeout"], "15s");
}

#[test]
fn tls_refusals_name_field_and_reason() {
    let service = || MetaProtocolProxy::new("l", ProtocolConfig::new("p"), RouteSource::Inline(routes()));
    let plain = || Listener::of("l", local(1), service());
    let listener = |tls| refusal(Listener::of("l", local(1), FilterChain::new(service()).with_tls(tls)).validate());
    let cluster = |tls| refusal(Cluster::new("c").with_tls(tls).validate());
    let downstream = || DownstreamTlsContext::new(certificate());
    let upstream = || UpstreamTlsContext::new(authority());
    let empty = DataSource::InlineString(String::new());
    let nameless = SanMatcher::new(SanKind::Dns, SanValue::Suffix(String::new()));
    let mut without = (downstream(), upstream());
    (without.0.common.tls_certificate, without.1.common.validation_context) = (None, None);
    let cases = [
        (listener(without.0), r#"listener "l": filterChains[0].tls.common.tlsCertificate: is required"#),
        (
            listener(downstream().with_required_client_certificate(true)),
            r#"listener "l": filterChains[0].tls.common.validationContext: is required to require a certificate of clients"#,
        ),
        (
            listener(DownstreamTlsContext::new(TlsCertificate::new(empty.clone(), empty))),
            r#"listener "l": filterChains[0].tls.common.tlsCertificate.certificateChain: must not be empty"#,
        ),
        (
            listener(downstream().with_alpn_protocol("h2").with_alpn_protocol("")),
            r#"listener "l": filterChains[0].tls.common.alpnProtocols[1]: must have 1 to 255 bytes"#,
        ),
        (
            listener(downstream().with_handshake_timeout(Duration::ZERO)),
            r#"listener "l": filterChains[0].tls.handshakeTimeout: must not be zero"#,
        ),
        (
            refusal(plain().with_proxy_protocol(ProxyProtocol::default().with_timeout(Duration::ZERO)).validate()),
            r#"listener "l": proxyProtocol.timeout: must not be zero"#,
        ),
        (
            cluster(without.1),
            r#"cluster "c": tls.common.validationContext: is required: without it any server would be believed"#,
        ),
        (
            cluster(UpstreamTlsContext::new(authority().with_san(nameless))),
            r#"cluster "c": tls.common.validationContext.matchTypedSubjectAltNames[0]: must not be empty"#,
        ),
        (cluster(upstream().with_sni("a..b")), r#"cluster "c": tls.sni: is not a host name"#),
        (cluster(upstream().with_sni("10.0.0.1")), r#"cluster "c": tls.sni: is not a host name"#),
    ];
    for (text, expected) in cases {
        assert_eq!(text, expected);
    }
    let on_a_pipe = Cluster::new("c").with_endpoint(Pipe::new("/run/shop.sock"));
    let reason = "is required, or a matcher of names: /run/shop.sock is nothing that a certificate could name";
    assert_eq!(
        refusal(on_a_pipe.clone().with_tls(upstream()).validate()),
        format!(r#"cluster "c": tls.sni: {reason}"#)
    );
    assert_eq!(on_a_pipe.with_tls(upstream().with_sni("shop.example")).validate(), Ok(()));
    let named = Cluster::new("c")
        .with_discovery(Discovery::StrictDns(Dns::default()))
        .with_endpoint(Address::new("shop.example", 443));
    let reason = "is required, or a matcher of names: shop.example:443 is resolved before it is connected to";
    assert_eq!(refusal(named.clone().with_tls(upstream()).validate()), format!(r#"cluster "c": tls.sni: {reason}"#));
    assert_eq!(named.with_tls(upstream().with_sni("shop.example")).validate(), Ok(()));
}

#[test]
fn names_in_certificates_are_matched_as_their_kind_is() {
    let exact = |kind, text: &str| SanMatcher::new(kind, SanValue::Exact(text.to_owned()));
    let host = exact(SanKind::Dns, "a.Shop.example");
    let found = ["a.shop.example", "*.SHOP.example", "b.shop.example", "*.example", "shop.example", "*.", ""];
    assert_eq!(found.map(|name| host.matches(name)), [true, true, false, false, false, false, false]);
    let uri = exact(SanKind::Uri, "spiffe://td/ns/a");
    let found = ["spiffe://td/ns/a", "SPIFFE://td/ns/a", "spiffe://td/ns/ab"];
    assert_eq!(found.map(|name| uri.matches(name)), [true, false, false]);
    let suffix = SanMatcher::new(SanKind::Dns, SanValue::Suffix(".Example".to_owned()));
    assert!(suffix.matches("a.EXAMPLE") && !suffix.matches("example"));
}
