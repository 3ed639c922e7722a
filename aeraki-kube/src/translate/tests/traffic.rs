//! What DestinationRules say about the requests to a service.

use std::time::Duration;

use aeraki_route::config::{
    Cluster, ClusterLimits, Decimal, Locality, Maglev, RingHash, SlowStart, TcpKeepalive, Thresholds,
};

use super::*;

/// Two endpoints, with what a rule says of the whole service and of its subset `v2`; port 9 is a second one.
fn service(whole: &str, subset: &str) -> String {
    SERVICE
        .replace("ports: [{", "ports: [{number: 9, name: tcp-metaprotocol-thrift-9}, {")
        .replace(
            "spec:\n  host: book.example.internal",
            &format!("spec:\n  host: {HOST}\n  trafficPolicy: {{{whole}}}"),
        )
        .replace(
            "{name: v2, labels: {version: v2}}",
            &format!("{{name: v2, labels: {{version: v2}}, trafficPolicy: {{{subset}}}}}"),
        )
}

fn cluster(translation: &Translation, port: u16, subset: &str) -> Cluster {
    translation.clusters[&cluster_name(port, subset, HOST)].clone()
}

/// Returns the cluster of a service of whose rule everything has an effect.
fn whole(policy: &str) -> Cluster {
    let translation = run(&service(policy, ""));
    assert_eq!(rejections(&translation), [""; 0]);
    cluster(&translation, 7001, "")
}

#[test]
fn hashed_services_have_clusters_that_choose_by_hash() {
    let hashed = |hash: &str| {
        let translation = run(&service(&format!("loadBalancer: {{consistentHash: {hash}}}"), ""));
        let policy = cluster(&translation, 7001, "").lb_policy;
        (policy, translation.routes["book.example.internal_7001"].routes[0].action.hash_policy.clone())
    };
    let ring = |minimum| LbPolicy::RingHash(RingHash::default().with_size(minimum, 8_388_608));
    let user = || vec![HashPolicy::attribute("user")];
    assert_eq!(hashed("{httpHeaderName: user}"), (ring(1024), user()));
    assert_eq!(hashed("{httpHeaderName: user, minimumRingSize: 7}"), (ring(7), user()));
    assert_eq!(hashed("{useSourceIp: true, ringHash: {minimumRingSize: 9}}"), (ring(9), vec![HashPolicy::source_ip()]));
    let maglev = LbPolicy::Maglev(Maglev::default().with_table_size(13));
    assert_eq!(hashed("{httpHeaderName: user, maglev: {tableSize: 13}}"), (maglev, user()));
    assert_eq!(hashed("{}"), (ring(1024), Vec::new()));
}

#[test]
fn warm_up_is_a_slow_start() {
    let minute = Duration::from_secs(60);
    let old = whole("loadBalancer: {simple: ROUND_ROBIN, warmupDurationSecs: 1m}");
    assert_eq!((old.lb_policy, old.slow_start), (LbPolicy::RoundRobin, Some(SlowStart::new(minute))));
    let new = whole("loadBalancer: {warmup: {duration: 60s, minimumPercent: 20, aggression: 1.5}}");
    let aggression = Decimal::new(1.5).expect("positive");
    let expected = SlowStart::new(minute).with_min_weight_percent(Decimal::from(20)).with_aggression(aggression);
    assert_eq!(new.slow_start, Some(expected));
}

#[test]
fn connection_pools_are_limits() {
    let second = Duration::from_secs(1);
    let cluster = whole(
        "connectionPool: {tcp: {maxConnections: 7, connectTimeout: 1s, maxConnectionDuration: 1h, tcpKeepalive: {probes: 3, time: 60s}}, http: {http1MaxPendingRequests: 2, http2MaxRequests: 3, maxRequestsPerConnection: 4, maxRetries: 5, idleTimeout: 0s}}",
    );
    let thresholds = Thresholds::default()
        .with_max_connections(7)
        .with_max_pending_requests(2)
        .with_max_requests(3)
        .with_max_retries(5);
    let expected =
        ClusterLimits::from(thresholds).with_max_requests_per_connection(4).with_max_connection_duration(3600 * second);
    assert_eq!((cluster.limits, cluster.connect_timeout, cluster.idle_timeout), (expected, second, None));
    let keepalive = TcpKeepalive::default().with_probes(3).with_time(60 * second);
    assert_eq!(cluster.tcp_keepalive, Some(keepalive));
    let plain = whole("connectionPool: {tcp: {maxConnections: 0}, http: {maxRetries: 0}}");
    let default = Cluster::new("default");
    assert_eq!((plain.limits, plain.idle_timeout), (default.limits, default.idle_timeout));
    assert_eq!(plain.connect_timeout, Options::default().connect_timeout);
}

#[test]
fn outliers_are_taken_out_by_failures_in_a_row_only_and_without_panic() {
    let cluster = whole(
        "outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 3, splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 2, interval: 1s, baseEjectionTime: 2s, maxEjectionPercent: 50, minHealthPercent: 30}",
    );
    let detection = cluster.outlier_detection.expect("detects");
    let in_a_row = aeraki_route::config::Consecutive::new;
    assert_eq!(detection.consecutive_errors, in_a_row(1, 0));
    assert_eq!(detection.consecutive_gateway_failure, in_a_row(3, 100));
    assert_eq!(detection.consecutive_local_origin_failure, in_a_row(2, 100));
    assert!(detection.split_external_local_origin_errors);
    assert_eq!((detection.interval, detection.base_ejection_time), (Duration::from_secs(1), Duration::from_secs(2)));
    assert_eq!((detection.max_ejection_percent, detection.success_rate.enforcing), (50, 0));
    assert_eq!(cluster.common_lb.healthy_panic_threshold, Decimal::from(30));

    let plain = whole("outlierDetection: {}");
    assert_eq!(plain.common_lb.healthy_panic_threshold, Decimal::ZERO);
    let detection = plain.outlier_detection.expect("detects");
    assert_eq!((detection.consecutive_errors, detection.max_ejection_percent), (in_a_row(5, 100), 10));
}

#[test]
fn a_subset_overrides_what_it_speaks_of_and_a_port_everything() {
    let common = "loadBalancer: {simple: RANDOM}, connectionPool: {tcp: {maxConnections: 1}}";
    let ports = "portLevelSettings: [{port: {number: 9}, connectionPool: {tcp: {maxConnections: 2}}}]";
    let translation = run(&service(&format!("{common}, {ports}"), "connectionPool: {tcp: {maxConnections: 3}}"));
    assert_eq!(rejections(&translation), [""; 0]);
    let of = |port, subset| {
        let cluster = cluster(&translation, port, subset);
        (cluster.lb_policy, cluster.limits.thresholds.max_connections)
    };
    let least_request = LbPolicy::LeastRequest(aeraki_route::config::LeastRequest::default());
    assert_eq!(of(7001, ""), (LbPolicy::Random, 1));
    assert_eq!(of(7001, "v1"), (LbPolicy::RoundRobin, 1));
    assert_eq!(of(7001, "v2"), (LbPolicy::Random, 3));
    assert_eq!(of(9, ""), (least_request, 2));
    assert_eq!(of(9, "v1"), (LbPolicy::RoundRobin, 2));
    assert_eq!(of(9, "v2"), (least_request, 3));
    // what a subset says of a port comes last
    let translation = run(&service(common, &ports.replace("{tcp: {maxConnections: 2}}", "{tcp: {maxConnections: 4}}")));
    let nine = cluster(&translation, 9, "v2");
    assert_eq!((nine.lb_policy, nine.limits.thresholds.max_connections), (least_request, 4));
}

#[test]
fn near_endpoints_come_first_where_that_is_asked_for() {
    let text = service("loadBalancer: {localityLbSetting: {enabled: true}}, outlierDetection: {}", "")
        .replace("address: 127.0.0.1,", "address: 127.0.0.1, locality: r/b,")
        .replace("address: 127.0.0.2,", "address: 127.0.0.2, locality: r/a/s,");
    let priorities = |text: &str, options: &Options| {
        let translation = translate(&world(text), options);
        let endpoints = cluster(&translation, 7001, "").endpoints;
        endpoints.iter().map(|endpoint| endpoint.priority).collect::<Vec<_>>()
    };
    let at = |region, zone, part| Options::default().with_locality(Locality::new(region, zone, part));
    assert_eq!(priorities(&text, &at("r", "a", "s")), [2, 0]);
    assert_eq!(priorities(&text, &at("r", "a", "t")), [2, 1]);
    assert_eq!(priorities(&text, &at("q", "a", "s")), [3, 3]);
    assert_eq!(priorities(&text.replace("enabled: true", "enabled: false"), &at("r", "a", "s")), [0, 0]);
    let told = rejections(&run(&text)).concat();
    assert!(
        told.ends_with("loadBalancer.localityLbSetting: needs to know where the proxies run, which nobody has said")
    );
}

#[test]
fn what_is_not_enforced_is_named() {
    let prefix = "t.yaml:13: DestinationRule shop/book: spec.trafficPolicy.";
    let told = |policy: &str| {
        let translation = run(&service(policy, ""));
        assert!(translation.rejections.iter().all(|rejection| !rejection.refuses()));
        let told = rejections(&translation).into_iter();
        told.map(|text| text.strip_prefix(prefix).expect(&text).to_owned()).collect::<Vec<_>>()
    };
    let unread = |field: &str| vec![format!("{field}: is NOT ENFORCED by the clusters made here")];
    for (policy, field) in [
        ("tls: {mode: ISTIO_MUTUAL}", "tls"),
        ("proxyProtocol: {version: V2}", "proxyProtocol"),
        ("portLevelSettings: [{port: {number: 9}, tls: {mode: SIMPLE}}]", "portLevelSettings[0].tls"),
        ("connectionPool: {tcp: {idleTimeout: 60s}}", "connectionPool.tcp.idleTimeout"),
        ("connectionPool: {http: {h2UpgradePolicy: UPGRADE}}", "connectionPool.http.h2UpgradePolicy"),
        ("outlierDetection: {consecutiveErrors: 5}", "outlierDetection.consecutiveErrors"),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, httpCookie: {name: c, ttl: 0s}}}",
            "loadBalancer.consistentHash.httpCookie",
        ),
        (
            "loadBalancer: {localityLbSetting: {enabled: false, distribute: [{from: a}]}}",
            "loadBalancer.localityLbSetting.distribute",
        ),
    ] {
        assert_eq!(told(policy), unread(field));
    }
    assert_eq!(told("tunnel: null"), [""; 0], "what is null is not there");
    for (policy, expected) in [
        (
            "loadBalancer: {simple: PASSTHROUGH}",
            "loadBalancer.simple: PASSTHROUGH is not done: the least loaded endpoint is chosen",
        ),
        (
            "loadBalancer: {consistentHash: {}}",
            "loadBalancer.consistentHash: has neither `httpHeaderName` nor `useSourceIp`, the keys there are: requests go anywhere",
        ),
        (
            "loadBalancer: {simple: RANDOM, warmupDurationSecs: 1s}",
            "loadBalancer.warmup: has an effect with ROUND_ROBIN and LEAST_REQUEST only",
        ),
        (
            "loadBalancer: {localityLbSetting: {}}",
            "loadBalancer.localityLbSetting: has an effect together with `outlierDetection` only",
        ),
        (
            "outlierDetection: {consecutiveLocalOriginFailures: 3}",
            "outlierDetection.consecutiveLocalOriginFailures: has an effect only where `splitExternalLocalOriginErrors` is true",
        ),
        (
            "portLevelSettings: [{loadBalancer: {simple: RANDOM}}]",
            "portLevelSettings[0].port: is missing: the settings hold for no port",
        ),
    ] {
        assert_eq!(told(policy), [expected]);
    }
}

#[test]
fn what_cannot_be_done_is_refused_and_the_last_good_policy_stays() {
    let last = run(&service("loadBalancer: {simple: RANDOM}", ""));
    for (policy, expected) in [
        (
            "loadBalancer: {consistentHash: {httpHeaderName: user, maglev: {tableSize: 9}}}",
            "loadBalancer: lbPolicy.tableSize: must be a prime number",
        ),
        ("loadBalancer: {warmup: {duration: 0s}}", "loadBalancer: slowStart.window: must not be zero"),
        ("connectionPool: {tcp: {connectTimeout: 0s}}", "connectionPool: connectTimeout: must not be zero"),
        (
            "outlierDetection: {maxEjectionPercent: 101}",
            "outlierDetection: outlierDetection.maxEjectionPercent: must not be above 100",
        ),
    ] {
        let text = service(policy, "").replace("127.0.0.1", "127.0.0.3");
        let mut translation = run(&text);
        let told = rejections(&translation);
        assert_eq!(told, [format!("t.yaml:13: DestinationRule shop/book: spec.trafficPolicy.{expected}")]);
        let unsaid = LbPolicy::LeastRequest(aeraki_route::config::LeastRequest::default());
        assert_eq!(cluster(&translation, 7001, "").lb_policy, unsaid, "there was none before");
        translation.keep(&last);
        let kept = cluster(&translation, 7001, "");
        assert_eq!(kept.lb_policy, LbPolicy::Random);
        assert_eq!(kept.endpoints[0].address.to_string(), "127.0.0.3:17001", "endpoints are always those of now");
    }
    let negative = service("connectionPool: {tcp: {maxConnections: -1}}", "");
    let error = parse("t.yaml", &negative).expect_err("negative");
    assert_eq!(error.field, "spec.trafficPolicy.connectionPool.tcp.maxConnections");
}
