//! `find` against a matcher that knows no index: random tables, random messages.

use std::collections::BTreeMap;

use aeraki_route::config::{AttributeMatch, RouteConfig, ValueMatch};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{compile, route};

type Message = BTreeMap<&'static str, String>;
type Meaning = fn(&str) -> bool;

/// Regular expressions whose meaning can be said without one.
const EXPRESSIONS: &[(&str, Meaning)] = &[
    ("aa.*", |v| v.starts_with("aa")),
    (".*b", |v| v.ends_with('b')),
    ("a[ab]*b", |v| v.len() > 1 && v.starts_with('a') && v.ends_with('b') && v.chars().all(|c| matches!(c, 'a' | 'b'))),
    ("a.*b.*", |v| v.starts_with('a') && v.contains('b')),
    ("ab(a|b)?", |v| matches!(v, "ab" | "aba" | "abb")),
    ("(?i)ab.*", |v| v.to_lowercase().starts_with("ab")),
    ("ba", |v| v == "ba"),
    (".{0,2}", |v| v.len() <= 2),
];

fn holds(condition: &AttributeMatch, message: &Message) -> bool {
    let value = message.iter().find(|(key, _)| key.eq_ignore_ascii_case(&condition.key)).map(|(_, value)| &**value);
    let value = if condition.treat_missing_as_empty { Some(value.unwrap_or("")) } else { value };
    let fold = |text: &str| if condition.ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
    let result = match (&condition.value, value.map(fold)) {
        (ValueMatch::Present(wanted), value) => value.is_some() == *wanted,
        (_, None) => return false,
        (ValueMatch::Any, Some(_)) => true,
        (ValueMatch::Exact(text), Some(value)) => value == fold(text),
        (ValueMatch::Prefix(text), Some(value)) => value.starts_with(&fold(text)),
        (ValueMatch::Suffix(text), Some(value)) => value.ends_with(&fold(text)),
        (ValueMatch::Contains(text), Some(value)) => value.contains(&fold(text)),
        (ValueMatch::Regex(pattern), Some(value)) => {
            EXPRESSIONS.iter().find(|(known, _)| known == pattern).expect("one of ours").1(&value)
        }
        (ValueMatch::Range { start, end }, Some(value)) => value.parse().is_ok_and(|v| (*start..*end).contains(&v)),
        (other, _) => panic!("{other:?} is not generated"),
    };
    result != condition.invert
}

fn first_match(config: &RouteConfig, message: &Message) -> Option<usize> {
    config.routes.iter().position(|route| route.matches.iter().all(|condition| holds(condition, message)))
}

/// More keys than a message's values are kept for; two of them are frequent.
fn key() -> impl Strategy<Value = &'static str> {
    select(&["k0", "k0", "k0", "k0", "k1", "k1", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"][..])
}

/// Short texts over a small alphabet, so that they often match, nest and differ in case alone.
fn text() -> impl Strategy<Value = String> {
    (prop_oneof![8 => 0..5u32, 1 => 9..12u32], any::<u32>()).prop_map(|(length, letters)| {
        (0..length).map(|position| ['a', 'b', 'A', '7'][(letters >> (2 * position)) as usize % 4]).collect()
    })
}

fn condition() -> impl Strategy<Value = AttributeMatch> {
    let plain = prop_oneof![
        4 => text().prop_map(ValueMatch::Exact),
        2 => text().prop_map(ValueMatch::Prefix),
        1 => text().prop_map(ValueMatch::Suffix),
        1 => text().prop_map(ValueMatch::Contains),
    ];
    let other = prop_oneof![
        6 => select(EXPRESSIONS).prop_map(|(pattern, _)| ValueMatch::Regex(pattern.into())),
        1 => any::<bool>().prop_map(ValueMatch::Present),
        1 => Just(ValueMatch::Any),
        1 => (0..90i64, 0..90i64).prop_map(|(start, end)| ValueMatch::Range { start, end }),
    ];
    let value = prop_oneof![3 => (plain, prop::bool::weighted(0.2)), 1 => (other, Just(false))];
    (key(), value, prop::bool::weighted(0.1), prop::bool::weighted(0.1)).prop_map(
        |(key, (value, ignore_case), invert, missing_as_empty)| {
            AttributeMatch::new(key.to_uppercase(), value)
                .with_ignore_case(ignore_case)
                .with_invert(invert)
                .with_treat_missing_as_empty(missing_as_empty)
        },
    )
}

/// Rules of any kind, and some that only an expression tells apart, so that sets of expressions form.
fn rule() -> impl Strategy<Value = Vec<AttributeMatch>> {
    let expression = (select(&["k0", "k1"][..]), select(EXPRESSIONS))
        .prop_map(|(key, (pattern, _))| AttributeMatch::regex(key, pattern));
    prop_oneof![3 => vec(condition(), 1..4), 1 => vec(expression, 1..3)]
}

fn config() -> impl Strategy<Value = RouteConfig> {
    let sizes = prop_oneof![3 => Just(1..=8usize), 6 => Just(9..=40), 1 => Just(100..=120)];
    let routes = sizes.prop_flat_map(|size| vec(rule(), size));
    routes.prop_map(|routes| {
        RouteConfig::new("random", routes.into_iter().enumerate().map(|(n, matches)| route(n.to_string(), matches)))
    })
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    vec(prop::collection::btree_map(key(), text(), 0..6), 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn find_equals_trying_the_rules_one_by_one(config in config(), messages in messages()) {
        let table = compile(config.routes.clone());
        for message in &messages {
            let expected = first_match(&config, message);
            prop_assert_eq!(table.find(message).map(|route| route.index()), expected, "{:?}", message);
            let explained = table.explain(message);
            prop_assert_eq!(explained.route.map(|route| route.index()), expected);
            prop_assert_eq!(explained.passed_over.len(), expected.unwrap_or(config.routes.len()));
        }
    }
}
