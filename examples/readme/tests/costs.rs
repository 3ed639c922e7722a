//! Keeps the table of costs in `docs/policies.md` true: it has what the instruction counts that are accepted say.

use std::collections::BTreeMap;

const TEXT: &str = include_str!("../../../docs/policies.md");
const COUNTS: &str = include_str!("../../../benches/instructions/expected.json");

/// Reads the counts of the rows of the stack, by name.
fn counts() -> BTreeMap<&'static str, u64> {
    let rows = COUNTS.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(": "));
    let rows = rows.map(|(name, count)| (name.trim_matches('"'), count));
    rows.filter(|(name, _)| name.starts_with("stack/"))
        .map(|(name, count)| (name, count.parse().expect("a count")))
        .collect()
}

#[test]
fn every_policy_costs_what_the_table_says() {
    let mut counts = counts();
    let bare = counts.remove("stack/bare").expect("the stack without a policy");
    let expected: BTreeMap<_, _> = counts.into_iter().map(|(name, count)| (name, count - bare)).collect();

    let (_, table) = TEXT.split_once("| Policy | Row | Instructions |\n|---|---|---|\n").expect("the table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let rows = rows.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let told: BTreeMap<_, u64> = rows.map(|row| (row[2].trim_matches('`'), row[3].parse().expect("a count"))).collect();
    assert_eq!(told, expected);
}
