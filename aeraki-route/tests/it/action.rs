//! What a route does with a message.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use aeraki_codec::Change;
use aeraki_route::{
    RouteTable,
    config::{
        AuthorizationAction, AuthorizationPolicy, Denominator, Destination, Fault, FractionalPercent, HashPolicy,
        LocalRateLimit, Mirror, MutationEntry, RetryPolicy, Route, RouteAction, RouteConfig, TokenBucket,
        WeightedCluster,
    },
};
use xxhash_rust::xxh64::xxh64;

use crate::compile;

fn table(action: RouteAction) -> RouteTable {
    compile([Route::new("r", action)])
}

#[test]
fn clusters_own_consecutive_intervals_in_list_order() {
    let table = table(RouteAction::weighted([("a", 3), ("none", 0), ("b", 1), ("c", 6)]));
    let route = &table.routes()[0];
    let picks: Vec<_> = (0..12).map(|draw| &**route.pick(draw)).collect();
    assert_eq!(picks, ["a", "a", "a", "b", "c", "c", "c", "c", "c", "c", "a", "a"]);
    assert_eq!(&**route.pick(u64::MAX), "c", "2^64 - 1 leaves 5 when divided by 10");
    let shares: Vec<_> = route.clusters().map(|(name, weight)| (&**name, weight)).collect();
    assert_eq!(shares, [("a", 3), ("b", 1), ("c", 6)]);
}

#[test]
fn a_single_cluster_takes_every_draw() {
    let table = table(RouteAction::cluster("only"));
    assert!([0, 1, u64::MAX].iter().all(|draw| &**table.routes()[0].pick(*draw) == "only"));
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

fn hashed(policy: impl IntoIterator<Item = HashPolicy>, message: &[(&str, &str)]) -> Option<u64> {
    let action = policy.into_iter().fold(RouteAction::cluster("c"), RouteAction::with_hash_policy);
    table(action).routes()[0].place(message, CLIENT, 0)?.hash
}

#[test]
fn the_hash_joins_values_in_the_order_of_the_policy_and_skips_missing_ones() {
    let policy = || [HashPolicy::attribute("User"), HashPolicy::attribute("zone")];
    let (user, zone) = (xxh64(b"ab", 0), xxh64(b"c", 0));
    let both = hashed(policy(), &[("user", "ab"), ("zone", "c")]);
    assert_eq!(both, Some(user.rotate_left(1) ^ zone), "as Envoy joins the hashes of headers");
    assert_ne!(both, hashed(policy(), &[("zone", "ab"), ("user", "c")]));
    assert_ne!(hashed(policy(), &[("user", "ab"), ("zone", "ab")]), Some(0), "equal values do not cancel out");
    assert_eq!(hashed(policy(), &[("user", "ab")]), Some(user));
    assert_eq!(hashed(policy(), &[("zone", "c")]), Some(zone));
    assert_eq!(hashed(policy(), &[("other", "x")]), None);
    assert_eq!(hashed([], &[("user", "ab")]), None);
}

#[test]
fn the_hash_of_a_client_is_that_of_its_address_as_written() {
    let client = xxh64(b"10.0.0.7", 0);
    assert_eq!(hashed([HashPolicy::source_ip()], &[]), Some(client));
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let table = table(RouteAction::cluster("c").with_hash_policy(HashPolicy::source_ip()));
    let place = table.routes()[0].place::<[(&str, &str)]>(&[], longest.parse().expect("an address"), 0);
    assert_eq!(place.and_then(|place| place.hash), Some(xxh64(longest.as_bytes(), 0)));
    // of clients without a session, the address counts
    let session = [HashPolicy::attribute("session").with_terminal(true), HashPolicy::source_ip()];
    assert_eq!(hashed(session.clone(), &[("session", "s")]), Some(xxh64(b"s", 0)));
    assert_eq!(hashed(session, &[]), Some(client));
    let late = [HashPolicy::source_ip(), HashPolicy::attribute("absent").with_terminal(true), HashPolicy::source_ip()];
    assert_eq!(hashed(late, &[]), Some(client), "what came before is a hash, too");
}

#[test]
fn a_client_names_the_endpoint_that_it_wants() {
    let table = table(RouteAction::cluster("c").with_override_host("Host"));
    let host = |text: &str| table.routes()[0].place(&[("host", text)], CLIENT, 0)?.host;
    for text in ["127.0.0.1:80", "[::1]:80", "/run/a.sock", "@name"] {
        assert_eq!(host(text).map(|host| host.to_string()).as_deref(), Some(text));
    }
    for nonsense in ["", "127.0.0.1", "localhost:80", "\u{0}"] {
        assert_eq!(host(nonsense), None, "{nonsense:?}");
    }
    assert_eq!(table.demand().keys().collect::<Vec<_>>(), ["host"]);
}

#[test]
fn criteria_are_those_of_the_route_and_of_the_cluster_that_was_picked() {
    let criteria =
        |action: &RouteAction, draw| table(action.clone()).routes()[0].place(&[("", "")], CLIENT, draw)?.criteria;
    let action = RouteAction::cluster("c").with_metadata_match("stage", "prod").with_metadata_match("app", "a");
    let found = criteria(&action, 7).expect("some");
    assert_eq!(found.keys().collect::<Vec<_>>(), ["app", "stage"]);
    let labels = |labels: &[(&str, &str)]| labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    assert!(found.hold(&labels(&[("app", "a"), ("stage", "prod"), ("more", "")])));
    assert!(!found.hold(&labels(&[("app", "a"), ("stage", "test")])) && !found.hold(&labels(&[("app", "a")])));
    assert_eq!(criteria(&RouteAction::cluster("c"), 0), None);

    let shares = ["v1", "none", "v2"].map(|name| WeightedCluster::new("c", 1).with_metadata_match("version", name));
    let mut split = action;
    let [mut first, mut none, second] = shares;
    none.weight = 0;
    first.metadata_match.insert("stage".into(), "test".into());
    split.destination = Destination::Weighted(vec![first, none, second]);
    let [first, second] = [0, 1].map(|draw| criteria(&split, draw).expect("some"));
    assert!(first.hold(&labels(&[("app", "a"), ("stage", "test"), ("version", "v1")])), "its own come first");
    assert!(second.hold(&labels(&[("app", "a"), ("stage", "prod"), ("version", "v2")])));
}

#[test]
fn mirrors_mutations_and_timeout_are_carried() {
    let mirror = Mirror::new("shadow", FractionalPercent::new(1, Denominator::Hundred));
    let action = RouteAction::cluster("c").with_mirror(mirror.clone()).with_timeout(Duration::from_secs(1));
    let table = compile([Route::new("r", action)
        .with_request_mutation(MutationEntry::set("a", "1"))
        .with_request_mutation(MutationEntry::remove("b"))
        .with_response_mutation(MutationEntry::set("c", "2"))]);
    let route = table.find(&[("k", "v")]).expect("it takes everything");
    assert!(route.mirrors().iter().map(|target| target.config()).eq([&mirror]));
    assert_eq!(route.timeout(), Some(Duration::from_secs(1)));
    let mutation =
        |changes: Option<&std::sync::Arc<aeraki_route::Changes>>| changes.and_then(|changes| changes.fixed().cloned());
    let (request, response) = (mutation(route.request_changes()), mutation(route.response_changes()));
    let (request, response) = (request.expect("plain texts"), response.expect("plain texts"));
    assert_eq!(request.get(b"a"), Some(&Change::Set("1".into())));
    assert_eq!(request.get(b"b"), Some(&Change::Remove));
    assert_eq!(response.len(), 1);
}

#[test]
fn demand_names_condition_and_hash_keys() {
    let table = table(RouteAction::cluster("c").with_hash_key("User"));
    assert_eq!(table.demand().keys().collect::<Vec<_>>(), ["user"]);
}

#[test]
fn state_goes_on_with_the_name_of_a_route_where_it_tells_one() {
    let mirrored = |name: &str| {
        Route::new(name, RouteAction::cluster("c").with_mirror(Mirror::new("m", FractionalPercent::ALWAYS)))
    };
    let old = compile(["a", "twice", "twice", "", ""].map(mirrored));
    let new = RouteConfig::new("test", ["a", "a", "twice", ""].map(mirrored));
    let new = RouteTable::compile_after(&new, Some(&old)).expect("valid");
    let goes_on = |place: usize| {
        let mirror = &new.routes()[place].mirrors()[0];
        old.routes().iter().any(|old| std::sync::Arc::ptr_eq(&old.mirrors()[0], mirror))
    };
    assert_eq!([0, 1, 2, 3].map(goes_on), [true, false, false, false]);
}

#[test]
fn equal_limits_of_one_prefix_are_one_in_a_table_and_after_it() {
    let limited = |name: &str, prefix: &str| {
        let bucket = TokenBucket::new(1, 1, Duration::from_secs(1));
        Route::new(name, RouteAction::cluster("c"))
            .with_local_rate_limit(LocalRateLimit::new(prefix).with_bucket(bucket))
    };
    let limit = |table: &RouteTable, place: usize| {
        table.routes()[place].policies().and_then(|policies| policies.local_limit.clone()).expect("limited")
    };
    let old = compile([limited("", "shared"), limited("", "shared"), limited("", "own")]);
    assert!(std::sync::Arc::ptr_eq(&limit(&old, 0), &limit(&old, 1)));
    assert!(!std::sync::Arc::ptr_eq(&limit(&old, 0), &limit(&old, 2)));
    let new = RouteConfig::new("test", [limited("x", "own"), limited("y", "shared")]);
    let new = RouteTable::compile_after(&new, Some(&old)).expect("valid");
    assert!(std::sync::Arc::ptr_eq(&limit(&new, 0), &limit(&old, 2)));
    assert!(std::sync::Arc::ptr_eq(&limit(&new, 1), &limit(&old, 0)));
}

#[test]
fn equal_lists_of_authorization_policies_are_compiled_once_in_a_table_and_after_it() {
    let policy = |name: &str| AuthorizationPolicy::new(name, AuthorizationAction::Deny);
    let guarded = |name: &str, policies: &[AuthorizationPolicy]| {
        let route = Route::new(name, RouteAction::cluster("c"));
        policies.iter().cloned().fold(route, Route::with_authorization)
    };
    let compiled = |table: &RouteTable, place: usize| {
        table.routes()[place].policies().and_then(|policies| policies.authorization.clone()).expect("guarded")
    };
    let (both, turned) = ([policy("a"), policy("b")], [policy("b"), policy("a")]);
    let old = compile([guarded("x", &both), guarded("y", &both), guarded("z", &turned)]);
    assert!(std::sync::Arc::ptr_eq(&compiled(&old, 0), &compiled(&old, 1)));
    assert!(!std::sync::Arc::ptr_eq(&compiled(&old, 0), &compiled(&old, 2)), "another order is another list");
    assert_eq!(compiled(&old, 2).config(), turned);

    let changed = [policy("a"), policy("b").with_dry_run(true)];
    let new = RouteConfig::new("test", [guarded("n", &turned), guarded("x", &changed), guarded("y", &both)]);
    let new = RouteTable::compile_after(&new, Some(&old)).expect("valid");
    assert!(std::sync::Arc::ptr_eq(&compiled(&new, 0), &compiled(&old, 2)));
    assert!(std::sync::Arc::ptr_eq(&compiled(&new, 2), &compiled(&old, 0)));
    assert!(!std::sync::Arc::ptr_eq(&compiled(&new, 1), &compiled(&old, 0)), "a changed list is compiled");
    assert_eq!(compiled(&new, 1).config(), changed);
}

#[test]
fn messages_that_are_held_back_and_copies_count_until_they_end() {
    let fault = Fault::new().with_delay(Duration::from_secs(1), FractionalPercent::ALWAYS).with_max_active(1);
    let route = || {
        let mirror = Mirror::new("m", FractionalPercent::ALWAYS).with_max_active(1);
        Route::new("r", RouteAction::cluster("c").with_mirror(mirror)).with_fault(fault.clone())
    };
    let old = compile([route()]);
    let new = RouteTable::compile_after(&RouteConfig::new("test", [route()]), Some(&old)).expect("valid");
    let hold = |table: &RouteTable| table.routes()[0].policies().and_then(|policies| policies.faults.as_ref()?.hold());
    let held = hold(&old).expect("there is room");
    assert!(hold(&new).is_none() && hold(&old).is_none());
    drop(held);
    assert!(hold(&new).is_some());
    let copy = old.routes()[0].mirrors()[0].begin().expect("there is room");
    assert!(new.routes()[0].mirrors()[0].begin().is_none());
    drop(copy);
    assert!(new.routes()[0].mirrors()[0].begin().is_some());
}

#[test]
fn times_beyond_any_clock_are_refused() {
    let ages = Duration::MAX;
    let bucket = TokenBucket::new(1, 1, ages);
    let retry = RetryPolicy::new(1).with_back_off(Duration::from_millis(1), ages);
    for (route, field) in [
        (Route::new("r", RouteAction::cluster("c").with_timeout(ages)), "timeout"),
        (Route::new("r", RouteAction::cluster("c").with_retry(retry)), "backOff.max"),
        (
            Route::new("r", RouteAction::cluster("c"))
                .with_fault(Fault::new().with_delay(ages, FractionalPercent::ALWAYS)),
            "delay.duration",
        ),
        (
            Route::new("r", RouteAction::cluster("c"))
                .with_local_rate_limit(LocalRateLimit::new("t").with_bucket(bucket)),
            "fillInterval",
        ),
    ] {
        let refused = RouteTable::compile(&RouteConfig::new("test", [route])).expect_err("too long").to_string();
        assert!(refused.contains(field) && refused.contains("365 days"), "{refused}");
    }
}
