//! Explanations for people.

use aeraki_route::config::{AttributeMatch, ValueMatch};

use crate::{compile, route};

#[test]
fn every_route_before_the_winner_is_accounted_for() {
    let table = compile([
        route("exact", [AttributeMatch::exact("Interface", "org.Greeter"), AttributeMatch::exact("method", "bye")]),
        route("", [AttributeMatch::prefix("user", "A").with_ignore_case(true)]),
        route("not", [AttributeMatch::suffix("interface", "Greeter").with_invert(true)]),
        route("regex", [AttributeMatch::regex("method", "get.*")]),
        route("range", [AttributeMatch::range("age", 1, 2)]),
        route("absent", [AttributeMatch::absent("method")]),
        route("part", [AttributeMatch::contains("method", "ell")]),
        route("never tried", [AttributeMatch::new("method", ValueMatch::Any)]),
    ]);
    let message = [("interface", "org.Greeter"), ("method", "hello"), ("age", "x")];
    assert_eq!(
        table.explain(&message).to_string(),
        r#"routes[0] "exact": passed over: "method" must equal "bye", and is "hello"
routes[1]: passed over: "user" must start with "A", ignoring case, and is missing
routes[2] "not": passed over: "interface" must not end with "Greeter", and is "org.Greeter"
routes[3] "regex": passed over: "method" must match the regular expression "get.*", and is "hello"
routes[4] "range": passed over: "age" must be an integer in 1..2, and is "x"
routes[5] "absent": passed over: "method" must be missing, and is "hello"
routes[6] "part": matches"#
    );
    let explanation = table.explain(&message);
    assert_eq!((explanation.passed_over[0].condition, explanation.passed_over[0].key), (1, "method"));
}

#[test]
fn no_route_is_an_answer_too() {
    let table = compile([route("a", [AttributeMatch::present("k")])]);
    let text = table.explain(&[("other", "v")]).to_string();
    assert_eq!(text, "routes[0] \"a\": passed over: \"k\" must be present, and is missing\nno route matches");
}
