use proptest::prelude::*;

use super::*;

fn error(text: &str) -> String {
    parse("a.yaml", text).expect_err(text).to_string()
}

const ROUTER: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: greet, namespace: shop, uid: 17}
spec:
  hosts: [greet]
  routes:
  - name: all
    route:
    - destination: {host: greet}
";

#[test]
fn reads_many_documents_of_many_kinds() {
    let text = format!(
        "# a comment\n---\n{ROUTER}---\n# nothing\n--- # nothing either\n...\n---\napiVersion: apps/v1\nkind: Deployment\nspec: {{}}\n"
    );
    let documents = parse("a.yaml", &text).expect(&text);
    let [Document::Object(router), Document::Other { kind, origin }] = documents.as_slice() else {
        panic!("{documents:?}");
    };
    assert_eq!(router.reference().to_string(), "a.yaml:3: MetaRouter shop/greet");
    assert_eq!((kind.as_str(), &**origin), ("apps/v1 Deployment", "a.yaml:17"));
}

#[test]
fn markers_inside_a_line_or_word_do_not_cut() {
    let text = ROUTER.replace("name: all", "name: '--- ...'").replace("uid: 17", "uid: ---x");
    assert_eq!(parse("a.yaml", &text).expect(&text).len(), 1);
}

#[test]
fn a_fault_is_reported_with_place_field_and_reason() {
    let expected = "a.yaml:9:5: spec.routes[0].naem: unknown field `naem`, \
        expected one of name, match, route, mirror, mirrorPercentage, mirrors, timeout, callerTimeouts, overrideHost, retries, hedging, fault, \
        localRateLimit, globalRateLimit, requestMutation, responseMutation";
    assert_eq!(error(&format!("---\n---\n{}", ROUTER.replace("  - name: all", "  - naem: all"))), expected);
    let with_match =
        |text: &str| ROUTER.replace("    route:", &format!("    match: {{attributes: {text}}}\n    route:"));
    for (text, expected) in [
        (ROUTER.replace("kind:", "kidn:"), "a.yaml:4:1: missing field `kind`"),
        (ROUTER.replace("[greet]", "greet"), "a.yaml:5:10: spec.hosts: must be a list"),
        (
            ROUTER.replace("{host: greet}", "{host: greet}\n      weight: -1"),
            "a.yaml:10:15: spec.routes[0].route[0].weight: must be a whole number from 0 to 4294967295",
        ),
        (
            ROUTER.replace("{host: greet}", "greet"),
            "a.yaml:9:20: spec.routes[0].route[0].destination: must be a mapping",
        ),
        (ROUTER.replace("[greet]", "[[greet]]"), "a.yaml:5:11: spec.hosts[0]: must be a text"),
        (
            ROUTER.replace("    route:", "    retries: {repeatable: maybe}\n    route:"),
            "a.yaml:8:27: spec.routes[0].retries.repeatable: must be true or false",
        ),
        (
            ROUTER.replace("{host: greet}", "{hots: greet}"),
            "a.yaml:9:21: spec.routes[0].route[0].destination.hots: unknown field `hots`, expected one of host, subset, port",
        ),
        (
            with_match("{method: {exact: a, prefix: b}}"),
            "a.yaml:8:34: spec.routes[0].match.attributes.method: at most one of `exact`, `prefix` and `regex` can be given",
        ),
        (
            ROUTER.replace("  routes:", "  hosts: [a]\n  routes:"),
            "a.yaml:6:3: spec: duplicate mapping key `hosts` is not allowed here",
        ),
        (
            ROUTER.replace("  routes:", "  localRateLimit: {tokenBucket: {fillInterval: 1day}}\n  routes:"),
            "a.yaml:6:48: spec.localRateLimit.tokenBucket.fillInterval: `1day` is not a duration such as `1m30s` or `100ms`",
        ),
    ] {
        assert_eq!(error(&text), expected);
    }
}

#[test]
fn a_kind_that_is_misspelt_is_refused_with_the_name_of_its_object() {
    let own = "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter";
    for (header, expected) in [
        (
            "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRoute",
            "a.yaml:2:1: kind: MetaRoute shop/greet: there is no kind `MetaRoute`: use `MetaRouter`",
        ),
        (
            "kind: metarouter\napiVersion: metaprotocol.aeraki.io/v1alpha1",
            "a.yaml:1:1: kind: metarouter shop/greet: there is no kind `metarouter`: use `MetaRouter`",
        ),
        (
            "apiVersion: dubbo.aeraki.io/v1alpha1\nkind: Router",
            "a.yaml:2:1: kind: Router shop/greet: there is no kind `Router` in `dubbo.aeraki.io`, only \
             `DubboAuthorizationPolicy`",
        ),
        (
            "apiVersion: metaprotocol.aeraki.com/v1alpha1\nkind: MetaRouter",
            "a.yaml:1:1: apiVersion: MetaRouter shop/greet: must be `metaprotocol.aeraki.io/v1alpha1`, \
             not `metaprotocol.aeraki.com/v1alpha1`, for a `MetaRouter`",
        ),
        (
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntrys",
            "a.yaml:2:1: kind: ServiceEntrys shop/greet: there is no kind `ServiceEntrys`: use `ServiceEntry`",
        ),
        (
            "apiVersion: security.istio.io/v1\nkind: DestinationRule",
            "a.yaml:1:1: apiVersion: DestinationRule shop/greet: must be `networking.istio.io/v1`, \
             not `security.istio.io/v1`, for a `DestinationRule`",
        ),
        (
            "apiVersion: v1\nkind: Servcie",
            "a.yaml:2:1: kind: Servcie shop/greet: there is no kind `Servcie`: use `Service`",
        ),
    ] {
        assert_eq!(error(&ROUTER.replace(own, header)), expected);
    }
    for others in [
        "apiVersion: serving.knative.dev/v1\nkind: Service",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService",
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy",
        "apiVersion: redis.aeraki.io/v1alpha1\nkind: RedisService",
        "apiVersion: v1\nkind: Secret",
    ] {
        let documents = parse("a.yaml", &ROUTER.replace(own, others)).expect(others);
        assert!(matches!(documents.as_slice(), [Document::Other { .. }]), "{documents:?}");
    }
}

#[test]
fn a_text_that_is_not_yaml_is_reported_on_one_line() {
    for text in ["a: &a [*a]".to_owned(), "\"\u{1b}[31m\": 1".to_owned(), ROUTER.replace("[greet]", "[greet")] {
        let error = error(&text);
        assert!(error.starts_with("a.yaml:") && !error.contains(char::is_control), "{error}");
    }
}

#[test]
fn other_kinds_keep_fields_that_are_not_used() {
    let text = "{apiVersion: networking.istio.io/v1beta1, kind: ServiceEntry, metadata: {name: a}, spec: {location: MESH_EXTERNAL}}";
    assert_eq!(parse("a.yaml", text).expect(text).len(), 1);
}

#[test]
fn what_is_written_is_read_again() {
    let text = ROUTER.replace(
        "    route:",
        "    match: {attributes: {a: {exact: x}, b: {regex: y}, c: {}}}\n    mirror: {host: m, subset: s, port: {number: 7}}\n    mirrorPercentage: {value: 12.5}\n    requestMutation: [{key: k, value: v}, {key: r, operation: REMOVE}, {key: a, operation: SET_IF_ABSENT, valueFrom: {peerAddress: true}}]\n    timeout: 2s\n    retries: {attempts: 2, perTryTimeout: 1s, retryOn: reset, repeatable: true, backOff: {base: 1ms}, budget: {percentage: {value: 5}}}\n    hedging: {onPerTryTimeout: true}\n    fault: {delay: {percentage: {value: 1}, fixedDelay: 1s}, abort: {reason: fault}}\n    globalRateLimit: {domain: d, rateLimitService: s, descriptors: [{entries: [{property: a, descriptorKey: b}]}]}\n    route:",
    );
    let text =
        text.replace("  routes:", "  localRateLimit: {tokenBucket: {maxTokens: 3, fillInterval: 1m0.5s}}\n  routes:");
    let read: crate::crd::MetaRouter = serde_saphyr::from_str(&text).expect(&text);
    let written = serde_saphyr::to_string(&read).expect("YAML");
    assert!(written.starts_with("apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n"), "{written}");
    assert_eq!(serde_saphyr::from_str::<crate::crd::MetaRouter>(&written).expect(&written), read);
}

#[test]
fn policies_that_are_written_are_read_again() {
    for kind in [
        "metaprotocol.aeraki.io/v1alpha1, kind: MetaAuthorizationPolicy",
        "dubbo.aeraki.io/v1alpha1, kind: DubboAuthorizationPolicy",
    ] {
        let text = format!(
            "{{apiVersion: {kind}, metadata: {{name: a, namespace: shop}}, spec: {{action: DENY, rules: [\
             {{from: [{{source: {{notPrincipals: [a], ipBlocks: [10.0.0.0/8]}}}}], \
             to: [{{operation: {{methods: [get*], attributes: {{user: {{notValues: [root]}}}}, ports: [1]}}}}]}}]}}}}"
        );
        let documents = parse("a.yaml", &text).expect(&text);
        let Some(Document::Object(object)) = documents.first() else { panic!("{documents:?}") };
        let written = match &**object {
            AnyObject::MetaAuthorizationPolicy(policy) => serde_saphyr::to_string(policy),
            AnyObject::DubboAuthorizationPolicy(policy) => serde_saphyr::to_string(policy),
            other => panic!("{other:?}"),
        };
        let written = written.expect("YAML");
        assert_eq!(parse("a.yaml", &written).expect(&written), documents, "{written}");
    }
    let unknown = "{apiVersion: dubbo.aeraki.io/v1alpha1, kind: DubboAuthorizationPolicy, metadata: {name: a}, spec: {selector: {}}}";
    assert!(error(unknown).contains("spec.selector: unknown field `selector`, expected one of rules, action"));
}

#[test]
fn empty_labels_are_no_labels() {
    let text = ROUTER.replace("uid: 17", "labels:, annotations: null, creationTimestamp: null");
    assert_eq!(parse("a.yaml", &text).expect(&text).len(), 1);
}

proptest! {
    /// Whatever an editor leaves behind is read, or refused with a place inside the text.
    #[test]
    fn a_mutilated_text_is_read_or_refused(at in 0..ROUTER.len(), gone in 0..20_usize, new in "[-a0:{}\\[\\], \n.#&*'\"|>?!%@~\t]{0,12}") {
        let end = ROUTER.len().min(at + gone);
        let text = format!("{}{new}{}", &ROUTER[..at], &ROUTER[end..]);
        if let Err(error) = parse("a.yaml", &text) {
            prop_assert!(error.line <= text.lines().count() + 1, "{error}\n{text}");
            prop_assert!(!error.reason.is_empty() && !error.to_string().contains('\n'), "{error}");
        }
    }
}
