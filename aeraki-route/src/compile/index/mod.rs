//! Finds the rules that may match a message without walking all of them.
//!
//! Every rule is filed under one of its conditions ([`Access`]). An index only names candidates, in ascending order;
//! the search checks all conditions of a candidate and keeps the lowest rule that holds, so the result is that of
//! trying the rules one by one.

mod access;
mod affix;
mod exact;
mod regex_set;

use aeraki_codec::Attributes;

use self::{
    access::{Access, choose},
    affix::{Affixes, AffixesBuilder},
    exact::{ExactBuilder, ExactIndex},
};
use super::{
    condition::Condition,
    keys::Probe,
    rule_set::{RuleId, RuleSet},
};

/// All rules of a table, each filed once.
#[derive(Debug, Default)]
pub(crate) struct Index {
    exact: Box<[ExactIndex]>,
    affixes: Box<[Affixes]>,
    /// Rules that no index finds, in order.
    scan: Box<[RuleId]>,
}

impl Index {
    pub(crate) fn build(rules: &RuleSet) -> Self {
        let mut exact = ExactBuilder::default();
        let mut affixes = AffixesBuilder::default();
        let mut scan = Vec::new();
        for (access, rule) in choose(rules).into_iter().zip(0..) {
            match access {
                Access::Exact(values) => exact.insert(&values, rule),
                Access::Affix(field, side, text) => affixes.insert(field, side, text, rule),
                Access::Regex(slot, prefix) => affixes.insert_regex(slot, prefix, rule),
                Access::Scan => scan.push(rule),
            }
        }
        Self { exact: exact.build(), affixes: affixes.build(rules), scan: scan.into() }
    }

    /// Returns the first rule whose conditions all hold.
    #[inline]
    pub(crate) fn find<A>(&self, rules: &RuleSet, probe: Probe<'_, '_, A>) -> Option<usize>
    where
        A: Attributes + ?Sized,
    {
        let mut search = Search { rules, probe, best: NONE };
        self.exact.iter().for_each(|index| index.search(&mut search));
        self.affixes.iter().for_each(|index| index.search(&mut search));
        search.consider(&self.scan);
        (search.best != NONE).then_some(search.best as usize)
    }
}

/// The state of one look-up.
struct Search<'t, 'm, A: ?Sized> {
    rules: &'t RuleSet,
    probe: Probe<'t, 'm, A>,
    best: RuleId,
}

impl<A: Attributes + ?Sized> Search<'_, '_, A> {
    /// Tries candidates, which come in ascending order, until one holds or none can be better than what is known.
    #[inline]
    fn consider(&mut self, candidates: &[RuleId]) {
        for &rule in candidates {
            if rule >= self.best {
                return;
            }
            if self.all_hold(self.rules.get(rule)) {
                self.best = rule;
                return;
            }
        }
    }

    /// Tries a candidate one of whose conditions is known to hold.
    #[inline]
    fn consider_known(&mut self, rule: RuleId, known: usize) {
        let (before, rest) = self.rules.get(rule).split_at(known);
        if rule < self.best && self.all_hold(before) && self.all_hold(&rest[1..]) {
            self.best = rule;
        }
    }

    #[inline]
    fn all_hold(&mut self, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| condition.holds(self.probe.value(condition.slot)))
    }
}

const NONE: RuleId = RuleId::MAX;
