//! Rules that change while they are read.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use aeraki_codec::Demand;
use aeraki_route::{
    Rules, SharedRules,
    config::{ConfigError, RouteConfig},
};

use crate::route;

fn rules(name: &str) -> Rules {
    Rules::compile(&RouteConfig::new(name, [route(name, [])])).expect("valid")
}

fn name_of(rules: &Rules) -> String {
    let route = rules.find(&[("k", "v")]).expect("it takes everything");
    assert_eq!(&**route.name(), rules.table().expect("there is one").name(), "a route of another table");
    route.name().to_string()
}

#[test]
fn empty_rules_find_and_ask_nothing() {
    let rules = Rules::empty();
    assert!(rules.find(&[("k", "v")]).is_none() && rules.explain(&[("k", "v")]).is_none());
    assert!(rules.table().is_none() && rules.demand().is_none());
    assert!(rules.with_demand(&Demand::of(["User"])).demand().wants(b"user"));
}

#[test]
fn readers_see_whole_rules_and_never_older_ones_again() {
    const READERS: usize = 3;
    const LAST: usize = 500;
    let shared = Arc::new(SharedRules::new(rules("0")));
    let start = Arc::new(Barrier::new(READERS + 1));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (mut reader, start) = (shared.reader(), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                let mut seen = 0;
                while seen < LAST {
                    let now = name_of(reader.load()).parse().expect("a number");
                    assert!(now >= seen, "{now} after {seen}");
                    seen = now;
                }
            })
        })
        .collect();
    start.wait();
    (1..=LAST).for_each(|n| shared.swap(rules(&n.to_string())));
    readers.into_iter().for_each(|reader| reader.join().expect("the reader saw only whole rules"));
    assert_eq!(shared.reclaim(), 0, "nobody holds old rules");
    assert_eq!(name_of(&shared.load()), LAST.to_string());
}

#[test]
fn a_request_keeps_the_rules_that_it_was_judged_by() {
    let shared = SharedRules::new(rules("old"));
    let mut reader = shared.reader();
    let judged = Arc::clone(reader.load());
    shared.swap(rules("new"));
    assert_eq!((name_of(&judged), name_of(reader.load())), ("old".into(), "new".into()));
    assert_eq!(shared.reclaim(), 1);
    let weak = Arc::downgrade(&judged);
    drop(judged);
    assert!(weak.upgrade().is_some(), "the last reader does not pay for freeing");
    assert_eq!((shared.reclaim(), weak.upgrade().is_some()), (0, false));
}

#[test]
fn other_users_take_rules_over_that_suit_them() {
    let shared = SharedRules::with_demand(Rules::empty(), Demand::of(["user"]));
    let mut reader = shared.reader();
    shared.update(&RouteConfig::new("kept", [route("kept", [])])).expect("nobody minds");
    let refuses = |name: &'static str| {
        SharedRules::with_demand(Rules::empty(), Demand::of(["lane"])).with_check(move |config| {
            if config.name == name { Err(ConfigError::new("table", "name", "is not liked")) } else { Ok(()) }
        })
    };
    assert_eq!(shared.suits(&refuses("kept")).expect_err("refused").reason(), "is not liked");
    let next = refuses("other");
    shared.suits(&next).expect("it suits");
    shared.join_users(&next);
    let demand = reader.load().demand();
    assert!(demand.wants(b"lane") && demand.wants(b"user"), "as long as there are users of both kinds");
    assert_eq!(name_of(reader.load()), "kept");
    shared.take_users(&next);
    let demand = reader.load().demand();
    assert!(demand.wants(b"lane") && !demand.wants(b"user"));
    assert_eq!(name_of(reader.load()), "kept");
    shared.update(&RouteConfig::new("other", [route("other", [])])).expect_err("the new users are asked");
    assert_eq!(name_of(reader.load()), "kept");
}
