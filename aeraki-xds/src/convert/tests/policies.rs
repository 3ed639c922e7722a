//! What routes say of retries and to single filters.

use aeraki_route::config::{AbortWith, RetryOn, RetryPolicy};

use super::*;
use crate::Any;
use crate::proto::aeraki::meta_protocol_proxy::filters;
use crate::proto::envoy::extensions::filters::common::fault::v3::{FaultDelay, fault_delay::FaultDelaySecifier};
use crate::proto::envoy::extensions::filters::http::fault::v3::{FaultAbort, HttpFault, fault_abort::ErrorType};
use crate::proto::envoy::r#type::v3::FractionalPercent as FractionProto;

const PLACE: &str = r#"route configuration "t": virtual_hosts[0] "vh".routes[0] "r""#;

fn retrying(change: impl FnOnce(&mut proto::RetryPolicy)) -> proto::RouteConfiguration {
    let mut policy = proto::RetryPolicy { retry_on: "reset".to_owned(), ..proto::RetryPolicy::default() };
    change(&mut policy);
    resource(|_, action| action.retry_policy = Some(policy))
}

fn told(entries: &[(&str, Any)]) -> proto::RouteConfiguration {
    let entries = entries.iter().map(|(name, any)| ((*name).to_owned(), any.clone())).collect();
    resource(|route, _| route.typed_per_filter_config = entries)
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

#[test]
fn retries_are_read_as_envoy_reads_them() {
    let retry = |resource| read(&resource).action.retry.expect("is there");
    assert_eq!(retry(retrying(|_| {})), RetryPolicy::new(1).with_on([RetryOn::Reset]));
    let full = retrying(|policy| {
        policy.retry_on = "7, refused-stream,connect-failure,retriable-status-codes".to_owned();
        policy.num_retries = Some(3);
        policy.per_try_timeout = seconds(2);
        policy.retriable_status_codes = vec![100, 7];
        let (base_interval, max_interval) = (seconds(1), None);
        policy.retry_back_off = Some(proto::retry_policy::RetryBackOff { base_interval, max_interval });
    });
    let on = [RetryOn::Refused, RetryOn::ConnectFailure, RetryOn::Status(7), RetryOn::Status(100)];
    let expected = RetryPolicy::new(3)
        .with_on(on)
        .with_per_try_timeout(Duration::from_secs(2))
        .with_back_off(Duration::from_secs(1), Duration::from_secs(10));
    assert_eq!(retry(full), expected);
}

#[test]
fn retries_that_cannot_be_done_are_refused() {
    let base = |base_interval| proto::retry_policy::RetryBackOff { base_interval, max_interval: seconds(1) };
    let table = r#"route configuration "t": routes[0] "r".action.retry"#;
    for (resource, expected) in [
        (
            retrying(|policy| policy.retry_on = "reset,5xx".to_owned()),
            format!(r#"{PLACE}.route.retry_policy.retry_on: "5xx" is unknown: use "#),
        ),
        (
            retrying(|policy| policy.retriable_request_headers = vec![proto::HeaderMatcher::default()]),
            format!("{PLACE}.route.retry_policy.retriable_request_headers: is not supported"),
        ),
        (
            retrying(|policy| policy.retry_back_off = Some(base(None))),
            format!("{PLACE}.route.retry_policy.retry_back_off.base_interval: is required"),
        ),
        (retrying(|policy| policy.num_retries = Some(0)), format!("{table}.attempts: must lie between 1 and 10")),
        (retrying(|policy| policy.retry_on = String::new()), format!("{table}.on: must name at least one")),
        (
            retrying(|policy| policy.retry_back_off = Some(base(seconds(2)))),
            format!("{table}.backOff.max: must not be below the base"),
        ),
    ] {
        let text = refused(&resource);
        assert!(text.starts_with(&expected), "{text:?} should start with {expected:?}");
    }
}

/// A route that says nothing new has the shape that it always had.
#[test]
fn filters_are_told_nothing_that_the_standard_fields_say() {
    let retry = RetryPolicy::new(2).with_per_try_timeout(Duration::from_secs(1));
    let action = RouteAction::cluster("c").with_retry(retry).with_mirror(Mirror::new("m", FractionalPercent::ALWAYS));
    let sent = routes_to_http(&RouteConfig::new("t", [Route::new("r", action)])).expect("has a form");
    assert!(sent.virtual_hosts[0].routes[0].typed_per_filter_config.is_empty());
}

#[test]
fn the_fault_filter_of_envoy_is_understood() {
    let half = Some(FractionProto { numerator: 50, denominator: 0 });
    let header = proto::HeaderMatcher {
        name: "user".to_owned(),
        header_match_specifier: Some(Specifier::ExactMatch("guest".to_owned())),
        ..Default::default()
    };
    let full = HttpFault {
        delay: Some(FaultDelay {
            percentage: half,
            fault_delay_secifier: seconds(5).map(FaultDelaySecifier::FixedDelay),
        }),
        abort: Some(FaultAbort {
            percentage: None,
            error_type: Some(ErrorType::HttpStatus(503)),
            ..Default::default()
        }),
        headers: vec![header],
        max_active_faults: Some(7),
        ..HttpFault::default()
    };
    let expected = aeraki_route::config::Fault::new()
        .with_match(AttributeMatch::exact("user", "guest"))
        .with_delay(Duration::from_secs(5), FractionalPercent::percent(50))
        // Envoy takes an absent share for nothing.
        .with_abort(AbortWith::Status(503), FractionalPercent::percent(0))
        .with_max_active(7);
    for name in ["envoy.filters.http.fault", "aeraki.meta_protocol.filters.fault"] {
        assert_eq!(read(&told(&[(name, Any::pack(&full))])).fault, Some(expected.clone()), "{name}");
    }
    for (fault, expected) in [
        (
            HttpFault { upstream_cluster: "c".to_owned(), ..full.clone() },
            "upstream_cluster: is not supported: use headers",
        ),
        (
            HttpFault { downstream_nodes: vec!["n".to_owned()], ..full.clone() },
            "downstream_nodes: is not supported: use headers",
        ),
        (
            HttpFault { delay: Some(FaultDelay::default()), ..full.clone() },
            "delay.fixed_delay: is required: there is no other delay",
        ),
        (
            HttpFault {
                abort: Some(FaultAbort { error_type: Some(ErrorType::GrpcStatus(1)), ..Default::default() }),
                ..full
            },
            "abort.http_status: is required: there is no other way to abort",
        ),
    ] {
        let place = format!(r#"{PLACE}.typed_per_filter_config["envoy.filters.http.fault"]"#);
        assert_eq!(refused(&told(&[("envoy.filters.http.fault", Any::pack(&fault))])), format!("{place}.{expected}"));
    }
}

#[test]
fn entries_that_cannot_be_heeded_are_refused_and_those_of_http_are_ignored() {
    let foreign = Any { type_url: "type.googleapis.com/x.Cors".to_owned(), ..Any::default() };
    assert_eq!(
        read(&told(&[("envoy.filters.http.cors", foreign.clone())])),
        Route::new("r", RouteAction::cluster("c"))
    );

    let name = |name: &str| format!("aeraki.meta_protocol.filters.{name}");
    let options = |change: fn(&mut filters::router::v1alpha::RouteOptions)| {
        let mut options = filters::router::v1alpha::RouteOptions::default();
        change(&mut options);
        Any::pack(&options)
    };
    let policy = |change: fn(&mut filters::authorization::v1alpha::Policy)| {
        let mut policy = filters::authorization::v1alpha::Policy { name: "p".to_owned(), ..Default::default() };
        change(&mut policy);
        Any::pack(&filters::authorization::v1alpha::Authorization { policies: vec![policy] })
    };
    let port = |policy: &mut filters::authorization::v1alpha::Policy| {
        let operation = filters::authorization::v1alpha::Operation { ports: vec![1, 65_536], ..Default::default() };
        policy.rules = vec![filters::authorization::v1alpha::Rule { from: vec![], to: vec![operation] }];
    };
    let source_port = |policy: &mut filters::authorization::v1alpha::Policy| {
        let source = filters::authorization::v1alpha::Source { not_ports: vec![65_536], ..Default::default() };
        policy.rules = vec![filters::authorization::v1alpha::Rule { from: vec![source], to: vec![] }];
    };
    let reason = |reason: &str| {
        let error = Some(filters::fault::v1alpha::abort::Error::Reason(reason.to_owned()));
        let abort = Some(filters::fault::v1alpha::Abort { error, percentage: None });
        Any::pack(&filters::fault::v1alpha::Fault { abort, ..Default::default() })
    };
    let limit = filters::local_ratelimit::v1alpha::LocalRateLimit { scope: 5, ..Default::default() };
    for (filter, any, expected) in [
        ("autorisation", foreign.clone(), ": there is no such filter of routes"),
        (
            "authorization",
            foreign,
            ": expected type.googleapis.com/aeraki.meta_protocol_proxy.filters.authorization.v1alpha.Authorization, found \"type.googleapis.com/x.Cors\"",
        ),
        ("authorization", policy(|policy| policy.action = 2), ".policies[0] \"p\".action: there is no action 2"),
        ("authorization", policy(port), ".policies[0] \"p\".rules[0].to[0].ports[1]: 65536 is not a port"),
        ("authorization", policy(source_port), ".policies[0] \"p\".rules[0].from[0].not_ports[0]: 65536 is not a port"),
        ("router", options(|options| options.repeatable = true), ": has no retry_policy to apply to"),
        (
            "router",
            options(|options| options.mirrors = vec![Default::default()]),
            ".mirrors: must not hold 1 entries: there are 0 mirrors",
        ),
        ("fault", reason("bad luck"), ".abort.reason: there is no reason \"bad luck\""),
        ("local_ratelimit", Any::pack(&limit), ".scope: there is no scope 5"),
        (
            "ratelimit",
            Any::pack(&filters::ratelimit::v1alpha::RateLimit::default()),
            ".rate_limit_service: is required",
        ),
    ] {
        let filter = name(filter);
        let text = refused(&told(&[(&filter, any)]));
        assert_eq!(text, format!("{PLACE}.typed_per_filter_config[{filter:?}]{expected}"));
    }
    for ours in [name("fault"), "envoy.filters.http.fault".to_owned()] {
        let entries = |any: Any| [(ours.clone(), any)].into_iter().collect();
        let mut weighted = resource(|_, action| {
            let mut cluster = proto::weighted_cluster::ClusterWeight { weight: Some(1), ..Default::default() };
            (cluster.name, cluster.typed_per_filter_config) = ("c".to_owned(), entries(reason("fault")));
            let clusters = proto::WeightedCluster { clusters: vec![cluster], ..Default::default() };
            action.cluster_specifier = Some(ClusterSpecifier::WeightedClusters(clusters));
        });
        let field = format!("typed_per_filter_config[{ours:?}]: counts on routes only");
        assert_eq!(refused(&weighted), format!("{PLACE}.route.weighted_clusters.clusters[0] \"c\".{field}"));
        weighted.virtual_hosts[0].typed_per_filter_config = entries(reason("fault"));
        assert_eq!(refused(&weighted), format!("route configuration \"t\": virtual_hosts[0] \"vh\".{field}"));
        weighted.typed_per_filter_config = entries(reason("fault"));
        assert_eq!(refused(&weighted), format!("route configuration \"t\": {field}"));
    }
    let twice = [("envoy.filters.http.fault", reason("fault")), (&*name("fault"), reason("fault"))];
    assert!(refused(&told(&twice)).ends_with(r#"excludes "aeraki.meta_protocol.filters.fault", which is given too"#));
}
