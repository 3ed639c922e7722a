//! Configurations that cannot be compiled are refused with one clear line.

use aeraki_route::{
    RouteTable,
    config::{AttributeMatch, Route, RouteAction, RouteConfig},
};

use crate::route;

fn refusal(second: Route) -> String {
    let config = RouteConfig::new("dubbo", [route("first", []), second]);
    RouteTable::compile(&config).expect_err("the configuration is wrong").to_string()
}

#[test]
fn what_validation_refuses_is_not_compiled() {
    assert_eq!(
        refusal(Route::new("v1", RouteAction::weighted([("a", 0)]))),
        r#"route configuration "dubbo": routes[1] "v1".action.destination.weighted: the weights sum up to 0"#
    );
    assert!(RouteTable::compile(&RouteConfig::default()).is_err());
}

#[test]
fn a_bad_regular_expression_is_named_with_route_and_key() {
    let at =
        |pattern: &str| refusal(route("v1", [AttributeMatch::present("a"), AttributeMatch::regex("method", pattern)]));
    let prefix = r#"route configuration "dubbo": routes[1] "v1".matches[1] (key "method").value: "#;
    for (pattern, reason) in [
        ("a(b", "not a regular expression: unclosed group (at byte 1)"),
        (r"(a)\1", "not a regular expression: backreferences are not supported (at byte 3)"),
        (
            "a(?=b)",
            "not a regular expression: look-around, including look-ahead and look-behind, is not supported (at byte 1)",
        ),
        (r"\p{Nonsense}", "not a regular expression: Unicode property not found (at byte 0)"),
        ("(?:a{1000}){1000}", "the regular expression takes more than 1048576 bytes when compiled"),
    ] {
        assert_eq!(at(pattern), format!("{prefix}{reason}"));
    }
}
