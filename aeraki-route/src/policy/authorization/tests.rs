use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::config::{AuthorizationRule, Operation, Patterns, Source};

const LOCALHOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn rule(source: Source, operation: Operation) -> AuthorizationRule {
    AuthorizationRule::default().with_source(source).with_operation(operation)
}

fn policy(name: &str, action: AuthorizationAction, rule: AuthorizationRule) -> AuthorizationPolicy {
    AuthorizationPolicy::new(name, action).with_rule(rule)
}

fn method(patterns: Patterns) -> Operation {
    Operation::default().with_attribute("Method", patterns)
}

fn principals(patterns: Patterns) -> Source {
    Source { principals: patterns, ..Source::default() }
}

fn peer(principal: &str) -> Peer<'_> {
    Peer::new((LOCALHOST, 40000).into(), (LOCALHOST, 20880).into())
        .with_principal((!principal.is_empty()).then_some(principal))
}

fn allows(policies: &[AuthorizationPolicy], principal: &str, name: &str) -> bool {
    let authorization = Authorization::compile(policies).expect("valid");
    authorization.judge(&[("method", name)], &peer(principal)).allowed
}

#[test]
fn denying_comes_first_and_a_policy_that_allows_makes_the_rest_forbidden() {
    use AuthorizationAction::{Allow, Deny};
    let allow = policy("a", Allow, rule(Source::default(), method(Patterns::of(["say*", "*Now"]))));
    let deny = policy("d", Deny, rule(principals(Patterns::of(["td/ns/x/sa/bad"])), Operation::default()));
    assert!(allows(&[], "", "anything"));
    assert!(allows(std::slice::from_ref(&deny), "", "anything"));
    assert!(!allows(std::slice::from_ref(&deny), "td/ns/x/sa/bad", "anything"));
    let both = [allow, deny];
    assert!(allows(&both, "", "sayHello") && allows(&both, "", "goNow") && !allows(&both, "", "go"));
    assert!(!allows(&both, "td/ns/x/sa/bad", "sayHello"));
}

#[test]
fn a_policy_without_rules_that_allows_denies_everything() {
    let nothing = AuthorizationPolicy::new("none", AuthorizationAction::Allow);
    let authorization = Authorization::compile(&[nothing]).expect("valid");
    let decision = authorization.judge(&[("a", "b")], &peer(""));
    assert_eq!((decision.allowed, decision.why), (false, Why::NotAllowed));
}

/// What `docs/policies.md` says of empty lists: without rules nothing matches, and an empty part of a rule asks
/// nothing.
#[test]
fn empty_lists_ask_nothing_and_no_rules_match_nothing() {
    use AuthorizationAction::{Allow, Deny};
    let ruleless = |action| [AuthorizationPolicy::new("p", action)];
    assert!(!allows(&ruleless(Allow), "", "a") && allows(&ruleless(Deny), "", "a"));

    let valueless = Operation::default().with_attribute("absent", Patterns::default());
    for (what, rule) in [
        ("rules: [{}]", AuthorizationRule::default()),
        ("from: [{source: {}}], to: [{operation: {}}]", rule(Source::default(), Operation::default())),
        ("values: []", AuthorizationRule::default().with_operation(valueless)),
    ] {
        assert!(allows(&[policy("p", Allow, rule.clone())], "", "a"), "{what} matches everything");
        assert!(!allows(&[policy("p", Deny, rule)], "", "a"), "{what} matches everything");
    }
    let there = Operation::default().with_attribute("absent", Patterns::of(["*"]));
    assert!(!allows(&[policy("p", Allow, rule(Source::default(), there))], "", "a"), "a star wants a value");
    let mixed = rule(Source::default(), method(Patterns::of(["b"]))).with_operation(Operation::default());
    assert!(allows(&[policy("p", Allow, mixed)], "", "a"), "an empty entry beside others lets everything in");
}

#[test]
fn the_rule_that_decides_is_named() {
    let rules = ["a", "b"].map(|name| rule(Source::default(), method(Patterns::of([name]))));
    let policies = [AuthorizationAction::Deny, AuthorizationAction::Allow].map(|action| {
        let name = format!("{action:?}");
        rules.iter().cloned().fold(AuthorizationPolicy::new(name, action), AuthorizationPolicy::with_rule)
    });
    for (policy, name) in [(&policies[0], "Deny"), (&policies[1], "Allow")] {
        let authorization = Authorization::compile(std::slice::from_ref(policy)).expect("valid");
        let decision = authorization.judge(&[("method", "b")], &peer(""));
        assert_eq!(decision.why, Why::Policy { name: &name.into(), rule: 1 });
    }
    let authorization = Authorization::compile(&policies).expect("valid");
    assert_eq!(authorization.keys().collect::<Vec<_>>(), ["interface", "method", "generic.method"]);
}

#[test]
fn identity_is_taken_apart() {
    let shop = Source { namespaces: Patterns::of(["shop"]), ..Source::default() };
    let foreign = Source { trust_domains: Patterns::not(["cluster.local"]), ..Source::default() };
    let allow = |source| [policy("p", AuthorizationAction::Allow, rule(source, Operation::default()))];
    assert!(allows(&allow(shop.clone()), "cluster.local/ns/shop/sa/web", "m"));
    assert!(!allows(&allow(shop.clone()), "cluster.local/ns/shopping/sa/web", "m"));
    assert!(!allows(&allow(shop), "", "m"), "who shows no identity has no namespace");
    assert!(allows(&allow(foreign.clone()), "other/ns/shop/sa/web", "m"));
    assert!(!allows(&allow(foreign.clone()), "cluster.local/ns/shop/sa/web", "m"));
    assert!(allows(&allow(foreign), "", "m"), "an unwanted value that is not there is not there");
    assert!(!allows(&allow(principals(Patterns::of(["*"]))), "", "m"));
}

#[test]
fn addresses_and_ports() {
    let judge = |block: &str, ports: &[u16], address: &str| {
        let source = Source { ip_blocks: Patterns::of([block]), ..Source::default() };
        let operation = Operation { ports: ports.to_vec(), ..Operation::default() };
        let policies = [policy("p", AuthorizationAction::Allow, rule(source, operation))];
        let address = (address.parse::<IpAddr>().expect("an address"), 40000).into();
        let peer = Peer { address, ..peer("") };
        Authorization::compile(&policies).expect("valid").judge(&[("a", "b")], &peer).allowed
    };
    assert!(judge("10.0.0.0/8", &[20880], "10.255.0.1") && !judge("10.0.0.0/8", &[], "11.0.0.1"));
    assert!(judge("10.0.0.0/8", &[], "::ffff:10.1.1.1") && !judge("fd00::/8", &[], "10.1.1.1"));
    assert!(judge("::ffff:10.0.0.0/104", &[], "10.1.1.1") && !judge("::ffff:10.0.0.0/104", &[], "11.1.1.1"));
    assert!(judge("fd00::/8", &[], "fd12::1") && judge("0.0.0.0/0", &[], "1.2.3.4"));
    assert!(judge("10.1.1.1", &[], "10.1.1.1") && !judge("10.1.1.1", &[1], "10.1.1.1"));
}

#[test]
fn both_ends_of_the_connection() {
    let judge = |source: &Source, operation: &Operation, address: &str, local: &str| {
        let policies = [policy("p", AuthorizationAction::Allow, rule(source.clone(), operation.clone()))];
        let [address, local] = [address, local].map(|text| text.parse().expect("an address"));
        Authorization::compile(&policies).expect("valid").judge(&[("a", "b")], &Peer::new(address, local)).allowed
    };
    let anywhere = Source::default();
    let blocks = Patterns { not_values: vec!["10.0.1.0/24".into()], ..Patterns::of(["10.0.0.0/8", "fd00::1"]) };
    let to = Operation { destination_ip_blocks: blocks, ..Operation::default() };
    assert!(judge(&anywhere, &to, "11.0.0.1:1", "10.1.1.1:2") && judge(&anywhere, &to, "11.0.0.1:1", "[fd00::1]:2"));
    assert!(judge(&anywhere, &to, "11.0.0.1:1", "[::ffff:10.1.1.1]:2"));
    assert!(!judge(&anywhere, &to, "10.1.1.1:1", "11.0.0.1:2"), "its own address is another thing");
    assert!(!judge(&anywhere, &to, "11.0.0.1:1", "10.0.1.1:2") && !judge(&anywhere, &to, "11.0.0.1:1", "[fd00::2]:2"));

    let (anything, from) = (Operation::default(), Source { ports: vec![7, 5], ..Source::default() });
    assert!(judge(&from, &anything, "1.1.1.1:5", "2.2.2.2:9") && !judge(&from, &anything, "1.1.1.1:6", "2.2.2.2:5"));
    let from = Source { not_ports: vec![5], ..Source::default() };
    assert!(judge(&from, &anything, "1.1.1.1:6", "2.2.2.2:5") && !judge(&from, &anything, "1.1.1.1:5", "2.2.2.2:9"));
}

#[test]
fn what_cannot_be_judged_is_denied_and_what_is_only_tried_decides_nothing() {
    struct Twice;
    impl Attributes for Twice {
        fn attr(&self, key: &str) -> Option<&[u8]> {
            (key == "method").then_some(b"hello")
        }
        fn is_ambiguous(&self, key: &str) -> bool {
            key == "method"
        }
    }
    let allow = policy("a", AuthorizationAction::Allow, rule(Source::default(), method(Patterns::of(["hello"]))));
    let tried =
        policy("t", AuthorizationAction::Deny, rule(Source::default(), Operation::default())).with_dry_run(true);
    let asks = policy("m", AuthorizationAction::Deny, rule(Source::default(), method(Patterns::of(["bye"]))));
    let authorization = Authorization::compile(&[asks.with_dry_run(true)]).expect("valid");
    let decision = authorization.judge(&Twice, &peer(""));
    assert!(decision.allowed, "what is only tried denies nothing");
    assert_eq!(decision.dry_run, Some((false, Why::Ambiguous("method"))));

    let authorization = Authorization::compile(&[allow, tried]).expect("valid");
    assert_eq!(authorization.judge(&Twice, &peer("")).why, Why::Ambiguous("method"));
    let decision = authorization.judge(&[("method", "hello")], &peer(""));
    assert!(decision.allowed);
    assert_eq!(decision.dry_run, Some((false, Why::Policy { name: &"t".into(), rule: 0 })));
}

#[test]
fn a_generic_call_is_a_call_of_both_methods() {
    use AuthorizationAction::{Allow, Deny};
    let judge = |action, patterns: &Patterns| {
        let policies = [policy("p", action, rule(Source::default(), method(patterns.clone())))];
        let message = [("method", "$invoke"), ("generic.method", "pay")];
        Authorization::compile(&policies).expect("valid").judge(&message, &peer("")).allowed
    };
    for pattern in ["$invoke", "pay", "*ay", "$*"] {
        assert!(!judge(Deny, &Patterns::of([pattern])) && judge(Allow, &Patterns::of([pattern])), "{pattern}");
        assert!(!judge(Allow, &Patterns::not([pattern])), "{pattern}");
    }
    assert!(judge(Deny, &Patterns::of(["say"])) && !judge(Allow, &Patterns::of(["say"])));
}

#[test]
fn who_calls_a_method_cannot_claim_to_call_another() {
    let judge = |action, patterns| {
        let policies = [policy("p", action, rule(Source::default(), method(patterns)))];
        let message = [("method", "drop"), ("generic.method", "hello")];
        Authorization::compile(&policies).expect("valid").judge(&message, &peer("")).allowed
    };
    assert!(!judge(AuthorizationAction::Allow, Patterns::of(["hello"])));
    assert!(judge(AuthorizationAction::Allow, Patterns::not(["hello"])));
    assert!(!judge(AuthorizationAction::Deny, Patterns::not(["hello"])));
}

#[test]
fn what_is_wrong_is_named() {
    let refused = |source, operation| {
        let policies = [policy("shop/p", AuthorizationAction::Deny, rule(source, operation))];
        Authorization::compile(&policies).expect_err("wrong").to_string()
    };
    let text = "authorization policy \"shop/p\": rules[0].to[0].attributes[\"Method\"].values[1]: `*` may stand at the start or at the end only, once";
    assert_eq!(refused(Source::default(), method(Patterns::of(["a", "b*c"]))), text);
    let wide = Source { ip_blocks: Patterns::of(["::ffff:10.0.0.0/90"]), ..Source::default() };
    assert!(refused(wide, Operation::default()).contains("is neither an address nor a network"));
    let source = Source { ip_blocks: Patterns::not(["10.0.0.0/33"]), ..Source::default() };
    assert!(refused(source, Operation::default()).contains("rules[0].from[0].ipBlocks.notValues[0]: \"10.0.0.0/33\""));
    let to = Operation { destination_ip_blocks: Patterns::of(["a"]), ..Operation::default() };
    assert!(refused(Source::default(), to).contains("rules[0].to[0].destinationIpBlocks.values[0]: \"a\""));
    let from = Source { not_ports: vec![0], ..Source::default() };
    assert!(refused(from, Operation::default()).contains("rules[0].from[0].notPorts: 0 is not a port"));
}

/// Thousands of rules are not walked: those are looked at that want something which the message has, of what the fewest
/// others want too.
#[test]
fn a_message_meets_few_of_many_rules() {
    const RULES: u16 = 10_000;
    let block = |block: String| Source { ip_blocks: Patterns::of([block]), ..Source::default() };
    let from = |number: u16| block(format!("10.1.{}.{}", number >> 8, number & 255));
    let to = |number: u16| method(Patterns::of([format!("m{number}")]));
    let at = |number: u16| Operation { ports: vec![number + 1], ..Operation::default() };
    let toward = |number: u16| {
        let destination_ip_blocks = Patterns::of([format!("10.2.{}.{}", number >> 8, number & 255)]);
        Operation { destination_ip_blocks, ..Operation::default() }
    };
    let named = |number: u16| principals(Patterns::of([format!("td/ns/shop/sa/{number}")]));
    let get = |operation: Operation| operation.with_attribute("interface", Patterns::of(["com.example.*"]));
    let shop = |source: Source| Source { namespaces: Patterns::of(["shop"]), ..source };
    let any = Source::default;
    type Make<'a> = &'a dyn Fn(u16) -> AuthorizationRule;
    for (what, make, most) in [
        ("addresses", &(|number| rule(from(number), Operation::default())) as Make<'_>, 1),
        (
            "networks",
            &|number| rule(block(format!("10.{}.{}.0/24", number >> 8, number & 255)), Operation::default()),
            1,
        ),
        ("methods", &|number| rule(any(), to(number)), 1),
        ("beginnings", &|number| rule(any(), method(Patterns::of([format!("m{number}*")]))), 4),
        ("ports", &|number| rule(any(), at(number)), 1),
        ("destinations", &|number| rule(any(), toward(number)), 1),
        ("ports of clients", &|number| rule(Source { ports: vec![number + 1], ..any() }, get(toward(7))), 1),
        ("an interface of each caller", &|number| rule(named(number), get(Operation::default())), 1),
        ("methods for one namespace", &|number| rule(shop(any()), to(number)), 1),
        ("ports of one network", &|number| rule(block("10.0.0.0/8".into()), at(number)), 1),
        ("addresses of one port", &|number| rule(from(number), get(at(7))), 1),
        (
            "what is not there",
            &|number| rule(from(number), Operation::default().with_attribute("x", Patterns::of(["*"]))),
            1,
        ),
        (
            "anything that is not there",
            &|_| rule(any(), Operation::default().with_attribute("x", Patterns::of(["*"]))),
            0,
        ),
    ] {
        let policy = AuthorizationPolicy::new("p", AuthorizationAction::Deny);
        let policy = (0..RULES).map(make).fold(policy, AuthorizationPolicy::with_rule);
        let authorization = Authorization::compile(&[policy]).expect("valid");
        let message = [("method", "m4321"), ("interface", "com.example.Greeter")];
        let [address, local] = ["10.1.16.225:4322", "10.2.16.225:4322"].map(|text| text.parse().expect("an address"));
        let peer = Peer::new(address, local).with_principal(Some("td/ns/shop/sa/4321"));
        let Policies { deny, attributes, .. } = &authorization.enforced;
        let candidates = deny.count_candidates(&Subject { message: &message, peer: &peer, attributes });
        assert!(candidates <= most, "{what}: {candidates}");
    }
}

/// One rule may list as many: none of its lists is walked, and every entry of it counts.
#[test]
fn a_rule_may_list_thousands() {
    let wide = |patterns: fn(Vec<String>) -> Patterns, text: fn(u16) -> String| patterns((0..5000).map(text).collect());
    let source = Source {
        ip_blocks: wide(Patterns::of, |number| format!("10.{}.{}.0/24", number >> 8, number & 255)),
        principals: wide(Patterns::not, |number| format!("td/ns/shop/sa/{number}*")),
        ..Source::default()
    };
    let ports = (0..5000).rev().map(|number| number * 2 + 1).collect();
    let policies = [policy("p", AuthorizationAction::Allow, rule(source, Operation { ports, ..Operation::default() }))];
    let authorization = Authorization::compile(&policies).expect("valid");
    let allows = |address: &str, port, principal| {
        let address = (address.parse::<IpAddr>().expect("an address"), 1).into();
        let peer = Peer::new(address, (LOCALHOST, port).into()).with_principal(Some(principal));
        authorization.judge(&[("a", "b")], &peer).allowed
    };
    for number in [0, 1, 255, 256, 4999] {
        assert!(allows(&format!("10.{}.{}.9", number >> 8, number & 255), number * 2 + 1, "td/ns/shop/sa/x"));
    }
    assert!(!allows("10.19.136.1", 1, "td/ns/shop/sa/x") && !allows("10.0.0.1", 2, "td/ns/shop/sa/x"));
    assert!(!allows("10.0.0.1", 1, "td/ns/shop/sa/4999x"));
}

/// Judges by the words of the documentation, policy by policy: whether a message passes, and the first rule that says
/// so.
fn naive(
    policies: &[AuthorizationPolicy],
    message: &[(&str, &str)],
    peer: &Peer<'_>,
) -> (bool, Option<(String, usize)>) {
    let matches = |pattern: &str, value: &str| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => value.ends_with(end),
        (_, Some(start)) => value.starts_with(start),
        _ => pattern == value,
    };
    let fulfils = |patterns: &Patterns, value: Option<&str>| {
        let any = |list: &[String]| value.is_some_and(|value| list.iter().any(|pattern| matches(pattern, value)));
        (patterns.values.is_empty() || any(&patterns.values)) && !any(&patterns.not_values)
    };
    let is_at = |address: SocketAddr, blocks: &Patterns, ports: &[u16], not_ports: &[u16]| {
        let any = |list: &[String]| list.iter().any(|block| holds(block, address.ip()));
        (blocks.values.is_empty() || any(&blocks.values))
            && !any(&blocks.not_values)
            && (ports.is_empty() || ports.contains(&address.port()))
            && !not_ports.contains(&address.port())
    };
    let value = |name: &str| message.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    let from = |source: &Source| {
        fulfils(&source.principals, peer.principal)
            && is_at(peer.address, &source.ip_blocks, &source.ports, &source.not_ports)
    };
    let to = |operation: &Operation| {
        is_at(peer.local, &operation.destination_ip_blocks, &operation.ports, &operation.not_ports)
            && operation.attributes.iter().all(|(name, patterns)| fulfils(patterns, value(name)))
    };
    let matches = |rule: &AuthorizationRule| {
        (rule.from.is_empty() || rule.from.iter().any(from)) && (rule.to.is_empty() || rule.to.iter().any(to))
    };
    let hit = |action| {
        let mut of_action = policies.iter().filter(|policy| policy.action == action);
        of_action.find_map(|policy| Some((policy.name.clone(), policy.rules.iter().position(matches)?)))
    };
    let selective = policies.iter().any(|policy| policy.action == AuthorizationAction::Allow);
    match hit(AuthorizationAction::Deny) {
        Some(denying) => (false, Some(denying)),
        None if !selective => (true, None),
        None => {
            let allowing = hit(AuthorizationAction::Allow);
            (allowing.is_some(), allowing)
        }
    }
}

/// Compares bit by bit.
fn holds(block: &str, address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => format!("{:096b}{:032b}", 0xffff, v4.to_bits()),
        IpAddr::V6(v6) => format!("{:0128b}", v6.to_bits()),
    };
    let (network, length) = block.split_once('/').unwrap_or((block, "128"));
    let network: IpAddr = network.parse().expect("an address");
    let short = if network.is_ipv4() && block.contains('/') { 96 } else { 0 };
    let length = short + length.parse::<usize>().expect("a length");
    // a network of IPv6 holds IPv4 only where it says so
    let same_family = network.to_canonical().is_ipv4() == address.to_canonical().is_ipv4();
    same_family && bits(network)[..length] == bits(address)[..length]
}

fn patterns() -> impl Strategy<Value = Patterns> {
    let text = || prop::collection::vec(prop_oneof!["[ab]{1,2}", "[ab]{1,2}[*]", "[*][ab]{0,2}"], 0..3);
    (text(), text()).prop_map(|(values, not_values)| Patterns { values, not_values })
}

fn addresses() -> impl Strategy<Value = String> {
    prop_oneof!["10[.]0[.][01][.][0-3]", "::ffff:10[.]0[.][01][.][0-3]", "fd00::[0-3]", Just("::".to_owned())]
}

fn blocks() -> impl Strategy<Value = Patterns> {
    let block = (addresses(), prop::option::of(0..=32u8)).prop_map(|(address, length)| {
        let length = length.map(|length| if address.contains(':') { 96 + length } else { length });
        length.map_or_else(|| address.clone(), |length| format!("{address}/{length}"))
    });
    let block = prop_oneof![4 => block, 1 => Just("::/0".to_owned())];
    let list = || prop::collection::vec(block.clone(), 0..3);
    (list(), list()).prop_map(|(values, not_values)| Patterns { values, not_values })
}

fn rules() -> impl Strategy<Value = AuthorizationRule> {
    let ports = || prop::collection::vec(1..4u16, 0..3);
    let source = (patterns(), blocks(), ports(), ports()).prop_map(|(principals, ip_blocks, ports, not_ports)| {
        Source { principals, ip_blocks, ports, not_ports, ..Source::default() }
    });
    let attributes = prop::collection::btree_map("[xy]", patterns(), 0..3);
    let operation =
        (attributes, blocks(), ports(), ports()).prop_map(|(attributes, destination_ip_blocks, ports, not_ports)| {
            Operation { attributes, ports, not_ports, destination_ip_blocks }
        });
    (prop::collection::vec(source, 0..3), prop::collection::vec(operation, 0..3))
        .prop_map(|(from, to)| AuthorizationRule { from, to })
}

proptest! {
    #[test]
    fn the_index_agrees_with_the_words(
        policies in prop::collection::vec((any::<bool>(), prop::collection::vec(rules(), 0..4)), 0..5),
        x in prop::option::of("[ab]{1,3}"), y in prop::option::of("[ab]{1,3}"), principal in "[ab]{0,3}",
        ends in [(addresses(), 1..4u16), (addresses(), 1..4u16)],
    ) {
        let policies: Vec<_> = policies.into_iter().zip(0..).map(|((deny, rules), number)| {
            let action = if deny { AuthorizationAction::Deny } else { AuthorizationAction::Allow };
            AuthorizationPolicy { rules, ..AuthorizationPolicy::new(format!("p{number}"), action) }
        }).collect();
        let message: Vec<_> = [("X", &x), ("y", &y)].into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))).collect();
        let [address, local] = ends.map(|(ip, port)| (ip.parse::<IpAddr>().expect("an address"), port).into());
        let peer = Peer { address, local, ..peer(&principal) };
        let authorization = Authorization::compile(&policies).expect("valid");
        let decision = authorization.judge(&message, &peer);
        let rule = match &decision.why {
            Why::Policy { name, rule } => Some((name.to_string(), *rule)),
            _ => None,
        };
        prop_assert_eq!((decision.allowed, rule), naive(&policies, &message, &peer), "{:?}", decision);
    }
}
