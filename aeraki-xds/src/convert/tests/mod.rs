mod clusters;
#[cfg(feature = "bootstrap")]
mod documented;
#[cfg(feature = "bootstrap")]
mod filters;
#[cfg(feature = "bootstrap")]
mod listeners;
mod mutations;
mod policies;
#[cfg(feature = "bootstrap")]
mod sockets;
pub(crate) mod strategies;
#[cfg(feature = "bootstrap")]
mod tls;

use std::time::Duration;

use aeraki_route::config::{
    AttributeMatch, Denominator, FractionalPercent, Mirror, MutationEntry, Route, RouteAction, RouteConfig,
    StreamTimeouts, ValueMatch,
};
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::proto::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use crate::proto::envoy::config::route::v3 as proto;
use proto::header_matcher::HeaderMatchSpecifier as Specifier;
use proto::route_action::{ClusterSpecifier, MaxStreamDuration};

/// Reads a message that is written as YAML.
#[cfg(feature = "bootstrap")]
fn from_yaml(kind: &str, yaml: &str) -> prost_reflect::DynamicMessage {
    let descriptor = crate::json::descriptor(kind).expect("is there");
    let value: serde_json::Value = serde_saphyr::from_str(yaml).expect("is YAML");
    crate::json::Reader::new(|_| crate::json::Use::Whole).read(&descriptor, &value).expect("is valid")
}

#[cfg(feature = "bootstrap")]
fn message<M: Message + prost::Name + Default>(yaml: &str) -> M {
    from_yaml(&M::full_name(), yaml).transcode_to().expect("is the same message")
}

/// A MetaRDS resource of one route, changed by `change`.
fn resource(change: impl FnOnce(&mut proto::Route, &mut proto::RouteAction)) -> proto::RouteConfiguration {
    let mut route = proto::Route { name: "r".to_owned(), ..proto::Route::default() };
    let mut action = proto::RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster("c".to_owned())),
        ..proto::RouteAction::default()
    };
    change(&mut route, &mut action);
    route.action = route.action.or(Some(proto::route::Action::Route(action)));
    let host = proto::VirtualHost { name: "vh".to_owned(), routes: vec![route], ..proto::VirtualHost::default() };
    proto::RouteConfiguration {
        name: "t".to_owned(),
        virtual_hosts: vec![host],
        ..proto::RouteConfiguration::default()
    }
}

fn read(resource: &proto::RouteConfiguration) -> Route {
    routes_from_http(resource).expect("is valid").routes.remove(0)
}

fn refused(resource: &proto::RouteConfiguration) -> String {
    routes_from_http(resource).expect_err("is not valid").to_string()
}

fn matching(specifier: Option<Specifier>) -> AttributeMatch {
    let header = proto::HeaderMatcher {
        name: "k".to_owned(),
        header_match_specifier: specifier,
        ..proto::HeaderMatcher::default()
    };
    let criteria = proto::RouteMatch { headers: vec![header], ..proto::RouteMatch::default() };
    read(&resource(|route, _| route.r#match = Some(criteria))).matches.remove(0)
}

fn mirror(fraction: Option<(u32, i32)>) -> Mirror {
    let value = fraction
        .map(|(numerator, denominator)| crate::proto::envoy::r#type::v3::FractionalPercent { numerator, denominator });
    let fraction = value.map(|value| crate::proto::envoy::config::core::v3::RuntimeFractionalPercent {
        default_value: Some(value),
        ..Default::default()
    });
    let policy = proto::route_action::RequestMirrorPolicy {
        cluster: "m".to_owned(),
        runtime_fraction: fraction,
        ..Default::default()
    };
    read(&resource(|_, action| action.request_mirror_policies = vec![policy])).action.mirrors.remove(0)
}

fn weighted(weights: &[Option<u32>]) -> proto::RouteConfiguration {
    let clusters = weights.iter().map(|weight| proto::weighted_cluster::ClusterWeight {
        name: "w".to_owned(),
        weight: *weight,
        ..Default::default()
    });
    let weighted = proto::WeightedCluster { clusters: clusters.collect(), ..proto::WeightedCluster::default() };
    resource(|_, action| action.cluster_specifier = Some(ClusterSpecifier::WeightedClusters(weighted)))
}

#[test]
fn the_matchers_of_every_age_are_read() {
    let text = || "x".to_owned();
    let cases = [
        (None, ValueMatch::Present(true)),
        (Some(Specifier::PresentMatch(false)), ValueMatch::Present(false)),
        (Some(Specifier::ExactMatch(text())), ValueMatch::Exact(text())),
        (Some(Specifier::ExactMatch(String::new())), ValueMatch::Any),
        (Some(Specifier::PrefixMatch(text())), ValueMatch::Prefix(text())),
        (Some(Specifier::SuffixMatch(text())), ValueMatch::Suffix(text())),
        (Some(Specifier::ContainsMatch(text())), ValueMatch::Contains(text())),
    ];
    for (specifier, expected) in cases {
        assert_eq!(matching(specifier).value, expected);
    }
    let exact = crate::proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern::Exact(String::new());
    let string =
        crate::proto::envoy::r#type::matcher::v3::StringMatcher { ignore_case: true, match_pattern: Some(exact) };
    let matched = matching(Some(Specifier::StringMatch(string)));
    assert_eq!((matched.value, matched.ignore_case), (ValueMatch::Exact(String::new()), true));
}

#[test]
fn a_mirror_without_fraction_gets_everything() {
    assert_eq!(mirror(None).fraction, FractionalPercent::ALWAYS);
    assert_eq!(mirror(Some((125_000, 2))).fraction, FractionalPercent::new(125_000, Denominator::Million));
    assert_eq!(mirror(Some((0, 0))).fraction, FractionalPercent::new(0, Denominator::Hundred));
}

#[test]
fn removals_come_before_additions() {
    let header = |key: &str, value: &str, raw: &'static [u8]| HeaderValueOption {
        header: Some(HeaderValue { key: key.to_owned(), value: value.to_owned(), raw_value: Bytes::from_static(raw) }),
        ..HeaderValueOption::default()
    };
    let route = read(&resource(|route, _| {
        route.request_headers_to_add = vec![header("a", "1", b""), header("b", "", b"raw")];
        route.request_headers_to_remove = vec!["c".to_owned()];
        route.response_headers_to_add = vec![header("d", "2", b"")];
    }));
    let set = MutationEntry::set;
    assert_eq!(route.request_mutation, [MutationEntry::remove("c"), set("a", "1"), set("b", "raw")]);
    assert_eq!(route.response_mutation, [set("d", "2")]);

    let route = Route::new("r", RouteAction::cluster("c"))
        .with_request_mutation(set("a", "1"))
        .with_request_mutation(set("b", "2"))
        .with_request_mutation(MutationEntry::remove("A"));
    let sent = routes_to_http(&RouteConfig::new("t", [route])).expect("has a form");
    assert_eq!(read(&sent).request_mutation, [MutationEntry::remove("A"), set("b", "2")], "what is removed is not set");
}

#[test]
fn streams_last_as_long_as_the_route_says() {
    let duration = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let streams = |idle, total| {
        resource(|_, action| {
            action.idle_timeout = idle;
            action.max_stream_duration =
                Some(MaxStreamDuration { max_stream_duration: total, ..MaxStreamDuration::default() });
        })
    };
    let expected = StreamTimeouts::default().with_idle(Duration::ZERO).with_total(Duration::from_secs(7));
    assert_eq!(read(&streams(duration(0), duration(7))).action.streams, expected, "zero is for ever");
    assert_eq!(read(&streams(None, None)).action.streams, StreamTimeouts::default());
    for (sent, reason) in [
        (streams(duration(-1), None), "idle_timeout: must not be negative"),
        (streams(None, duration(-1)), "max_stream_duration: must not be negative"),
        (streams(duration(1 << 40), None), "action.streams.idle: must not be longer than 365 days"),
    ] {
        assert!(refused(&sent).ends_with(reason), "{}", refused(&sent));
    }
}

#[test]
fn a_timeout_is_honoured_and_zero_means_none() {
    let timeout = |seconds, nanos| {
        let duration = prost_types::Duration { seconds, nanos };
        resource(|_, action| action.timeout = Some(duration))
    };
    assert_eq!(read(&timeout(1, 500_000_000)).action.timeout, Some(Duration::from_millis(1500)));
    assert_eq!(read(&timeout(0, 0)).action.timeout, None);
    assert_eq!(
        refused(&timeout(-1, 0)),
        r#"route configuration "t": virtual_hosts[0] "vh".routes[0] "r".route.timeout: must not be negative"#
    );
}

#[test]
fn refusals_name_resource_field_and_reason() {
    let place = r#"route configuration "t": virtual_hosts[0] "vh".routes[0] "r""#;
    let no_host = proto::RouteConfiguration { virtual_hosts: vec![], ..resource(|_, _| {}) };
    let mut two_hosts = resource(|_, _| {});
    two_hosts.virtual_hosts.push(proto::VirtualHost::default());
    let mut no_action = resource(|_, _| {});
    no_action.virtual_hosts[0].routes[0].action = None;
    let mut no_route = resource(|_, _| {});
    no_route.virtual_hosts[0].routes.clear();
    let binary = HeaderValue { raw_value: Bytes::from_static(b"\xff"), ..HeaderValue::default() };
    let binary = HeaderValueOption { header: Some(binary), ..HeaderValueOption::default() };
    let pattern = Some(Specifier::StringMatch(Default::default()));
    let header = proto::HeaderMatcher { name: "k".to_owned(), header_match_specifier: pattern, ..Default::default() };
    let criteria = proto::RouteMatch { headers: vec![header], ..Default::default() };
    let cases = [
        (no_host, r#"route configuration "t": virtual_hosts: must hold exactly one virtual host, not 0"#.to_owned()),
        (two_hosts, r#"route configuration "t": virtual_hosts: must hold exactly one virtual host, not 2"#.to_owned()),
        (no_route, r#"route configuration "t": routes: must hold at least one route"#.to_owned()),
        (no_action, format!("{place}.route: is required: no other action can be taken")),
        (
            resource(|_, action| action.cluster_specifier = None),
            format!("{place}.route: must hold cluster or weighted_clusters"),
        ),
        (weighted(&[Some(1), None]), format!(r#"{place}.route.weighted_clusters.clusters[1] "w".weight: is required"#)),
        (
            resource(|route, _| route.request_headers_to_add = vec![binary]),
            format!("{place}.request_headers_to_add[0].header: is not UTF-8"),
        ),
        (
            resource(|route, _| route.r#match = Some(criteria)),
            format!(r#"{place}.match.headers[0] "k".string_match: is required"#),
        ),
    ];
    for (resource, expected) in cases {
        assert_eq!(refused(&resource), expected);
    }
    for nothing in [weighted(&[]), weighted(&[Some(0), Some(0)])] {
        assert!(refused(&nothing).ends_with("the weights sum up to 0"), "{}", refused(&nothing));
    }
}

#[test]
fn what_upstream_ignores_is_ignored() {
    let odd = resource(|route, action| {
        let criteria = proto::RouteMatch {
            path_specifier: Some(proto::route_match::PathSpecifier::Path("/x".to_owned())),
            ..proto::RouteMatch::default()
        };
        route.r#match = Some(criteria);
        action.hash_policy = vec![proto::route_action::HashPolicy::default()];
        action.prefix_rewrite = "/y".to_owned();
    });
    assert_eq!(read(&odd), Route::new("r", RouteAction::cluster("c")));
}

/// The shape that upstream's control plane sends, in protobuf's JSON form.
#[cfg(feature = "bootstrap")]
#[test]
fn what_is_sent_has_the_shape_of_metards() {
    let json = serde_json::json!({
        "name": "orders.example_20880",
        "virtualHosts": [{"name": "dummy", "domains": ["*"], "routes": [
            {"name": "canary",
             "match": {"prefix": "/", "headers": [
                {"name": "method", "prefixMatch": "list"},
                {"name": "region", "safeRegexMatch": {"googleRe2": {}, "regex": "eu-.*"}}]},
             "route": {
                "weightedClusters": {"clusters": [
                    {"name": "outbound|20880|v1|orders.example", "weight": 70},
                    {"name": "outbound|20880|v2|orders.example", "weight": 30}], "totalWeight": 100},
                "requestMirrorPolicies": [{"cluster": "outbound|20880||shadow.example",
                    "runtimeFraction": {"defaultValue": {"numerator": 2500, "denominator": "MILLION"}}}],
                "hashPolicy": [{"header": {"headerName": "user"}}]},
             "requestHeadersToAdd": [{"header": {"key": "tier", "value": "gold"}}]},
            {"name": "rest", "match": {"prefix": "/"}, "route": {"cluster": "outbound|20880|v1|orders.example"}}]}]
    });
    let descriptor = crate::json::descriptor("envoy.config.route.v3.RouteConfiguration").expect("is there");
    let expected = crate::json::Reader::new(|_| crate::json::Use::Whole).read(&descriptor, &json).expect("is valid");
    let expected: proto::RouteConfiguration = expected.transcode_to().expect("is the same message");

    let split = [("outbound|20880|v1|orders.example", 70), ("outbound|20880|v2|orders.example", 30)];
    let shadow = Mirror::new("outbound|20880||shadow.example", FractionalPercent::new(2500, Denominator::Million));
    let canary = Route::new("canary", RouteAction::weighted(split).with_hash_key("user").with_mirror(shadow))
        .with_match(AttributeMatch::prefix("method", "list"))
        .with_match(AttributeMatch::regex("region", "eu-.*"))
        .with_request_mutation(MutationEntry::set("tier", "gold"));
    let rest = Route::new("rest", RouteAction::cluster("outbound|20880|v1|orders.example"));
    let config = RouteConfig::new("orders.example_20880", [canary, rest]);
    assert_eq!(routes_to_http(&config), Ok(expected.clone()));
    assert_eq!(routes_from_http(&expected), Ok(config));
}

proptest! {
    #[test]
    fn routes_survive_the_wire(config in strategies::config()) {
        let bytes = routes_to_http(&config).expect("has a form").encode_to_vec();
        let received = proto::RouteConfiguration::decode(bytes.as_slice()).expect("was encoded");
        prop_assert_eq!(routes_from_http(&received), Ok(config));
    }

    /// Damaged resources are refused or read as something that the wire can carry again; nothing panics.
    #[test]
    fn damaged_resources_do_no_harm(config in strategies::config(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = routes_to_http(&config).expect("has a form").encode_to_vec();
        for (index, byte) in damage {
            *index.get_mut(&mut bytes) = byte;
        }
        if let Ok(received) = proto::RouteConfiguration::decode(bytes.as_slice())
            && let Ok(read) = routes_from_http(&received)
        {
            prop_assert_eq!(routes_from_http(&routes_to_http(&read).expect("has a form")), Ok(read));
        }
    }
}
