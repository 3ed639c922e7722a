//! Keeps the tables of costs in `docs/policies.md` true: they have what the instruction counts that are accepted say.

use std::collections::BTreeMap;

const TEXT: &str = include_str!("../../../docs/policies.md");
const COUNTS: &str = include_str!("../../../benches/instructions/expected.json");

/// Reads the counts of all rows, by name.
fn counts() -> BTreeMap<&'static str, u64> {
    let rows = COUNTS.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(": "));
    rows.filter_map(|(name, count)| Some((name.trim_matches('"'), count.parse().ok()?))).collect()
}

/// Reads the cells of the table under a line of headings.
fn table(headings: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let (_, table) = TEXT.split_once(headings).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
}

#[test]
fn every_policy_costs_what_the_table_says() {
    let counts = counts();
    let bare = counts["stack/bare"];
    let policies = counts.iter().filter(|(name, _)| name.starts_with("stack/") && **name != "stack/bare");
    let expected: BTreeMap<_, _> = policies.map(|(name, count)| (*name, count - bare)).collect();
    let told: BTreeMap<_, u64> =
        table("| Policy | Row | Instructions |").map(|row| (row[2], row[3].parse().expect("a count"))).collect();
    assert_eq!(told, expected);
}

#[test]
fn codecs_cost_what_the_table_says() {
    let counts = counts();
    let mut rows = table("| Work | Row | More than | Instructions |").peekable();
    assert!(rows.peek().is_some());
    for row in rows {
        let told: u64 = row[4].parse().expect("a count");
        assert_eq!(told, counts[row[2]] - counts[row[3]], "{}", row[1]);
    }
}
