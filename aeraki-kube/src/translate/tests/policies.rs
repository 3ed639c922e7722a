//! What routers say of retries, faults, limits, mirrors and changes.

use aeraki_route::config::{
    AbortWith, Descriptor, DescriptorEntry, Fault, FractionalPercent, GlobalRateLimit, HedgePolicy, KeyedBuckets,
    LimitCondition, LocalRateLimit, Mirror, MutationEntry, MutationValue, RetryBudget, RetryOn, RetryPolicy, Route,
    TokenBucket,
};

use super::*;

/// Translates the router whose first route also has these fields.
fn with(fields: &str) -> Translation {
    both(|text| text.replace("  - name: share\n", &format!("  - name: share\n    {fields}\n")))
}

fn first(translation: &Translation) -> &Route {
    assert_eq!(rejections(translation), [""; 0]);
    &translation.routes["book.example.internal_7001"].routes[0]
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn timeouts_retries_and_hedging_are_carried() {
    let translation = with(
        "timeout: 5s\n    callerTimeouts: [_TO, timeout]\n    overrideHost: node\n    hedging: {onPerTryTimeout: true}\n    retries: {attempts: 3, perTryTimeout: 1s, \
         retryOn: 'connect-failure,refused-stream,100', repeatable: true, backOff: {base: 10ms}, \
         budget: {percentage: {value: 12.5}, minPerSecond: 1}}",
    );
    let action = &first(&translation).action;
    let fraction = FractionalPercent::new(125_000, aeraki_route::config::Denominator::Million);
    let retry = RetryPolicy::new(3)
        .with_per_try_timeout(seconds(1))
        .with_on([RetryOn::ConnectFailure, RetryOn::Refused, RetryOn::Status(100)])
        .with_repeatable(true)
        .with_back_off(Duration::from_millis(10), Duration::from_millis(100))
        .with_budget(RetryBudget::new(fraction, 1));
    assert_eq!((action.timeout, action.retry.as_ref()), (Some(seconds(5)), Some(&retry)));
    assert_eq!(action.hedge, Some(HedgePolicy::on_per_try_timeout()));
    assert_eq!(action.caller_timeouts, ["_TO", "timeout"]);
    assert_eq!(action.override_host.as_deref(), Some("node"));
    assert_eq!(first(&with("retries: {}")).action.retry, Some(RetryPolicy::new(1)));
}

#[test]
fn faults_are_carried() {
    let translation = with(
        "fault: {delay: {percentage: {value: 50}, fixedDelay: 2s}, abort: {percentage: {value: 0}, reason: over_limit}}",
    );
    let million = |parts| FractionalPercent::new(parts, aeraki_route::config::Denominator::Million);
    let expected = Fault::new()
        .with_delay(seconds(2), million(500_000))
        .with_abort(AbortWith::reason("over_limit").expect("is one"), million(0));
    assert_eq!(first(&translation).fault, Some(expected));
    let expected = Fault::new().with_abort(AbortWith::Status(31), FractionalPercent::ALWAYS);
    assert_eq!(first(&with("fault: {abort: {status: 31}}")).fault, Some(expected));
}

#[test]
fn several_mirrors_are_carried() {
    let mirrors = "mirrors: [{destination: {host: book.example.internal, subset: v2}, percentage: {value: 1}, \
                   timeout: 3s, compare: true}, {destination: {host: copy.example.internal, port: {number: 7002}}}]";
    let translation = both(|text| {
        text.replace("    mirror: {host: copy.example.internal, port: {number: 7002}}\n", &format!("    {mirrors}\n"))
            .replace("    mirrorPercentage: {value: 12.5}\n", "")
    });
    let percent = FractionalPercent::new(10_000, aeraki_route::config::Denominator::Million);
    let expected = [
        Mirror::new("outbound|7001|v2|book.example.internal", percent).with_timeout(seconds(3)).with_compare(true),
        Mirror::new("outbound|7002||copy.example.internal", FractionalPercent::ALWAYS),
    ];
    assert_eq!(first(&translation).action.mirrors, expected);
}

#[test]
fn changes_of_every_kind_are_carried() {
    let changes = "requestMutation: [{key: a, value: v, operation: SET}, {key: b, operation: REMOVE}, \
                   {key: c, value: w, operation: APPEND}, {key: d, operation: SET_IF_ABSENT, valueFrom: {attribute: user}}, \
                   {key: e, valueFrom: {peerAddress: true}}, {key: f, valueFrom: {requestId: true}}]";
    let translation = both(|text| text.replace("requestMutation: [{key: tier, value: gold}]", changes));
    let expected = [
        MutationEntry::set("a", "v"),
        MutationEntry::remove("b"),
        MutationEntry::append("c", "w"),
        MutationEntry::set_if_absent("d", MutationValue::Attribute("user".to_owned())),
        MutationEntry::set("e", MutationValue::PeerAddress),
        MutationEntry::set("f", MutationValue::RequestId),
    ];
    assert_eq!(first(&translation).request_mutation, expected);
}

const LIMITS: &str = "localRateLimit: {tokenBucket: {maxTokens: 5, tokensPerFill: 2, fillInterval: 1m}, \
                      keyed: {attribute: user, maxKeys: 9}, conditions: [{match: {attributes: {method: {exact: get}}}, \
                      tokenBucket: {maxTokens: 1, fillInterval: 1s}}]}";
const GLOBAL: &str = "globalRateLimit: {domain: d, rateLimitService: rls, denyOnFail: true, hitsAddend: 2, \
                      match: {attributes: {method: {exact: get}}}, descriptors: [{property: method, descriptorKey: m}, \
                      {entries: [{property: a, descriptorKey: x}, {property: b, descriptorKey: y}]}]}";

fn local(prefix: &str) -> LocalRateLimit {
    let get = AttributeMatch::exact("method", "get");
    LocalRateLimit::new(prefix)
        .with_bucket(TokenBucket::new(5, 2, seconds(60)))
        .with_condition(LimitCondition::new([get], TokenBucket::new(1, 1, seconds(1))))
        .with_keyed(KeyedBuckets::new("user").with_max_keys(9))
}

fn global() -> GlobalRateLimit {
    let entries = [DescriptorEntry::new("x", "a"), DescriptorEntry::new("y", "b")];
    let descriptors = [Descriptor::new([DescriptorEntry::new("m", "method")]), Descriptor::new(entries)];
    GlobalRateLimit::new("d", "rls", descriptors)
        .with_match(AttributeMatch::exact("method", "get"))
        .with_failure_mode_deny(true)
        .with_hits_addend(2)
}

#[test]
fn limits_of_a_router_are_those_of_its_routes() {
    let translation = both(|text| text.replace("  routes:\n", &format!("  {LIMITS}\n  {GLOBAL}\n  routes:\n")));
    first(&translation);
    for route in &translation.routes["book.example.internal_7001"].routes {
        assert_eq!(route.local_rate_limit, Some(local(HOST)), "{}", route.name);
        assert_eq!(route.global_rate_limit, Some(global()), "{}", route.name);
    }
}

#[test]
fn a_route_with_limits_of_its_own_is_exempt_from_those_of_the_router() {
    let other =
        "globalRateLimit: {domain: other, rateLimitService: rls, descriptors: [{property: a, descriptorKey: b}]}";
    let translation = both(|text| {
        text.replace("  routes:\n", &format!("  {other}\n  routes:\n"))
            .replace("  - name: share\n", &format!("  - name: share\n    {LIMITS}\n    {GLOBAL}\n"))
    });
    let share = first(&translation);
    assert_eq!(share.local_rate_limit, Some(local("book.example.internal.share")));
    assert_eq!(share.global_rate_limit, Some(global()));
    let rest = &translation.routes["book.example.internal_7001"].routes[1];
    assert_eq!(rest.local_rate_limit, None);
    assert_eq!(rest.global_rate_limit.as_ref().map(|limit| limit.domain.as_str()), Some("other"));
}

#[test]
fn a_rate_limit_service_that_is_surely_none_is_told() {
    let limit = |service: &str| {
        format!(
            "globalRateLimit: {{domain: d, rateLimitService: '{service}', descriptors: [{{property: a, descriptorKey: b}}]}}"
        )
    };
    let consequence = "a proxy without a cluster of this name refuses the table, and keeps its last one";
    for (service, reason) in [
        ("outbound|7001||rls.example", "no service has the host `rls.example`"),
        ("outbound|7001||copy.example.internal", "`copy.example.internal` has no port `7001`"),
        (
            "copy.example.internal",
            "is a host, where the name of a cluster stands: outbound|<port>||copy.example.internal",
        ),
    ] {
        let own = both(|text| text.replace("  routes:\n", &format!("  {}\n  routes:\n", limit(service))));
        let of_route = with(&limit(service));
        for (translation, place) in [(own, "spec"), (of_route, "spec.routes[0]")] {
            let [told] = translation.rejections.as_slice() else { panic!("{:?}", translation.rejections) };
            assert_eq!(told.field, format!("{place}.globalRateLimit.rateLimitService"));
            assert_eq!((&told.reason, told.refuses()), (&format!("{reason}: {consequence}"), false));
        }
    }
    for known in ["outbound|7002||copy.example.internal", "ratelimit"] {
        assert_eq!(rejections(&with(&limit(known))), [""; 0]);
    }
}

#[test]
fn what_is_wrong_with_a_route_is_told_in_the_words_of_the_router() {
    let limit = |fields: &str| format!("localRateLimit: {{tokenBucket: {{maxTokens: 1, fillInterval: 1s}}, {fields}}}");
    let asked =
        |descriptor: &str| format!("globalRateLimit: {{domain: d, rateLimitService: s, descriptors: [{descriptor}]}}");
    for (fields, expected) in [
        ("timeout: 0s".to_owned(), "timeout: must be a time above zero, at most 365 days"),
        ("timeout: 9000h".to_owned(), "timeout: must be a time above zero, at most 365 days"),
        ("retries: {attempts: 11}".to_owned(), "retries.attempts: must lie between 1 and 10"),
        (
            "timeout: 1s\n    retries: {perTryTimeout: 2s}".to_owned(),
            "retries.perTryTimeout: must not exceed the timeout of 1s",
        ),
        (
            "retries: {retryOn: 'reset,5xx'}".to_owned(),
            "retries.retryOn: \"5xx\" is unknown: use connect-failure, reset, refused, over-limit, timeout, or statuses of the protocol",
        ),
        ("retries: {retryOn: ''}".to_owned(), "retries.retryOn: must name a kind of failure"),
        ("retries: {backOff: {max: 1ms}}".to_owned(), "retries.backOff.max: must not be below the base of 25ms"),
        ("retries: {backOff: {max: 9000h}}".to_owned(), "retries.backOff.max: must be at most 365 days"),
        (
            "retries: {budget: {percentage: {value: 101}}}".to_owned(),
            "retries.budget.percentage.value: must be 0, or lie between 0.0001 and 100",
        ),
        ("hedging: {onPerTryTimeout: true}".to_owned(), "hedging.onPerTryTimeout: has no `retries` to apply to"),
        (
            "hedging: {onPerTryTimeout: true}\n    retries: {perTryTimeout: 1s}".to_owned(),
            "hedging.onPerTryTimeout: is only for requests that are `repeatable`",
        ),
        (
            "hedging: {onPerTryTimeout: true}\n    retries: {repeatable: true}".to_owned(),
            "hedging.onPerTryTimeout: needs a `perTryTimeout`",
        ),
        ("callerTimeouts: ['']".to_owned(), "callerTimeouts: must not hold an empty name"),
        ("overrideHost: ''".to_owned(), "overrideHost: must not be empty"),
        ("fault: {}".to_owned(), "fault: must hold a `delay` or an `abort`"),
        ("fault: {delay: {}}".to_owned(), "fault.delay.fixedDelay: must be a time above zero, at most an hour"),
        (
            "fault: {delay: {fixedDelay: 1s, percentage: {value: 100.5}}}".to_owned(),
            "fault.delay.percentage.value: must be 0, or lie between 0.0001 and 100",
        ),
        ("fault: {abort: {}}".to_owned(), "fault.abort: must hold either a `reason` or a `status`"),
        (
            "fault: {abort: {status: 1, reason: fault}}".to_owned(),
            "fault.abort: must hold either a `reason` or a `status`",
        ),
        ("fault: {abort: {reason: luck}}".to_owned(), "fault.abort.reason: there is no reason \"luck\""),
        (
            "mirrors: [{destination: {host: copy.example.internal}}]".to_owned(),
            "mirrors: excludes `mirror`, which is given too",
        ),
        (limit("keyed: {}"), "localRateLimit.keyed.attribute: must not be empty"),
        (limit("keyed: {attribute: a, maxKeys: 0}"), "localRateLimit.keyed.maxKeys: must lie between 1 and 1000000"),
        (
            limit(
                "conditions: [{match: {attributes: {a: {regex: '('}}}, tokenBucket: {maxTokens: 1, fillInterval: 1s}}]",
            ),
            "localRateLimit.conditions[0].match.attributes.a.regex: not a regular expression: unclosed group (at byte 0)",
        ),
        (
            asked("{property: a, entries: [{property: a, descriptorKey: b}]}"),
            "globalRateLimit.descriptors[0].entries: excludes `property` and `descriptorKey`, which are given too",
        ),
        (
            "localRateLimit: {tokenBucket: {maxTokens: 1, fillInterval: 9000h}}".to_owned(),
            "localRateLimit.tokenBucket.fillInterval: must lie between 1 microsecond and 365 days",
        ),
        (
            asked(&["{property: a, descriptorKey: b}"; 65].join(", ")),
            "globalRateLimit.descriptors: must not hold more than 64 entries",
        ),
        (
            asked("{entries: [{property: a}]}"),
            "globalRateLimit.descriptors[0].entries[0]: must have a `property` and a `descriptorKey`",
        ),
    ] {
        let translation = with(&fields);
        let expected = format!("MetaRouter shop/book: spec.routes[0].{expected}");
        let [told] = &*rejections(&translation) else { panic!("{fields}: {:?}", translation.rejections) };
        assert!(told.ends_with(&expected), "{told}");
        assert_eq!(translation.held().collect::<Vec<_>>(), ["book.example.internal_7001"]);
    }
}

#[test]
fn changes_that_contradict_themselves_are_refused() {
    let several = "must hold exactly one of `attribute`, `peerAddress` and `requestId`";
    for (change, field, reason) in [
        ("{key: a, operation: REMOVE, value: v}", "value", "is not for removals"),
        ("{key: a, operation: REMOVE, valueFrom: {requestId: true}}", "valueFrom", "is not for removals"),
        ("{key: a, value: v, valueFrom: {requestId: true}}", "valueFrom", "excludes `value`, which is given too"),
        ("{key: a, valueFrom: {}}", "valueFrom", several),
        ("{key: a, valueFrom: {peerAddress: true, requestId: true}}", "valueFrom", several),
        ("{key: a, valueFrom: {attribute: ''}}", "valueFrom.attribute", "must not be empty"),
    ] {
        let translation = both(|text| text.replace("{key: from, value: mesh}", change));
        let expected = format!("spec.routes[0].responseMutation[0].{field}: {reason}");
        let [told] = &*rejections(&translation) else { panic!("{change}: {:?}", translation.rejections) };
        assert!(told.ends_with(&expected), "{told}");
    }
}

#[test]
fn a_failure_that_is_never_tried_again_is_told() {
    for (on, name) in [("timeout", "timeout"), ("100", "a status"), ("reset", "reset")] {
        let translation = with(&format!("retries: {{retryOn: 'refused,{on}'}}"));
        let [told] = translation.rejections.as_slice() else { panic!("{:?}", translation.rejections) };
        assert_eq!((told.field.as_str(), told.kind), ("spec.routes[0].retries.retryOn", RejectionKind::Ineffective));
        assert_eq!(told.reason, format!("{name} is tried again only where `repeatable` is true"));
        assert_eq!(translation.routes.len(), 1);
    }
}

/// What is translated has a form on the wire, and means the same there.
#[test]
fn policies_survive_the_wire() {
    let translation = both(|text| {
        text.replace("  routes:\n", &format!("  {LIMITS}\n  {GLOBAL}\n  routes:\n")).replace(
            "  - name: share\n",
            "  - name: share\n    retries: {retryOn: 'reset,100', repeatable: true}\n    fault: {abort: {status: 3}}\n",
        )
    });
    let snapshot = translation.to_snapshot(None).expect("encodes");
    let resource = snapshot.get(aeraki_xds::type_url::ROUTE, "book.example.internal_7001").expect("is served");
    let sent = resource.body().unpack().expect("a route configuration");
    let read = aeraki_xds::convert::routes_from_http(&sent).expect("is valid");
    assert_eq!(&read, &*translation.routes["book.example.internal_7001"]);
}
