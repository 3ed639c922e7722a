//! Route configurations of every kind, in the order that the wire keeps.

use aeraki_route::config::{
    AbortWith, AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Descriptor, DescriptorEntry, Destination,
    Fault, GlobalRateLimit, HashPolicy, HedgePolicy, KeyedBuckets, LimitCondition, LimitScope, LocalRateLimit,
    MutationValue, Operation, Patterns, RetryBudget, RetryOn, RetryPolicy, RoutingPriority, Source, TokenBucket,
};

use super::*;

fn key() -> impl Strategy<Value = String> {
    "[a-z]{1,4}"
}

fn value_match() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![
        any::<bool>().prop_map(ValueMatch::Present),
        Just(ValueMatch::Any),
        ".{0,3}".prop_map(ValueMatch::Exact),
        ".{0,3}".prop_map(ValueMatch::Prefix),
        ".{0,3}".prop_map(ValueMatch::Suffix),
        ".{0,3}".prop_map(ValueMatch::Contains),
        "[a-z]{1,3}".prop_map(ValueMatch::Regex),
        any::<(i64, i64)>().prop_map(|(start, end)| ValueMatch::Range { start, end }),
    ]
}

fn condition() -> impl Strategy<Value = AttributeMatch> {
    (key(), value_match(), any::<[bool; 3]>()).prop_map(|(key, value, [ignore_case, invert, empty])| {
        let text = |value: &ValueMatch| {
            use ValueMatch::{Contains, Exact, Prefix, Suffix};
            matches!(value, Exact(_) | Prefix(_) | Suffix(_) | Contains(_))
        };
        let ignore_case = ignore_case && text(&value);
        AttributeMatch::new(key, value)
            .with_ignore_case(ignore_case)
            .with_invert(invert)
            .with_treat_missing_as_empty(empty)
    })
}

fn action() -> impl Strategy<Value = RouteAction> {
    let destination = prop_oneof![
        key().prop_map(Destination::Cluster),
        prop::collection::vec((key(), 1u32..1000), 1..4)
            .prop_map(|clusters| RouteAction::weighted(clusters).destination),
    ];
    let keys = || prop::collection::vec(key(), 0..3);
    let timeouts = (prop::option::of((LONG..1 << 45).prop_map(Duration::from_nanos)), keys(), streams());
    let hash_policy = (prop::option::of(key()), any::<bool>()).prop_map(|(key, terminal)| {
        key.map_or_else(HashPolicy::source_ip, HashPolicy::attribute).with_terminal(terminal)
    });
    let hash_policy = prop::collection::vec(hash_policy, 0..3);
    let metadata = || prop::collection::btree_map(key(), ".{0,3}", 0..3);
    let destination = (destination, prop::collection::vec(metadata(), 4)).prop_map(|(mut destination, metadata)| {
        if let Destination::Weighted(clusters) = &mut destination {
            clusters.iter_mut().zip(metadata).for_each(|(cluster, metadata)| cluster.metadata_match = metadata);
        }
        destination
    });
    let destination = (destination, metadata());
    let placement = (hash_policy, prop::option::of(key()), prop::sample::select(RoutingPriority::ALL.to_vec()));
    (destination, placement, prop::collection::vec(mirror(), 0..3), timeouts, prop::option::of(retry())).prop_map(
        |((destination, metadata_match), placement, mirrors, (timeout, caller_timeouts, streams), retry)| {
            let (hash_policy, override_host, priority) = placement;
            let mut action = RouteAction::default();
            action.destination = destination;
            action.metadata_match = metadata_match;
            action.hash_policy = hash_policy;
            action.override_host = override_host;
            action.priority = priority;
            action.mirrors = mirrors;
            action.timeout = timeout;
            action.caller_timeouts = caller_timeouts;
            action.streams = streams;
            action.hedge = retry.as_ref().and_then(|(_, hedge)| *hedge);
            action.retry = retry.map(|(retry, _)| retry);
            action
        },
    )
}

fn streams() -> impl Strategy<Value = StreamTimeouts> {
    let time = || prop::option::of(prop_oneof![Just(Duration::ZERO), duration()]);
    (time(), time()).prop_map(|(idle, total)| {
        let mut timeouts = StreamTimeouts::default();
        (timeouts.idle, timeouts.total) = (idle, total);
        timeouts
    })
}

fn mirror() -> impl Strategy<Value = Mirror> {
    let options = prop::option::of((duration(), 1u32.., any::<bool>()));
    (key(), (any::<u32>(), denominator()), options).prop_map(|(cluster, (numerator, denominator), options)| {
        let mirror = Mirror::new(cluster, FractionalPercent::new(numerator, denominator));
        match options {
            None => mirror,
            Some((timeout, active, compare)) => {
                mirror.with_timeout(timeout).with_max_active(active).with_compare(compare)
            }
        }
    })
}

fn retry() -> impl Strategy<Value = (RetryPolicy, Option<HedgePolicy>)> {
    use RetryOn::{ConnectFailure, OverLimit, Refused, Reset, Timeout};
    let names = prop::sample::subsequence(vec![ConnectFailure, Reset, Refused, OverLimit, Timeout], 0..6);
    let statuses = prop::collection::btree_set(any::<u32>(), 0..3);
    let on = (names, statuses).prop_map(|(names, statuses)| {
        let statuses = statuses.into_iter().map(RetryOn::Status);
        names.into_iter().chain(statuses).collect::<Vec<_>>()
    });
    let on = on.prop_map(|on| if on.is_empty() { vec![Reset] } else { on });
    let budget = prop::option::of((share(), any::<u32>()));
    let hedge = prop::option::of(any::<bool>());
    (1u32..=10, on, prop::option::of(duration()), any::<bool>(), (duration(), duration()), budget, hedge).prop_map(
        |(attempts, on, timeout, repeatable, (base, more), budget, hedge)| {
            let mut retry = RetryPolicy::new(attempts).with_on(on).with_repeatable(repeatable);
            retry.per_try_timeout = timeout;
            retry = retry.with_back_off(base, base + more);
            if let Some((fraction, tries)) = budget {
                retry = retry.with_budget(RetryBudget::new(fraction, tries));
            }
            let may = repeatable && timeout.is_some();
            let hedge =
                hedge.map(|on| if on && may { HedgePolicy::on_per_try_timeout() } else { HedgePolicy::default() });
            (retry, hedge)
        },
    )
}

/// Below [`LONG`] nanoseconds.
fn duration() -> impl Strategy<Value = Duration> {
    (1..LONG).prop_map(Duration::from_nanos)
}

const LONG: u64 = 1 << 40;

fn denominator() -> impl Strategy<Value = Denominator> {
    prop_oneof![Just(Denominator::Hundred), Just(Denominator::TenThousand), Just(Denominator::Million)]
}

/// Not above the whole.
fn share() -> impl Strategy<Value = FractionalPercent> {
    (denominator(), any::<prop::sample::Index>()).prop_map(|(denominator, index)| {
        let numerator = index.index(denominator.value() as usize + 1);
        FractionalPercent::new(u32::try_from(numerator).expect("at most a million"), denominator)
    })
}

fn bucket() -> impl Strategy<Value = TokenBucket> {
    (1u32.., 1u32.., 1_000..LONG)
        .prop_map(|(max, fill, nanos)| TokenBucket::new(max, fill, Duration::from_nanos(nanos)))
}

fn local_limit() -> impl Strategy<Value = LocalRateLimit> {
    let condition = (conditions(), bucket()).prop_map(|(matches, bucket)| LimitCondition::new(matches, bucket));
    let keyed = prop::option::of((key(), 1u32..=1_000_000));
    (key(), bucket(), any::<bool>(), prop::collection::vec(condition, 0..3), keyed, any::<bool>()).prop_map(
        |(prefix, bucket, common, conditions, keyed, own)| {
            let mut limit = LocalRateLimit::new(prefix);
            limit.bucket = (common || conditions.is_empty()).then_some(bucket);
            limit.conditions = conditions;
            let most = if own { 100 } else { 1_000_000 };
            limit.keyed = keyed.map(|(attribute, keys)| KeyedBuckets::new(attribute).with_max_keys(keys.min(most)));
            limit.scope = if own { LimitScope::Connection } else { LimitScope::Shared };
            limit
        },
    )
}

/// Descriptors of one entry come first.
fn global_limit() -> impl Strategy<Value = GlobalRateLimit> {
    let entry = || (key(), key()).prop_map(|(key, attribute)| DescriptorEntry::new(key, attribute));
    let single = prop::collection::vec(entry().prop_map(|entry| Descriptor::new([entry])), 1..3);
    let compound = prop::collection::vec(prop::collection::vec(entry(), 2..4).prop_map(Descriptor::new), 0..3);
    let rest = (conditions(), duration(), any::<bool>(), prop::option::of(1u32..));
    (key(), key(), single, compound, rest).prop_map(|(domain, cluster, single, compound, rest)| {
        let mut limit = GlobalRateLimit::new(domain, cluster, single.into_iter().chain(compound));
        (limit.matches, limit.timeout, limit.failure_mode_deny, limit.hits_addend) = rest;
        limit
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    let with = prop_oneof![
        any::<u32>().prop_map(AbortWith::Status),
        prop::sample::select(aeraki_codec::Reason::ALL).prop_map(AbortWith::Reason),
    ];
    let abort = prop::option::of((with, share()));
    (conditions(), prop::option::of((duration(), share())), abort, 1u32..).prop_map(
        |(matches, delay, abort, active)| {
            let mut fault = Fault::new().with_max_active(active);
            fault.matches = matches;
            if let Some((delay, share)) = delay {
                fault = fault.with_delay(delay, share);
            }
            let abort = abort.or_else(|| delay.is_none().then_some((AbortWith::Status(1), FractionalPercent::ALWAYS)));
            match abort {
                Some((with, share)) => fault.with_abort(with, share),
                None => fault,
            }
        },
    )
}

fn patterns() -> impl Strategy<Value = Patterns> {
    let list = || prop::collection::vec(prop_oneof![key(), Just("*".to_owned()), "[*][a-z]{1,3}"], 0..3);
    (list(), list()).prop_map(|(values, not_values)| {
        let mut patterns = Patterns::of(values);
        patterns.not_values = not_values;
        patterns
    })
}

fn authorization() -> impl Strategy<Value = AuthorizationPolicy> {
    let blocks = || {
        prop::collection::vec(any::<std::net::IpAddr>(), 0..2)
            .prop_map(|blocks| Patterns::not(blocks.iter().map(ToString::to_string)))
    };
    let ports = || prop::collection::vec(1u16.., 0..2);
    let source = ([patterns(), patterns(), patterns()], blocks(), [ports(), ports()]).prop_map(
        |([principals, namespaces, trust_domains], blocks, ports)| {
            let mut source = Source::default();
            (source.principals, source.namespaces, source.trust_domains) = (principals, namespaces, trust_domains);
            source.ip_blocks = blocks;
            [source.ports, source.not_ports] = ports;
            source
        },
    );
    let operation = (prop::collection::btree_map(key(), patterns(), 0..3), blocks(), [ports(), ports()]).prop_map(
        |(attributes, blocks, ports)| {
            let mut operation = Operation::default();
            operation.attributes = attributes;
            operation.destination_ip_blocks = blocks;
            [operation.ports, operation.not_ports] = ports;
            operation
        },
    );
    let rule = (prop::collection::vec(source, 0..2), prop::collection::vec(operation, 0..2)).prop_map(|(from, to)| {
        let mut rule = AuthorizationRule::default();
        (rule.from, rule.to) = (from, to);
        rule
    });
    (key(), any::<[bool; 2]>(), prop::collection::vec(rule, 0..2)).prop_map(|(name, [deny, dry_run], rules)| {
        let action = if deny { AuthorizationAction::Deny } else { AuthorizationAction::Allow };
        let mut policy = AuthorizationPolicy::new(name, action).with_dry_run(dry_run);
        policy.rules = rules;
        policy
    })
}

fn conditions() -> impl Strategy<Value = Vec<AttributeMatch>> {
    prop::collection::vec(condition(), 0..3)
}

/// Entries in the order that the wire keeps: removals first.
fn mutation() -> impl Strategy<Value = Vec<MutationEntry>> {
    let removals = prop::collection::vec(key().prop_map(MutationEntry::remove), 0..3);
    let additions = (key(), mutation_value(), 0..3).prop_map(|(key, value, change)| match change {
        0 => MutationEntry::set(key, value),
        1 => MutationEntry::set_if_absent(key, value),
        _ => MutationEntry::append(key, value),
    });
    (removals, prop::collection::vec(additions, 0..3)).prop_map(|(removals, additions)| [removals, additions].concat())
}

/// Texts that look like operators, too.
pub(super) fn mutation_value() -> impl Strategy<Value = MutationValue> {
    prop_oneof![
        ".{0,3}".prop_map(MutationValue::Text),
        "(%{0,3}(REQ\\(|a|\\)|STREAM_ID)){0,3}%{0,3}".prop_map(MutationValue::Text),
        "[a-z%(]{1,4}".prop_map(MutationValue::Attribute),
        Just(MutationValue::PeerAddress),
        Just(MutationValue::RequestId),
    ]
}

pub(crate) fn config() -> impl Strategy<Value = RouteConfig> {
    let policies = (
        prop::collection::vec(authorization(), 0..2),
        prop::option::of(local_limit()),
        prop::option::of(global_limit()),
        prop::option::of(fault()),
    );
    let route = (".{0,4}", prop::collection::vec(condition(), 0..4), action(), mutation(), mutation(), policies)
        .prop_map(|(name, matches, action, request, response, policies)| {
            let mut route = Route::new(name, action);
            route.matches = matches;
            route.request_mutation = request;
            route.response_mutation = response;
            (route.authorization, route.local_rate_limit, route.global_rate_limit, route.fault) = policies;
            route
        });
    (".{0,8}", prop::collection::vec(route, 1..5)).prop_map(|(name, routes)| RouteConfig::new(name, routes))
}
