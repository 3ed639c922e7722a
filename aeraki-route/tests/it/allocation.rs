//! Judging a message allocates nothing, and tables stay small.

use std::net::Ipv6Addr;

use aeraki_codec::Attributes;
use aeraki_route::{
    RouteTable,
    config::{AttributeMatch, RouteAction, RouteConfig},
};
use allocation_counter::measure;

use crate::{compile, route};

fn assert_no_allocation(table: &RouteTable, message: &impl Attributes, expected: Option<usize>) {
    table.find(message); // the states of regular expressions are built when traffic first needs them
    let mut found = None;
    let used = measure(|| found = table.find(message).map(|route| route.index()));
    assert_eq!((found, used.count_total), (expected, 0));
}

#[test]
fn find_pick_and_hash_allocate_nothing() {
    let hashed = RouteAction::weighted([("a", 1), ("b", 2)]).with_hash_key("k0").with_hash_key("k9");
    let mut routes: Vec<_> = (0..20)
        .flat_map(|n| {
            [
                route("", [AttributeMatch::exact("k0", format!("exact{n}")), AttributeMatch::exact("k1", "x")]),
                route("", [AttributeMatch::exact("k2", format!("EXACT{n}")).with_ignore_case(true)]),
                route("", [AttributeMatch::prefix("k3", format!("prefix{n}"))]),
                route("", [AttributeMatch::suffix("k4", format!("suffix{n}")).with_ignore_case(true)]),
                route("", [AttributeMatch::contains("k5", format!("part{n}"))]),
                route("", [AttributeMatch::regex("k6", format!("same.*{n}z"))]),
                route("", [AttributeMatch::regex("k7", format!("{n}different.*"))]),
                route("", [AttributeMatch::range("k8", n, n + 1)]),
            ]
        })
        .collect();
    routes.push(route("", [AttributeMatch::present("k9")]));
    routes[160].action = hashed;
    let table = compile(routes);
    assert_no_allocation(&table, &[("k0", "exact7"), ("k1", "x")], Some(7 * 8));
    assert_no_allocation(&table, &[("k2", "eXaCt7")], Some(7 * 8 + 1));
    assert_no_allocation(&table, &[("k3", "prefix7...")], Some(7 * 8 + 2));
    assert_no_allocation(&table, &[("k4", "...SUFFIX7")], Some(7 * 8 + 3));
    assert_no_allocation(&table, &[("k5", "..part7..")], Some(7 * 8 + 4));
    assert_no_allocation(&table, &[("k6", "same...7z")], Some(7 * 8 + 5));
    assert_no_allocation(&table, &[("k7", "7different...")], Some(7 * 8 + 6));
    assert_no_allocation(&table, &[("k8", "7")], Some(7 * 8 + 7));
    assert_no_allocation(&table, &[("k9", "")], Some(160));
    assert_no_allocation(&table, &[("k3", "nothing")], None);
    let last = &table.routes()[160];
    let used = measure(|| {
        assert_eq!(&**last.pick(1), "b");
        assert!(
            last.place(&[("k0", "x"), ("k9", "y")], Ipv6Addr::LOCALHOST.into(), 1)
                .is_some_and(|place| place.hash.is_some())
        );
    });
    assert_eq!(used.count_total, 0);
}

#[test]
fn an_exact_rule_takes_at_most_400_bytes() {
    const RULES: usize = 10_000;
    let rule = |n: usize| {
        let interface = format!("org.example.inventory.Service{:05}", n / 10);
        let conditions =
            [AttributeMatch::exact("interface", interface), AttributeMatch::exact("method", format!("m{}", n % 10))];
        route(format!("route{n}"), conditions)
    };
    let config = RouteConfig::new("large", (0..RULES).map(rule));
    let mut table = None;
    let used = measure(|| table = Some(RouteTable::compile(&config).expect("valid")));
    let per_rule = used.bytes_current / i64::try_from(RULES).expect("small");
    assert!(per_rule <= 400, "{per_rule} bytes");
}
