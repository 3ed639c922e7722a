//! Who may ask for what.

use aeraki_route::config::{AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Operation, Patterns, Source};

use super::*;

const DUBBO: &str = "
apiVersion: networking.istio.io/v1beta1
kind: ServiceEntry
metadata: {name: order, namespace: shop}
spec: {hosts: [order.example], ports: [{number: 20880, name: tcp-metaprotocol-dubbo}]}
---
";

/// A policy of the namespace `shop`.
fn policy(kind: &str, name: &str, spec: &str) -> String {
    let group = if kind == "DubboAuthorizationPolicy" { "dubbo" } else { "metaprotocol" };
    format!(
        "apiVersion: {group}.aeraki.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{{spec}}}\n---\n"
    )
}

fn meta(name: &str, spec: &str) -> String {
    policy("MetaAuthorizationPolicy", name, spec)
}

/// The names of the policies of each route, by route configuration.
fn guarded(translation: &Translation) -> Vec<(&str, Vec<&str>)> {
    let mut guarded = Vec::new();
    for (name, config) in &translation.routes {
        for route in &config.routes {
            guarded.push((name.as_str(), route.authorization.iter().map(|policy| policy.name.as_str()).collect()));
        }
    }
    guarded
}

#[test]
fn a_policy_guards_every_route_of_its_namespace() {
    let spec = "action: DENY, dryRun: true, rules: [{from: [{source: {principals: [a/ns/b/sa/c], notNamespaces: [d], \
                trustDomains: [e], notIpBlocks: [10.0.0.0/8], ports: [2], notPorts: [3]}}], to: [{operation: {interfaces: [i.*], notMethods: ['*x'], \
                attributes: {user: {values: [root]}}, ports: [7001], notPorts: [1], \
                destinationIpBlocks: [10.1.0.0/16], notDestinationIpBlocks: [10.1.1.1]}}]}, {}]";
    let elsewhere = format!("{DUBBO}{}", meta("far", "action: DENY")).replace("namespace: shop", "namespace: other");
    let translation = both(|text| format!("{text}{}{elsewhere}", meta("lock", spec)));
    assert_eq!(rejections(&translation), [""; 0]);
    let mut source = Source::default();
    source.principals = Patterns::of(["a/ns/b/sa/c"]);
    source.namespaces = Patterns::not(["d"]);
    source.trust_domains = Patterns::of(["e"]);
    source.ip_blocks = Patterns::not(["10.0.0.0/8"]);
    (source.ports, source.not_ports) = (vec![2], vec![3]);
    let mut operation = Operation::default()
        .with_attribute("interface", Patterns::of(["i.*"]))
        .with_attribute("method", Patterns::not(["*x"]))
        .with_attribute("user", Patterns::of(["root"]));
    (operation.ports, operation.not_ports) = (vec![7001], vec![1]);
    operation.destination_ip_blocks = Patterns::of(["10.1.0.0/16"]);
    operation.destination_ip_blocks.not_values = vec!["10.1.1.1".to_owned()];
    let rule = AuthorizationRule::default().with_source(source).with_operation(operation);
    let expected = AuthorizationPolicy::new("shop/lock", AuthorizationAction::Deny)
        .with_rule(rule)
        .with_rule(AuthorizationRule::default())
        .with_dry_run(true);
    for route in &translation.routes["book.example.internal_7001"].routes {
        assert_eq!(route.authorization, std::slice::from_ref(&expected), "{}", route.name);
    }
}

#[test]
fn policies_may_name_hosts_and_those_of_dubbo_guard_dubbo() {
    let policies = [
        meta("all", ""),
        meta("one", "hosts: [book.example.internal]"),
        policy("DubboAuthorizationPolicy", "dubbo", "action: DENY"),
    ];
    let translation = run(&format!("{SERVICE}{DUBBO}{}", policies.concat()));
    assert_eq!(rejections(&translation), [""; 0]);
    let expected = [
        ("book.example.internal_7001", vec!["shop/all", "shop/one"]),
        ("order.example_20880", vec!["shop/all", "shop/dubbo"]),
    ];
    assert_eq!(guarded(&translation), expected);
}

#[test]
fn a_host_that_a_policy_cannot_guard_is_told() {
    let abroad = meta("abroad", "hosts: [book.example.internal, nowhere.example]");
    let translation = run(&format!("{SERVICE}{}", abroad.replace("namespace: shop", "namespace: other")));
    let told: Vec<_> = translation.rejections.iter().map(|told| (told.field.as_str(), told.reason.as_str())).collect();
    let expected = [
        ("spec.hosts[0]", "`book.example.internal` is a service of the namespace `shop`: the policy holds for nobody"),
        ("spec.hosts[1]", "no service has the host `nowhere.example`: the policy holds for nobody"),
    ];
    assert_eq!(told, expected);
    assert!(translation.rejections.iter().all(|told| told.kind == RejectionKind::Ineffective));
    assert_eq!(guarded(&translation), [("book.example.internal_7001", vec![])]);
}

#[test]
fn a_policy_that_holds_for_some_or_for_nobody_says_so() {
    let other = |policy: String| policy.replace("namespace: shop", "namespace: other");
    let nobody = "the policy holds for nobody";
    let copy = "no port of `copy.example.internal` is named tcp-metaprotocol-<protocol>".to_owned();
    let any = format!("no service of `other` has a port named tcp-metaprotocol-<protocol>: {nobody}");
    let dubbo = format!("no service of `shop` has a port named tcp-metaprotocol-dubbo: {nobody}");
    for (policy, field, reason) in [
        (meta("p", "hosts: [book.example.internal, copy.example.internal]"), "spec.hosts[1]", copy.clone()),
        (meta("p", "hosts: [copy.example.internal]"), "spec.hosts[0]", format!("{copy}: {nobody}")),
        (other(meta("p", "")), "metadata.namespace", any.clone()),
        (other(meta("p", "hosts: ['*']")), "metadata.namespace", any),
        (policy("DubboAuthorizationPolicy", "p", ""), "metadata.namespace", dubbo),
    ] {
        let translation = run(&format!("{SERVICE}{policy}"));
        let [told] = translation.rejections.as_slice() else { panic!("{:?}", translation.rejections) };
        assert_eq!((told.field.as_str(), &told.reason, told.kind), (field, &reason, RejectionKind::Ineffective));
    }
}

/// `*` is what people write for all services; which services another pattern means, nobody can tell.
#[test]
fn a_star_is_every_service_of_the_namespace_and_no_other_pattern_is_taken() {
    let translation = run(&format!("{SERVICE}{DUBBO}{}", meta("all", "hosts: ['*']")));
    assert_eq!(rejections(&translation), [""; 0]);
    let all = vec!["shop/all"];
    assert_eq!(guarded(&translation), [("book.example.internal_7001", all.clone()), ("order.example_20880", all)]);

    let translation = run(&format!("{SERVICE}{DUBBO}{}", meta("some", "hosts: [order.example, '*.internal']")));
    let [told] = translation.rejections.as_slice() else { panic!("{:?}", translation.rejections) };
    let reason = "`*.internal` is not a host: name each of them, or `*` for all services of the namespace";
    assert_eq!((told.field.as_str(), told.reason.as_str(), told.refuses()), ("spec.hosts[1]", reason, true));
    assert_eq!(translation.held().collect::<Vec<_>>(), ["book.example.internal_7001", "order.example_20880"]);
}

#[test]
fn what_loses_a_policy_is_named() {
    let guarded_by = |spec: &str| run(&format!("{SERVICE}{DUBBO}{}", meta("lock", spec)));
    let last = guarded_by("action: DENY");
    let lost = |spec: &str| guarded_by(spec).lost_policies(&last);
    let sentence = |routes: &str| vec![format!("the authorization policy `shop/lock` no longer decides for {routes}")];
    assert_eq!(lost("action: ALLOW"), [""; 0]);
    assert_eq!(lost("hosts: [order.exmaple]"), sentence("`book.example.internal_7001`, `order.example_20880`"));
    assert_eq!(lost("hosts: [book.example.internal]"), sentence("`order.example_20880`"));
    assert_eq!(lost("dryRun: true"), sentence("`book.example.internal_7001`, `order.example_20880`"));
    // what is served no more needs no guard
    assert_eq!(run(DUBBO).lost_policies(&last), sentence("`order.example_20880`"));

    let many = |policy: &str| {
        let services = (0..12).map(|n| DUBBO.replace("order", &format!("order{n:02}"))).collect::<String>();
        run(&format!("{services}{policy}"))
    };
    let [told] = &many("").lost_policies(&many(&meta("lock", "")))[..] else { panic!("one policy") };
    assert!(told.ends_with("`order09.example_20880` and 2 more"), "{told}");
}

/// Who may declare the host in another namespace must neither take its policies away nor let anybody in.
#[test]
fn an_entry_elsewhere_opens_nothing() {
    let impostor = DUBBO.replace("namespace: shop", "namespace: aside, creationTimestamp: '2001-01-01T00:00:00Z'");
    let lock = meta("lock", "rules: [{to: [{operation: {methods: [a]}}]}]");
    let translation = run(&format!("{impostor}{DUBBO}{lock}"));
    assert_eq!(rejections(&translation), [""; 0]);
    assert_eq!(guarded(&translation), [("order.example_20880", vec!["shop/lock"])]);

    let open = meta("open", "rules: [{}]").replace("namespace: shop", "namespace: aside");
    let translation = run(&format!("{impostor}{DUBBO}{lock}{open}"));
    let [told] = translation.rejections.as_slice() else { panic!("{:?}", translation.rejections) };
    assert_eq!((told.field.as_str(), told.kind), ("spec.hosts", RejectionKind::Conflict));
    assert!(told.reason.ends_with("both namespaces have authorization policies for it"), "{}", told.reason);
    assert_eq!(guarded(&translation), []);
    assert!(translation.held.contains("order.example_20880"));
}

/// What a refused policy would deny must not be open meanwhile.
#[test]
fn a_faulty_policy_is_refused_and_what_was_in_force_stays() {
    let last = run(&format!("{SERVICE}{DUBBO}{}", meta("lock", "action: DENY")));
    let field = "spec.rules[0]";
    for (rule, expected) in [
        ("from: [{source: {principals: ['']}}]", "from[0].source.principals[0]: must not be empty"),
        (
            "from: [{source: {notNamespaces: [a, b*c]}}]",
            "from[0].source.notNamespaces[1]: `*` may stand at the start or at the end only, once",
        ),
        (
            "from: [{source: {ipBlocks: [10.0.0.0/33]}}]",
            "from[0].source.ipBlocks[0]: \"10.0.0.0/33\" is neither an address nor a network such as 10.0.0.0/8",
        ),
        ("from: [{source: {notPorts: [0]}}]", "from[0].source.notPorts[0]: 0 is not a port"),
        (
            "to: [{operation: {notDestinationIpBlocks: [::1, '*']}}]",
            "to[0].operation.notDestinationIpBlocks[1]: \"*\" is neither an address nor a network such as 10.0.0.0/8",
        ),
        ("to: [{operation: {ports: [0]}}]", "to[0].operation.ports[0]: 0 is not a port"),
        ("to: [{operation: {notPorts: [65536]}}]", "to[0].operation.notPorts[0]: 65536 is not a port"),
        (
            "to: [{operation: {methods: [a], attributes: {Method: {values: [b]}}}}]",
            "to[0].operation.attributes.method: excludes `methods` and `notMethods`, which are given too",
        ),
        (
            "to: [{operation: {attributes: {user: {notValues: ['*a*']}}}}]",
            "to[0].operation.attributes.user.notValues[0]: `*` may stand at the start or at the end only, once",
        ),
    ] {
        let policy = meta("lock", &format!("hosts: [book.example.internal], rules: [{{{rule}}}]"));
        let mut translation = run(&format!("{SERVICE}{DUBBO}{policy}"));
        let [told] = translation.rejections.as_slice() else { panic!("{:?}", translation.rejections) };
        let text = told.to_string();
        assert!(text.ends_with(&format!("MetaAuthorizationPolicy shop/lock: {field}.{expected}")), "{text}");
        assert!(told.refuses());
        assert_eq!(translation.held().collect::<Vec<_>>(), ["book.example.internal_7001"]);
        assert!(translation.routes.contains_key("order.example_20880"), "it is not meant for this one");
        translation.keep(&last);
        let name = "book.example.internal_7001";
        assert_eq!(translation.routes[name], last.routes[name]);
    }
}
