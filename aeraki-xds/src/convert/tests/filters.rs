//! The layer-7 filters of a listener.

use aeraki_route::config::{
    self, AbortWith, AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Descriptor, DescriptorEntry, Fault,
    Filter, FilterConfig, FilterOrder, GlobalRateLimit, KeyedBuckets, LimitCondition, LimitScope, LocalRateLimit,
    MetadataExchange, Operation, Patterns, RequestIds, Shed, TokenBucket,
};
use prost::Name;

use super::*;
use crate::Any;
use crate::proto::aeraki::meta_protocol_proxy::config::route::v1alpha as native;
use crate::proto::aeraki::meta_protocol_proxy::filters;
use crate::proto::aeraki::meta_protocol_proxy::v1alpha::{
    ApplicationProtocol, Codec, MetaProtocolFilter, MetaProtocolProxy, meta_protocol_proxy::RouteSpecifier,
};
use crate::proto::envoy::config::core::v3::{Address, SocketAddress, address, socket_address::PortSpecifier};
use crate::proto::envoy::config::listener::v3 as listener;

/// Reads a listener with these filters, `name` and message each.
fn listen(filters: Vec<(&str, Option<Any>)>, known: &KnownFilters) -> Result<config::MetaProtocolProxy, String> {
    let filters = filters.into_iter().map(|(name, config)| MetaProtocolFilter { name: name.to_owned(), config });
    let action = native::RouteAction {
        cluster_specifier: Some(native::route_action::ClusterSpecifier::Cluster("c".to_owned())),
        ..native::RouteAction::default()
    };
    let route = native::Route { route: Some(action), ..native::Route::default() };
    let proxy = MetaProtocolProxy {
        stat_prefix: "s".to_owned(),
        route_specifier: Some(RouteSpecifier::RouteConfig(native::RouteConfiguration {
            routes: vec![route],
            ..native::RouteConfiguration::default()
        })),
        protocol: Some(ApplicationProtocol {
            name: "dubbo".to_owned(),
            codec: Some(Codec { name: "d".to_owned(), config: None }),
            multiplexing: false,
        }),
        meta_protocol_filters: filters.collect(),
        reverse_response_filters: true,
        ..MetaProtocolProxy::default()
    };
    let socket = SocketAddress {
        address: "127.0.0.1".to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(1)),
        ..SocketAddress::default()
    };
    let filter = listener::Filter {
        name: "m".to_owned(),
        config_type: Some(listener::filter::ConfigType::TypedConfig(Any::pack(&proxy))),
    };
    let chain = listener::FilterChain { filters: vec![filter], ..listener::FilterChain::default() };
    let listener = listener::Listener {
        name: "l".to_owned(),
        address: Some(Address { address: Some(address::Address::SocketAddress(socket)) }),
        filter_chains: vec![chain],
        ..listener::Listener::default()
    };
    let mut converted = listener_from_proto(&listener, known).map_err(|error| error.to_string())?;
    match converted.filter_chains.remove(0).filter {
        config::NetworkFilter::MetaProtocolProxy(service) => Ok(*service),
        other => panic!("{other:?}"),
    }
}

fn one(filter: &str, config: Option<Any>) -> Result<Filter, String> {
    let name = format!("aeraki.meta_protocol.filters.{filter}");
    listen(vec![(&name, config)], &KnownFilters::default()).map(|mut service| service.filters.remove(0))
}

/// Packs a message that is written as YAML.
fn packed<M: Name>(yaml: &str) -> Option<Any> {
    let value = from_yaml(&M::full_name(), yaml).encode_to_vec().into();
    Some(Any { type_url: M::type_url(), value })
}

#[test]
fn every_filter_is_read() {
    use filters::{authorization, fault, local_ratelimit, metadata_exchange, ratelimit, request_id, shed};
    let get = || AttributeMatch::exact("method", "get");
    let second = Duration::from_secs(1);
    let local = packed::<local_ratelimit::v1alpha::LocalRateLimit>(
        "{stat_prefix: p, token_bucket: {max_tokens: 5, fill_interval: 1s}, keyed: {attribute: user, max_keys: 9}, scope: CONNECTION, \
         conditions: {match: {metadata: {name: method, exact_match: get}}, \
         token_bucket: {max_tokens: 2, tokens_per_fill: 2, fill_interval: 1s}}}",
    );
    let global = packed::<ratelimit::v1alpha::RateLimit>(
        "{domain: d, rate_limit_service: {grpc_service: {envoy_grpc: {cluster_name: rls}}}, failure_mode_deny: true, \
         descriptors: {property: method, descriptor_key: m}, hits_addend: 3, compound_descriptors: \
         {entries: [{property: a, descriptor_key: x}, {property: b, descriptor_key: z}]}}",
    );
    let authorization = packed::<authorization::v1alpha::Authorization>(
        "{policies: {name: p, action: DENY, dry_run: true, rules: {to: {attributes: {method: {values: drop*}}}}}}",
    );
    let local_expected = LocalRateLimit::new("p")
        .with_bucket(TokenBucket::new(5, 1, second))
        .with_condition(LimitCondition::new([get()], TokenBucket::new(2, 2, second)))
        .with_keyed(KeyedBuckets::new("user").with_max_keys(9))
        .with_scope(LimitScope::Connection);
    let entries = [DescriptorEntry::new("x", "a"), DescriptorEntry::new("z", "b")];
    let descriptors = [Descriptor::new([DescriptorEntry::new("m", "method")]), Descriptor::new(entries)];
    let global_expected =
        GlobalRateLimit::new("d", "rls", descriptors).with_failure_mode_deny(true).with_hits_addend(3);
    assert_eq!(global_expected.timeout, Duration::from_millis(20));
    let drop = Operation::default().with_attribute("method", Patterns::of(["drop*"]));
    let policy = AuthorizationPolicy::new("p", AuthorizationAction::Deny)
        .with_dry_run(true)
        .with_rule(AuthorizationRule::default().with_operation(drop));
    let fault_expected = Fault::new()
        .with_delay(second, FractionalPercent::ALWAYS)
        .with_abort(AbortWith::reason("timeout").expect("is one"), FractionalPercent::percent(5));
    for (name, config, expected) in [
        ("router", None, FilterConfig::Router),
        ("istio_stats", None, FilterConfig::Unenforced),
        ("local_ratelimit", local, FilterConfig::LocalRateLimit(local_expected.into())),
        ("ratelimit", global, FilterConfig::GlobalRateLimit(global_expected.into())),
        ("authorization", authorization, FilterConfig::Authorization(vec![policy])),
        ("authorization", None, FilterConfig::Authorization(vec![])),
        (
            "fault",
            packed::<fault::v1alpha::Fault>(
                "{delay: {fixed_delay: 1s}, abort: {reason: timeout, percentage: {numerator: 5}}}",
            ),
            FilterConfig::Fault(fault_expected.into()),
        ),
        ("shed", packed::<shed::v1alpha::Shed>("{max_requests: 9}"), FilterConfig::Shed(Shed::at(9))),
        ("metadata_exchange", None, FilterConfig::MetadataExchange(MetadataExchange::default())),
        (
            "metadata_exchange",
            packed::<metadata_exchange::v1alpha::MetadataExchange>("{trust_boundary: true}"),
            FilterConfig::MetadataExchange(MetadataExchange::default().with_trust_boundary(true)),
        ),
        (
            "request_id",
            packed::<request_id::v1alpha::RequestId>("{replace: true}"),
            FilterConfig::RequestIds(RequestIds::default().with_replace(true)),
        ),
    ] {
        let type_url = config.as_ref().map(|any| any.type_url.clone());
        let filter = one(name, config).expect(name);
        assert_eq!((filter.config, filter.type_url), (expected, type_url), "{name}");
    }
}

#[test]
fn an_adaptive_bound_has_defaults() {
    let shed = packed::<filters::shed::v1alpha::Shed>("{adaptive: {max_requests: 50, update_interval: 0.5s}}");
    let Ok(Filter { config: FilterConfig::Shed(Shed { adaptive: Some(adaptive), .. }), .. }) = one("shed", shed) else {
        panic!("is adaptive")
    };
    let expected =
        config::AdaptiveConcurrency::default().with_range(3, 50).with_update_interval(Duration::from_millis(500));
    assert_eq!(adaptive, expected);
}

#[test]
fn responses_may_pass_in_the_opposite_order() {
    let service = listen(vec![], &KnownFilters::default()).expect("is valid");
    assert_eq!(service.response_order, FilterOrder::Reversed);
}

#[test]
fn a_filter_of_an_embedder_must_be_known() {
    let place = r#"listener "l": filter_chains[0].filters[0] "m".typed_config.meta_protocol_filters[0]"#;
    let any = || Some(Any { type_url: "acme/Audit".to_owned(), value: Bytes::from_static(b"\x08\x01") });
    let refused = listen(vec![("acme.audit", any())], &KnownFilters::default()).expect_err("is unknown");
    assert_eq!(refused, format!(r#"{place}.name: there is no filter "acme.audit""#));
    let known = KnownFilters::new(["acme.audit"]);
    let filter = listen(vec![("acme.audit", any())], &known).expect("is known").filters.remove(0);
    assert_eq!(filter, Filter::new("acme.audit", FilterConfig::Custom(vec![8, 1])).with_type_url("acme/Audit"));
}

#[test]
fn filters_that_cannot_be_done_are_refused() {
    let place = r#"listener "l": filter_chains[0].filters[0] "m".typed_config.meta_protocol_filters[0].config"#;
    let condition = filters::local_ratelimit::v1alpha::LocalRateLimitCondition::default();
    let limit = filters::local_ratelimit::v1alpha::LocalRateLimit { conditions: vec![condition], ..Default::default() };
    let other = Any::pack(&filters::shed::v1alpha::Shed::default());
    let own = |filter: &str| {
        format!(
            "listener \"l\": filterChains[0].filter.metaProtocolProxy.filters[0] \"aeraki.meta_protocol.filters.{filter}\""
        )
    };
    for (filter, config, expected) in [
        ("local_ratelimit", Some(Any::pack(&limit)), format!("{place}.conditions[0].match: is required")),
        ("ratelimit", None, format!("{place}.rate_limit_service: is required")),
        ("request_id", Some(other), format!("{place}: expected type.googleapis.com/aeraki.")),
        ("local_ratelimit", None, own("local_ratelimit") + ".config.statPrefix: must not be empty"),
        ("fault", None, own("fault") + ".config.delay: is required where"),
        ("shed", None, own("shed") + ".config.maxRequests: is required where"),
    ] {
        let text = one(filter, config).expect_err(filter);
        assert!(text.starts_with(&expected), "{text:?} should start with {expected:?}");
    }
}
