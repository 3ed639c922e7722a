//! The resource that a subscriber of Aeraki gets: an HTTP route configuration in disguise.

use aeraki_kube::{
    DEFAULT_DOMAIN, Options, World, translate,
    yaml::{self, Document},
};
use aeraki_xds::{
    proto::envoy::{
        config::route::v3::{
            HeaderMatcher, RouteAction, RouteConfiguration,
            header_matcher::HeaderMatchSpecifier,
            route::Action,
            route_action::{ClusterSpecifier, hash_policy::PolicySpecifier},
            route_match::PathSpecifier,
        },
        r#type::v3::fractional_percent::DenominatorType,
    },
    type_url,
};

const MESH: &str = "
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {name: stock, namespace: shop}
spec:
  hosts: [stock.example.internal]
  ports: [{number: 7001, name: tcp-metaprotocol-thrift-stock, protocol: TCP}]
  workloadSelector: {labels: {app: stock}}
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: stock, namespace: shop}
spec:
  host: stock.example.internal
  subsets:
  - {name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: user}}}}
  - {name: v2, labels: {version: v2}}
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: stock, namespace: shop}
spec:
  hosts: [stock.example.internal]
  routes:
  - name: trial
    match: {attributes: {method: {prefix: find}}}
    route:
    - {destination: {host: stock.example.internal, subset: v1}, weight: 90}
    - {destination: {host: stock.example.internal, subset: v2}, weight: 10}
    mirror: {host: copy.example.internal, port: {number: 7002}}
    mirrorPercentage: {value: 12.5}
    requestMutation: [{key: tier, value: gold}]
  - name: others
    route: [{destination: {host: stock.example.internal, subset: v2}}]
";

/// Translates the mesh, and decodes what a subscriber of its one port gets.
fn served() -> RouteConfiguration {
    let documents = yaml::parse("mesh.yaml", MESH).expect("YAML");
    let objects = documents.into_iter().filter_map(Document::into_object);
    let translation = translate(&World::new(objects, DEFAULT_DOMAIN), &Options::default());
    let snapshot = translation.to_snapshot(None).expect("encodes");
    let resource = snapshot.get(type_url::ROUTE, "stock.example.internal_7001").expect("is served");
    resource.body().unpack().expect("a route configuration")
}

#[test]
fn a_route_configuration_has_the_shape_that_proxies_expect() {
    let served = served();
    assert_eq!(served.name, "stock.example.internal_7001");
    let [host] = served.virtual_hosts.as_slice() else { panic!("{served:?}") };
    assert_eq!((host.name.as_str(), host.domains.as_slice()), ("dummy", &["*".to_owned()][..]));
    let [trial, others] = host.routes.as_slice() else { panic!("{host:?}") };
    assert_eq!((trial.name.as_str(), others.name.as_str()), ("trial", "others"));
    for route in [trial, others] {
        let path = route.r#match.as_ref().and_then(|matches| matches.path_specifier.clone());
        assert_eq!(path, Some(PathSpecifier::Prefix("/".into())));
    }
    let prefix = HeaderMatcher {
        name: "method".into(),
        header_match_specifier: Some(HeaderMatchSpecifier::PrefixMatch("find".into())),
        ..HeaderMatcher::default()
    };
    assert_eq!(trial.r#match.as_ref().expect("a match").headers, [prefix]);
    let mutation = trial.request_headers_to_add[0].header.as_ref().expect("a header");
    assert_eq!((mutation.key.as_str(), mutation.value.as_str()), ("tier", "gold"));
}

#[test]
fn its_actions_name_clusters_as_istio_does() {
    let served = served();
    let actions: Vec<&RouteAction> = served.virtual_hosts[0]
        .routes
        .iter()
        .map(|route| match &route.action {
            Some(Action::Route(action)) => action,
            other => panic!("{other:?}"),
        })
        .collect();
    let Some(ClusterSpecifier::WeightedClusters(weighted)) = &actions[0].cluster_specifier else {
        panic!("{:?}", actions[0])
    };
    let shares: Vec<_> = weighted.clusters.iter().map(|cluster| (cluster.name.as_str(), cluster.weight)).collect();
    let expected =
        [("outbound|7001|v1|stock.example.internal", Some(90)), ("outbound|7001|v2|stock.example.internal", Some(10))];
    assert_eq!(shares, expected);
    let mirror = &actions[0].request_mirror_policies[0];
    assert_eq!(mirror.cluster, "outbound|7002||copy.example.internal");
    let fraction = mirror.runtime_fraction.as_ref().and_then(|fraction| fraction.default_value).expect("a fraction");
    assert_eq!((fraction.numerator, fraction.denominator()), (125_000, DenominatorType::Million));
    let Some(PolicySpecifier::Header(key)) = &actions[0].hash_policy[0].policy_specifier else {
        panic!("{:?}", actions[0])
    };
    assert_eq!((key.header_name.as_str(), actions[0].hash_policy.len()), ("user", 1));
    let only = ClusterSpecifier::Cluster("outbound|7001|v2|stock.example.internal".into());
    assert_eq!(actions[1].cluster_specifier, Some(only));
}
