//! What a route does with a message.

use std::time::Duration;

use aeraki_codec::Change;
use aeraki_route::{
    RouteTable,
    config::{Denominator, FractionalPercent, Mirror, MutationEntry, Route, RouteAction},
};

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

#[test]
fn the_hash_frames_sorted_values_and_skips_missing_keys() {
    let hashed = |message: &[(&str, &str)]| {
        let table = table(RouteAction::cluster("c").with_hash_key("User").with_hash_key("zone"));
        table.routes()[0].hash(message)
    };
    let both = hashed(&[("user", "ab"), ("zone", "c")]);
    assert!(both.is_some());
    assert_eq!(both, hashed(&[("zone", "ab"), ("user", "c")]), "the order of the keys does not matter");
    assert_ne!(both, hashed(&[("user", "a"), ("zone", "bc")]), "values are framed");
    assert_eq!(hashed(&[("user", "ab")]), hashed(&[("zone", "ab")]));
    assert_ne!(hashed(&[("user", "ab")]), hashed(&[("user", "ab"), ("zone", "")]));
    assert_eq!(hashed(&[("other", "x")]), None);
    // The form is fixed: proxies of different versions must send a session to the same endpoint.
    assert_eq!(hashed(&[("user", "ab")]), Some(xxhash_rust::xxh64::xxh64(b"\x02\0\0\0\0\0\0\0ab", 0)));
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
