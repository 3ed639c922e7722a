//! Regular expressions as RE2 reads them.

use aeraki_route::config::AttributeMatch;

use crate::{compile, found, route};

fn matches(pattern: &str, value: &[u8]) -> bool {
    let table = compile([route("hit", [AttributeMatch::regex("k", pattern)])]);
    found(&table, &[(&b"k"[..], value)]).is_some()
}

#[test]
fn the_whole_value_must_match() {
    assert!(matches("a|ab", b"ab"), "the shorter alternative must not end the search");
    assert!(!matches("a", b"ab") && !matches("b", b"ab"));
    assert!(!matches("^a$", b"a\n"));
    assert!(matches("(?m)a$\n^b", b"a\nb"));
}

#[test]
fn perl_classes_and_word_boundaries_are_ascii() {
    assert!(matches(r"\d+", b"42") && !matches(r"\d", "\u{0663}".as_bytes()));
    assert!(matches(r"\D", "\u{0663}".as_bytes()));
    assert!(matches(r"[\d\s_]+", b"1 _") && !matches(r"[\w]", "é".as_bytes()));
    assert!(!matches(r"\s", b"\x0b") && matches(r"[^\s]", b"\x0b"));
    assert!(matches(r"é\bx", "éx".as_bytes()) && matches(r"a\Bb", b"ab"));
    assert!(matches(r"\\d", br"\d") && matches(r"\pL", "é".as_bytes()));
}

#[test]
fn a_dot_is_one_character_but_no_line_end() {
    assert!(matches(".", "é".as_bytes()) && !matches(".", b"\n") && matches("(?s).", b"\n"));
    assert!(!matches(".", b"\xff"));
}

/// Sets are formed of expressions that start alike: here all, so that the lowest of several matching rules must win.
#[test]
fn sets_keep_the_order_of_the_rules() {
    let patterns = (0..250).map(|n| format!("com\\.x.*svc({n}|all)/.*"));
    let table = compile(patterns.enumerate().map(|(n, p)| route(n.to_string(), [AttributeMatch::regex("path", p)])));
    for n in [0, 99, 100, 249] {
        assert_eq!(found(&table, &[("path", format!("com.x.svc{n}/get"))]), Some(&*n.to_string()));
    }
    assert_eq!(found(&table, &[("path", "com.x.svcall/get")]), Some("0"));
    assert_eq!(found(&table, &[("path", "com.y.svc1/get")]), None);
}

/// The joint automaton of these would have an exponential number of states.
#[test]
fn a_set_that_outgrows_its_memory_gives_the_same_answers() {
    let patterns = (0..40).map(|n| format!("[ab]*a[ab]{{{}}}x{n}", 12 + n));
    let table = compile(patterns.enumerate().map(|(n, p)| route(n.to_string(), [AttributeMatch::regex("k", p)])));
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..300 {
        let n = random.usize(..40);
        let value: String = (0..400).map(|_| if random.bool() { 'a' } else { 'b' }).collect();
        let (before, _) = value.split_at(400 - 13 - n);
        let expected = value.as_bytes()[before.len()] == b'a';
        let value = format!("{value}x{n}");
        assert_eq!(found(&table, &[("k", value)]).is_some(), expected, "rule {n}");
    }
}
