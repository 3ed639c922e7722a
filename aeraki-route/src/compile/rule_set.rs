//! The conditions of all rules, side by side in memory.

use super::condition::Condition;

/// Position of a rule in its table.
pub(crate) type RuleId = u32;

/// The rules of a table: for each its conditions, all of which must hold.
#[derive(Debug, Default)]
pub(crate) struct RuleSet {
    conditions: Vec<Condition>,
    /// Where the conditions of each rule end; those of the next one start there.
    ends: Vec<u32>,
}

impl RuleSet {
    pub(super) fn push(&mut self, conditions: impl IntoIterator<Item = Condition>) {
        self.conditions.extend(conditions);
        self.ends.push(u32::try_from(self.conditions.len()).expect("fewer than 2^32 conditions fit into memory"));
    }

    /// Returns the conditions of a rule.
    #[inline]
    pub(crate) fn get(&self, rule: RuleId) -> &[Condition] {
        let rule = rule as usize;
        let start = if rule == 0 { 0 } else { self.ends[rule - 1] };
        &self.conditions[start as usize..self.ends[rule] as usize]
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[Condition]> {
        (0..self.ends.len()).map(|rule| self.get(rule as RuleId))
    }
}
