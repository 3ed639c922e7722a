//! Many regular expressions on one value, judged in one pass.

use std::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::atomic::{AtomicBool, Ordering},
};

use aeraki_codec::Attributes;
use regex_automata::{
    Input, MatchKind, PatternSet,
    hybrid::dfa::{Cache, DFA},
    nfa::thompson,
    util::pool::Pool,
};

use super::{RuleId, Search};
use crate::compile::{
    condition::{Condition, Test},
    keys::Slot,
    regex::{PROGRAM_BYTES, anchored, parse},
    rule_set::RuleSet,
};

/// Rules that are found by regular expressions on the same value.
///
/// The states of the joint automaton are built as traffic needs them, in bounded memory. Where they do not fit,
/// building them again and again costs more than trying the expressions one by one; then the set gives up for good, and
/// its rules are tried one by one.
pub(super) struct RegexSet {
    /// Ascending; the position is the pattern's number.
    rules: Box<[RuleId]>,
    /// For each rule, the position of the condition whose expression is in the set.
    positions: Box<[usize]>,
    automaton: DFA,
    scratch: Pool<Scratch, NewScratch>,
    given_up: AtomicBool,
}

struct Scratch {
    cache: Cache,
    matched: PatternSet,
}

type NewScratch = Box<dyn Fn() -> Scratch + Send + Sync + UnwindSafe + RefUnwindSafe>;

impl RegexSet {
    /// Forms sets of the rules that are found by an expression on `slot`. Rules left over are better tried one by one.
    pub(super) fn group(slot: Slot, ids: &[RuleId], rules: &RuleSet) -> Box<[Self]> {
        ids.chunks(MOST).filter(|ids| ids.len() >= FEWEST).filter_map(|ids| Self::new(slot, ids, rules)).collect()
    }

    fn new(slot: Slot, ids: &[RuleId], rules: &RuleSet) -> Option<Self> {
        let chosen = ids.iter().map(|id| expression(slot, rules.get(*id))).collect::<Option<Vec<_>>>()?;
        let (positions, patterns): (Vec<_>, Vec<_>) = chosen.into_iter().unzip();
        let expressions = patterns.into_iter().map(|pattern| parse(pattern).map(anchored));
        let expressions = expressions.collect::<Result<Vec<_>, _>>().ok()?;
        let program = thompson::Config::new().utf8(false).nfa_size_limit(Some(PROGRAM_BYTES));
        let program = thompson::Compiler::new().configure(program).build_many_from_hir(&expressions).ok()?;
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(CACHE_BYTES)
            .minimum_cache_clear_count(Some(MOST_REBUILDS));
        let automaton = DFA::builder().configure(config).build_from_nfa(program).ok()?;
        let patterns = ids.len();
        let template = automaton.clone();
        let new: NewScratch =
            Box::new(move || Scratch { cache: template.create_cache(), matched: PatternSet::new(patterns) });
        Some(Self {
            rules: ids.into(),
            positions: positions.into(),
            automaton,
            scratch: Pool::new(new),
            given_up: AtomicBool::new(false),
        })
    }

    /// Tells whether a rule is in the set.
    pub(super) fn holds(&self, rule: RuleId) -> bool {
        self.rules.binary_search(&rule).is_ok()
    }

    #[inline]
    pub(super) fn search<A: Attributes + ?Sized>(&self, value: &[u8], search: &mut Search<'_, '_, A>) {
        if self.given_up.load(Ordering::Relaxed) {
            return search.consider(&self.rules);
        }
        let mut scratch = self.scratch.get();
        let Scratch { cache, matched } = &mut *scratch;
        matched.clear();
        match self.automaton.try_which_overlapping_matches(cache, &Input::new(value), matched) {
            Ok(()) => matched.iter().for_each(|pattern| {
                search.consider_known(self.rules[pattern.as_usize()], self.positions[pattern.as_usize()]);
            }),
            Err(_) => {
                self.given_up.store(true, Ordering::Relaxed);
                search.consider(&self.rules);
            }
        }
    }
}

impl fmt::Debug for RegexSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegexSet").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// Returns the first expression on `slot` that must match, with the position of its condition.
fn expression(slot: Slot, rule: &[Condition]) -> Option<(usize, &str)> {
    rule.iter().enumerate().find_map(|(position, condition)| match &condition.test {
        Test::Regex(regex) if condition.slot == slot && !condition.invert => Some((position, regex.pattern())),
        _ => None,
    })
}

/// Fewer expressions than this are tried one by one.
const FEWEST: usize = 4;
/// More expressions than this make several sets, so that one automaton stays small.
const MOST: usize = 100;
/// Bytes that the states of one set may take in one thread.
const CACHE_BYTES: usize = 2 << 20;
/// How often all states may be built anew before the set gives up.
const MOST_REBUILDS: usize = 8;
