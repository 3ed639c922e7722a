//! Every kind of condition against a matching, a foreign, an empty and a missing value, with and without inversion and
//! treating a missing value as empty.

use aeraki_route::config::{AttributeMatch, ValueMatch};

use crate::{compile, found, route};

/// What a kind says of: a matching value, a foreign one, the empty one.
struct Row {
    condition: AttributeMatch,
    matching: &'static str,
    foreign: &'static str,
    matches_foreign: bool,
    matches_empty: bool,
}

fn row(condition: AttributeMatch, matching: &'static str, foreign: &'static str) -> Row {
    Row { condition, matching, foreign, matches_foreign: false, matches_empty: false }
}

fn rows() -> Vec<Row> {
    let key = "Key";
    let any = |condition, foreign| Row { matches_foreign: true, matches_empty: true, ..row(condition, "x", foreign) };
    vec![
        row(AttributeMatch::exact(key, "aB"), "aB", "ab"),
        row(AttributeMatch::exact(key, "aB").with_ignore_case(true), "Ab", "ac"),
        Row { matches_empty: true, ..row(AttributeMatch::exact(key, ""), "", "x") },
        any(AttributeMatch::new(key, ValueMatch::Any), "y"),
        row(AttributeMatch::prefix(key, "aB"), "aBc", "abc"),
        row(AttributeMatch::prefix(key, "aB").with_ignore_case(true), "Abc", "a"),
        any(AttributeMatch::prefix(key, ""), "y"),
        row(AttributeMatch::suffix(key, "aB"), "caB", "aBc"),
        row(AttributeMatch::suffix(key, "aB").with_ignore_case(true), "cAb", "b"),
        row(AttributeMatch::contains(key, "aB"), "caBc", "cabc"),
        row(AttributeMatch::contains(key, "aB").with_ignore_case(true), "cAbc", "a b"),
        any(AttributeMatch::contains(key, ""), "y"),
        row(AttributeMatch::regex(key, "a.?c"), "abc", "abcd"),
        Row { matches_empty: true, ..row(AttributeMatch::regex(key, "a*"), "aa", "aab") },
        row(AttributeMatch::regex(key, "literal"), "literal", "literal2"),
        row(AttributeMatch::range(key, -5, 5), "-5", "5"),
        row(AttributeMatch::range(key, -5, 5), " +4 ", "4x"),
        row(AttributeMatch::range(key, 0, i64::MAX), "9223372036854775806", "9223372036854775808"),
    ]
}

fn judge(condition: &AttributeMatch, value: Option<&str>) -> [bool; 2] {
    let message: Vec<_> = value.map(|value| ("kEY", value)).into_iter().collect();
    let small = compile([route("hit", [condition.clone()])]);
    // Behind enough other rules, an index is built.
    let fillers = (0..20).map(|n| route("filler", [AttributeMatch::exact("other", n.to_string())]));
    let large = compile(fillers.chain([route("hit", [condition.clone()])]));
    [found(&small, &message) == Some("hit"), found(&large, &message) == Some("hit")]
}

fn check(condition: &AttributeMatch, value: Option<&str>, expected: bool) {
    assert_eq!(judge(condition, value), [expected; 2], "{condition:?} of {value:?}");
}

#[test]
fn present_values_are_judged_and_inverted() {
    for row in rows() {
        for invert in [false, true] {
            for missing_as_empty in [false, true] {
                let condition = row.condition.clone().with_invert(invert).with_treat_missing_as_empty(missing_as_empty);
                check(&condition, Some(row.matching), !invert);
                check(&condition, Some(row.foreign), row.matches_foreign != invert);
                check(&condition, Some(""), row.matches_empty != invert);
            }
        }
    }
}

#[test]
fn missing_values_fail_even_inverted_unless_treated_as_empty() {
    for row in rows() {
        for invert in [false, true] {
            let condition = row.condition.clone().with_invert(invert);
            check(&condition, None, false);
            check(&condition.with_treat_missing_as_empty(true), None, row.matches_empty != invert);
        }
    }
}

#[test]
fn presence_is_the_exception() {
    for wanted in [true, false] {
        let condition = AttributeMatch::new("key", ValueMatch::Present(wanted));
        for (condition, wanted) in [(condition.clone(), wanted), (condition.with_invert(true), !wanted)] {
            check(&condition, Some("x"), wanted);
            check(&condition, Some(""), wanted);
            check(&condition, None, !wanted);
            check(&condition.with_treat_missing_as_empty(true), None, wanted);
        }
    }
}
