//! The worked example of upstream's behaviour, and what differs from it on purpose.

mod authorization;
mod policies;
mod traffic;

use aeraki_route::config::{AttributeMatch, Destination, HashPolicy, LbPolicy, Pipe, RouteAction};

use super::*;
use crate::{
    world::DEFAULT_DOMAIN,
    yaml::{Document, parse},
};

const HOST: &str = "book.example.internal";

const SERVICE: &str = "
apiVersion: networking.istio.io/v1beta1
kind: ServiceEntry
metadata: {name: book, namespace: shop}
spec:
  hosts: [book.example.internal]
  ports: [{number: 7001, name: tcp-metaprotocol-thrift-book, protocol: TCP}]
  resolution: STATIC
  endpoints:
  - {address: 127.0.0.1, ports: {tcp-metaprotocol-thrift-book: 17001}, labels: {version: v1}}
  - {address: 127.0.0.2, labels: {version: v2}, weight: 3}
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: book, namespace: shop}
spec:
  host: book.example.internal
  subsets:
  - {name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}
  - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1beta1
kind: ServiceEntry
metadata: {name: copy, namespace: shop}
spec: {hosts: [copy.example.internal], ports: [{number: 7002, name: tcp, protocol: TCP}], resolution: STATIC}
---
";

const ROUTER: &str = "
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: book, namespace: shop}
spec:
  hosts: [book.example.internal]
  routes:
  - name: share
    match: {attributes: {method: {prefix: list}, tenant: {}, a: {exact: ''}, b: {regex: 'x+'}, c: {exact: y}}}
    route:
    - {destination: {host: book.example.internal, subset: v1}, weight: 90}
    - {destination: {host: book.example.internal, subset: v2}, weight: 10}
    mirror: {host: copy.example.internal, port: {number: 7002}}
    mirrorPercentage: {value: 12.5}
    requestMutation: [{key: tier, value: gold}]
    responseMutation: [{key: from, value: mesh}]
  - name: rest
    route: [{destination: {host: book.example.internal, subset: v2}, weight: 7}]
---
";

fn world(text: &str) -> World {
    let documents = parse("t.yaml", text).expect("YAML");
    let objects = documents.into_iter().filter_map(Document::into_object);
    World::new(objects, DEFAULT_DOMAIN)
}

fn run(text: &str) -> Translation {
    translate(&world(text), &Options::default())
}

fn rejections(translation: &Translation) -> Vec<String> {
    translation.rejections.iter().map(ToString::to_string).collect()
}

fn both(change: impl Fn(String) -> String) -> Translation {
    run(&change(format!("{SERVICE}{ROUTER}")))
}

#[test]
fn a_router_becomes_the_routes_of_its_port() {
    let translation = both(|text| text);
    assert_eq!(rejections(&translation), [""; 0]);
    let [share, rest] = translation.routes["book.example.internal_7001"].routes.as_slice() else { panic!() };
    assert_eq!(share.name, "share");
    let expected = [
        AttributeMatch::new("a", aeraki_route::config::ValueMatch::Any),
        AttributeMatch::regex("b", "x+"),
        AttributeMatch::exact("c", "y"),
        AttributeMatch::prefix("method", "list"),
        AttributeMatch::present("tenant"),
    ];
    assert_eq!(share.matches, expected);
    let weighted = RouteAction::weighted([
        ("outbound|7001|v1|book.example.internal", 90),
        ("outbound|7001|v2|book.example.internal", 10),
    ]);
    assert_eq!(share.action.destination, weighted.destination);
    let mirror = &share.action.mirrors[0];
    assert_eq!(mirror.cluster, "outbound|7002||copy.example.internal");
    assert_eq!((mirror.fraction.numerator, mirror.fraction.denominator.value()), (125_000, 1_000_000));
    assert_eq!(share.request_mutation, [aeraki_route::config::MutationEntry::set("tier", "gold")]);
    assert_eq!(share.response_mutation, [aeraki_route::config::MutationEntry::set("from", "mesh")]);
    assert_eq!(rest.action, RouteAction::cluster("outbound|7001|v2|book.example.internal"));
    assert!(rest.matches.is_empty());
}

#[test]
fn a_service_without_router_gets_a_default_route_with_its_hash_key() {
    let hash = "spec:\n  host: book.example.internal\n  trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: user}}}";
    let translation = run(&SERVICE.replace("spec:\n  host: book.example.internal", hash));
    let [route] = translation.routes["book.example.internal_7001"].routes.as_slice() else { panic!() };
    assert_eq!(route.name, "default");
    assert_eq!(route.action, RouteAction::cluster("outbound|7001||book.example.internal").with_hash_key("user"));
}

#[test]
fn a_subset_inherits_the_hash_key_unless_it_has_its_own_balancer() {
    let hash = "spec:\n  host: book.example.internal\n  trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: user}}}";
    let translation = both(|text| text.replace("spec:\n  host: book.example.internal", hash));
    let routes = &translation.routes["book.example.internal_7001"].routes;
    // v1 is round robin, v2 inherits; no key is there twice
    assert_eq!(routes[0].action.hash_policy, [HashPolicy::attribute("user")]);
    let routes =
        both(|text| text.replace("spec:\n  host: book.example.internal", hash).replace("subset: v2", "subset: v1"));
    assert_eq!(routes.routes["book.example.internal_7001"].routes[1].action.hash_policy, []);
}

#[test]
fn services_and_subsets_become_clusters() {
    let clusters = run(SERVICE).clusters;
    let addresses = |subset: &str| {
        let endpoints = &clusters[&cluster_name(7001, subset, HOST)].endpoints;
        endpoints.iter().map(|endpoint| (endpoint.address.to_string(), endpoint.weight)).collect::<Vec<_>>()
    };
    let (first, second) = (("127.0.0.1:17001".to_owned(), 1), ("127.0.0.2:7001".to_owned(), 3));
    assert_eq!(addresses(""), [first.clone(), second.clone()]);
    assert_eq!(addresses("v1"), [first]);
    assert_eq!(addresses("v2"), [second]);
    assert_eq!(clusters[&cluster_name(7001, "v1", HOST)].lb_policy, LbPolicy::RoundRobin);
    assert_eq!(clusters.len(), 3);
}

#[test]
fn names_are_looked_up_where_the_entry_says_so() {
    let clusters = run(&SERVICE.replace("STATIC", "DNS").replace("127.0.0.1", "one.example")).clusters;
    let cluster = &clusters[&cluster_name(7001, "", HOST)];
    assert!(matches!(cluster.discovery, aeraki_route::config::Discovery::StrictDns(_)));
    assert_eq!(cluster.endpoints[0].address.to_string(), "one.example:17001");
    let refused = run(&SERVICE.replace("127.0.0.1", "one.example"));
    assert_eq!(refused.clusters.len(), 1, "only the cluster without this endpoint is left");
    assert!(
        rejections(&refused)[0]
            .starts_with("t.yaml:2: ServiceEntry shop/book: spec.endpoints[0].address: \"one.example\"")
    );
}

#[test]
fn a_workload_may_be_a_unix_socket() {
    let address = |text: &str| run(&SERVICE.replace("address: 127.0.0.1", &format!("address: '{text}'")));
    for (text, expected) in [("unix:///run/book.sock", "/run/book.sock"), ("unix://@book", "@book")] {
        let translation = address(text);
        let cluster = &translation.clusters[&cluster_name(7001, "v1", HOST)];
        assert_eq!(cluster.endpoints[0].address, Pipe::new(expected).into());
        assert_eq!(rejections(&translation), [""; 0]);
    }
    let refused = rejections(&address("unix://book.sock"));
    let expected = "ServiceEntry shop/book: spec.endpoints[0].address.path: must hold a \"/\" or begin with \"@\"";
    assert!(refused[0].contains(expected), "{refused:?}");
}

#[test]
fn a_faulty_router_is_refused_whole_and_the_last_good_one_stays() {
    let last = both(|text| text);
    for (from, to, expected) in [
        ("weight: 90", "weight: 80", "spec.routes[0].route: the weights must sum up to 100, not 90"),
        ("weight: 90", "weight: 190", "spec.routes[0].route[0].weight: must not exceed 100"),
        ("12.5", "0", "spec.routes[0].mirrorPercentage.value: must lie between 0.0001 and 100"),
        (
            "subset: v1",
            "subset: v3",
            "spec.routes[0].route[0].destination.subset: no DestinationRule declares the subset `v3` of `book.example.internal`, only `v1`, `v2`",
        ),
        (
            "subset: v2}, weight: 7",
            "port: {number: 1}}, weight: 7",
            "spec.routes[1].route[0].destination.port: `book.example.internal` has no port 1, only `7001`",
        ),
        ("key: tier", "key: ''", "spec.routes[0] \"share\".requestMutation[0].key: must have 1 to 16384 bytes"),
        (
            "regex: 'x+'",
            "regex: 'x['",
            "spec.routes[0].match.attributes.b.regex: not a regular expression: unclosed character class (at byte 1)",
        ),
        (
            "hosts: [book.example.internal]\n  routes",
            "hosts: [book.example.internal, 'a b']\n  routes",
            "spec.hosts[1]: `a b` is not a host name",
        ),
    ] {
        let mut translation = both(|text| text.replace(from, to));
        let message = format!("MetaRouter shop/book: {expected}");
        assert!(rejections(&translation)[0].ends_with(&message), "{:?}", translation.rejections);
        assert_eq!(translation.held().collect::<Vec<_>>(), ["book.example.internal_7001"]);
        assert!(translation.routes.is_empty());
        translation.keep(&last);
        assert_eq!(translation.routes, last.routes);
    }
}

#[test]
fn a_kept_route_keeps_its_clusters() {
    let last = both(|text| text);
    let mut translation = both(|text| text.replace("  - {name: v2, labels: {version: v2}}\n", ""));
    assert_eq!(translation.clusters.len(), 2);
    translation.keep(&last);
    assert_eq!(translation.clusters, last.clusters);
}

#[test]
fn the_router_that_loses_a_host_is_told() {
    let rival = ROUTER
        .replace("name: book, namespace: shop", "name: rival, namespace: other")
        .replace("name: share", "name: rival");
    let translation = both(|text| format!("{rival}{text}"));
    assert_eq!(translation.routes["book.example.internal_7001"].routes[0].name, "share");
    let [rejection] = translation.rejections.as_slice() else { panic!("{:?}", translation.rejections) };
    assert_eq!(rejection.kind, RejectionKind::Conflict);
    assert!(rejection.reason.starts_with("`book.example.internal` is already routed by "), "{rejection}");
}

#[test]
fn every_port_and_host_is_handled_by_itself() {
    let ports = "ports: [{number: 1, name: tcp-dubbo}, {number: 2, name: tcp-metaprotocol}, {number: 3, name: http-MetaProtocol-dubbo}, {number: 7001,";
    let translation =
        run(&SERVICE.replace("ports: [{number: 7001,", ports).replace("hosts: [", "hosts: [second.example, "));
    let names = ["book.example.internal_3", "book.example.internal_7001", "second.example_3", "second.example_7001"];
    assert!(translation.routes.keys().eq(names.iter()));
    let expected = "t.yaml:2: ServiceEntry shop/book: spec.ports[1].name: `tcp-metaprotocol` lacks the protocol: tcp-metaprotocol-<protocol>";
    assert_eq!(rejections(&translation), [expected]);
}

#[test]
fn a_destination_of_another_service_takes_its_only_port() {
    let other = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: o, namespace: shop}\nspec: {hosts: [o.example], ports: [{number: 9, name: tcp-metaprotocol-thrift}]}\n---\n";
    let translation = both(|text| {
        format!("{text}{other}").replace("{host: book.example.internal, subset: v2}, weight: 7", "{host: o.example}")
    });
    let rest = &translation.routes["book.example.internal_7001"].routes[1];
    assert_eq!(rest.action.destination, Destination::Cluster("outbound|9||o.example".into()));
}

#[test]
fn what_has_no_effect_is_told_and_the_rest_stays_in_force() {
    let translation = both(|text| {
        text.replace("  - name: share\n    match: {attributes: {method: {prefix: list}, tenant: {}, a: {exact: ''}, b: {regex: 'x+'}, c: {exact: y}}}\n", "  - name: share\n")
            .replace("  routes:\n", "  exportTo: ['.']\n  gateways: [edge]\n  routes:\n")
    });
    let fields: Vec<_> =
        translation.rejections.iter().map(|rejection| (rejection.field.as_str(), rejection.kind)).collect();
    let ineffective = ["spec.routes[1]", "spec.exportTo", "spec.gateways"];
    assert_eq!(fields, ineffective.map(|field| (field, RejectionKind::Ineffective)));
    assert_eq!(translation.routes.len(), 1);
}

#[test]
fn a_kubernetes_service_is_a_service() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: calc, namespace: rpc}\nspec: {ports: [{name: tcp-metaprotocol-thrift, port: 9090, targetPort: http}], selector: {app: calc}}";
    let translation = run(text);
    assert!(translation.routes.contains_key("calc.rpc.svc.cluster.local_9090"));
    assert!(translation.clusters["outbound|9090||calc.rpc.svc.cluster.local"].endpoints.is_empty());
}

#[test]
fn a_host_that_cannot_be_routed_is_told() {
    for (service, expected) in [
        ("", "no service has the host `book.example.internal`"),
        (
            &*SERVICE.replace("tcp-metaprotocol-thrift", "tcp-thrift"),
            "no port of `book.example.internal` is named tcp-metaprotocol-<protocol>",
        ),
    ] {
        let translation = run(&format!("{service}{ROUTER}"));
        let told = &translation.rejections[0];
        assert_eq!((told.field.as_str(), told.reason.as_str(), told.refuses()), ("spec.hosts[0]", expected, false));
        assert!(translation.routes.is_empty());
        assert_eq!(
            translation.rejections.len(),
            if service.is_empty() { 2 } else { 1 },
            "the mirror is not there either"
        );
    }
}

#[test]
fn hosts_that_no_service_has_are_told_with_the_object_that_names_them() {
    let router =
        ROUTER.replace("host: book.example.internal, subset: v2}, weight: 7", "host: gone.example}, weight: 7");
    let router = router.replace("{host: copy.example.internal, ", "{host: copied, ");
    let rule = SERVICE.replace("host: book.example.internal\n", "host: boko.example.internal\n");
    let rules = rule.replace("- {name: v1, ", "- {name: v0, ").replace("name: v2,", "name: w2,");
    let (_, rules) = rules.split_once("---").expect("a rule");
    let wildcard =
        rules.replace("boko.", "'*.").replace("internal\n", "internal'\n").replace("name: book,", "name: all,");
    let translation = run(&format!("{SERVICE}{router}{}---{wildcard}", rules.replace("{name: book,", "{name: boko,")));
    let told: Vec<_> = translation.rejections.iter().map(ToString::to_string).collect();
    let unknown = |host| format!("no service has the host `{host}`");
    let from_elsewhere = "requests find no cluster unless it comes from elsewhere";
    assert_eq!(told.len(), 3, "{told:#?}");
    for (expected, told) in [
        format!(
            "MetaRouter shop/book: spec.routes[0].mirror.host: {}: {from_elsewhere}",
            unknown("copied.shop.svc.cluster.local")
        ),
        format!(
            "MetaRouter shop/book: spec.routes[1].route[0].destination.host: {}: {from_elsewhere}",
            unknown("gone.example")
        ),
        format!("DestinationRule shop/boko: spec.host: {}", unknown("boko.example.internal")),
    ]
    .iter()
    .zip(&told)
    {
        assert!(told.ends_with(expected), "{told} is not {expected}");
    }
    assert!(translation.rejections.iter().all(|rejection| !rejection.refuses()) && !translation.routes.is_empty());
}

#[test]
fn a_port_that_is_none_is_refused() {
    let translation = run(&format!("{}{ROUTER}", SERVICE.replace("number: 7001", "number: 0")));
    let told = &translation.rejections.iter().find(|rejection| rejection.refuses()).expect("is refused");
    assert_eq!(told.to_string(), "t.yaml:2: ServiceEntry shop/book: spec.ports[0].number: must be from 1 to 65535");
    assert!(translation.routes.is_empty());
}

#[test]
fn routes_of_one_name_are_told() {
    let translation = run(&format!("{SERVICE}{}", ROUTER.replace("name: rest", "name: share")));
    let [told] = translation.rejections.as_slice() else { panic!("{:?}", translation.rejections) };
    assert_eq!((told.field.as_str(), told.refuses()), ("spec.routes[1].name", false));
    assert_eq!(told.reason, "is the name of spec.routes[0] too: records cannot tell them apart");
    assert_eq!(translation.routes.len(), 1);
}

#[test]
fn limits_must_be_complete() {
    let bucket = "tokenBucket: {maxTokens: 1, fillInterval: 1s}";
    let whole = "domain: d, rateLimitService: s, descriptors: [{property: method, descriptorKey: m}]";
    for (limits, expected) in [
        ("localRateLimit: {}".to_owned(), "spec.localRateLimit: must hold a `tokenBucket` or `conditions`"),
        (
            "localRateLimit: {tokenBucket: {fillInterval: 1s}}".to_owned(),
            "spec.localRateLimit.tokenBucket.maxTokens: must be at least 1",
        ),
        (
            "localRateLimit: {tokenBucket: {maxTokens: 1}}".to_owned(),
            "spec.localRateLimit.tokenBucket.fillInterval: must lie between 1 microsecond and 365 days",
        ),
        (
            format!("localRateLimit: {{conditions: [{{{bucket}}}]}}"),
            "spec.localRateLimit.conditions[0].match: is missing",
        ),
        (
            "localRateLimit: {conditions: [{match: {attributes: {a: {exact: b}}}}]}".to_owned(),
            "spec.localRateLimit.conditions[0].tokenBucket: is missing",
        ),
        (
            format!("globalRateLimit: {{{}}}", whole.replace("domain: d, ", "")),
            "spec.globalRateLimit.domain: must not be empty",
        ),
        (
            format!("globalRateLimit: {{{}}}", whole.replace("method", "''")),
            "spec.globalRateLimit.descriptors[0]: must have a `property` and a `descriptorKey`",
        ),
        (
            format!("globalRateLimit: {{{whole}, match: {{attributes: {{a: {{regex: ''}}}}}}}}"),
            "spec.globalRateLimit.match.attributes.a.regex: must not be empty",
        ),
    ] {
        let translation = run(&format!("{SERVICE}{}", ROUTER.replace("  routes:", &format!("  {limits}\n  routes:"))));
        let refused: Vec<_> = translation.rejections.iter().filter(|rejection| rejection.refuses()).collect();
        assert!(matches!(refused.as_slice(), [fault] if fault.to_string().ends_with(expected)), "{refused:?}");
        assert!(translation.routes.is_empty());
    }
    for limits in [format!("localRateLimit: {{{bucket}}}"), format!("globalRateLimit: {{{whole}}}")] {
        // without a route of its own, the host has the default one
        let head = ROUTER.split_once("  routes:").expect("routes").0;
        let translation = run(&format!("{SERVICE}{head}  {limits}\n"));
        assert_eq!(rejections(&translation), [""; 0]);
        let [route] = translation.routes["book.example.internal_7001"].routes.as_slice() else { panic!() };
        assert_eq!(route.name, "default");
        assert!(route.local_rate_limit.is_some() != route.global_rate_limit.is_some());
    }
}

#[test]
fn an_entry_without_host_spoils_nothing_else() {
    let homeless =
        SERVICE.split_once("---").expect("two objects").0.replace("hosts: [book.example.internal]", "hosts: []");
    let translation = run(&format!("{}---\n{SERVICE}", homeless.replace("name: book", "name: homeless")));
    assert_eq!(rejections(&translation), ["t.yaml:2: ServiceEntry shop/homeless: spec.hosts: must name a host"]);
    assert_eq!(translation.routes.len(), 1);
}

#[test]
fn registrations_without_effect_are_told() {
    let register = |name: &str, protocol: &str, codec: &str| {
        format!(
            "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: ApplicationProtocol\nmetadata: {{name: {name}}}\nspec: {{protocol: '{protocol}', codec: '{codec}'}}\n---\n"
        )
    };
    let translation = run(&[
        register("same", "dubbo", "aeraki.meta_protocol.codec.dubbo"),
        register("thief", "thrift", "evil"),
        register("dash", "my-protocol", "codec"),
        register("blank", "trpc", ""),
    ]
    .concat());
    let expected = [
        "t.yaml:16: ApplicationProtocol blank: spec.codec: must not be empty",
        "t.yaml:11: ApplicationProtocol dash: spec.protocol: `my-protocol` cannot be the third part of tcp-metaprotocol-<protocol>",
        "t.yaml:6: ApplicationProtocol thief: spec.protocol: the codec of `thrift` is `aeraki.meta_protocol.codec.thrift` already",
    ];
    assert_eq!(rejections(&translation), expected);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// Whoever delivers the objects, and in whatever order: the translation is the same.
    #[test]
    fn the_order_of_objects_has_no_meaning(order in proptest::strategy::Strategy::prop_shuffle(proptest::strategy::Just((0..7).collect::<Vec<usize>>()))) {
        let objects: Vec<_> = contested().split_inclusive("---\n").map(str::to_owned).collect();
        let translated = |order: &[usize]| {
            // every object keeps its own file, so that its origin does not tell the order
            let objects = order.iter().flat_map(|index| parse(&index.to_string(), &objects[*index]).expect("YAML"));
            let objects = objects.filter_map(Document::into_object);
            translate(&World::new(objects, DEFAULT_DOMAIN), &Options::default())
        };
        let expected = translated(&[0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(expected.rejections.len(), 4, "{:?}", expected.rejections);
        assert_eq!(translated(&order), expected);
    }
}

/// Seven objects of which some want the same.
fn contested() -> String {
    let rename = |text: &str, name: &str| {
        text.replacen("name: book, namespace: shop", &format!("name: {name}, namespace: other"), 1)
    };
    let (entry, rule) = SERVICE.split_once("---\n").expect("two objects");
    [
        format!("{entry}---\n"),
        rule.to_owned(),
        ROUTER.to_owned(),
        rename(ROUTER, "rival"),
        rename(ROUTER, "loser").replace("weight: 90", "weight: 1"),
        format!("{}---\n", rename(entry, "more").replace("-thrift-", "-dubbo-")),
        rename(rule, "more").replace("name: v1", "name: v3"),
    ]
    .concat()
}
