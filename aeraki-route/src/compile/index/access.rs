//! By which of its conditions a rule is found: the one that it shares with the fewest other rules.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hash},
};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::compile::{
    condition::{Condition, Test},
    keys::Slot,
    rule_set::RuleSet,
};

/// How the index finds a rule. The texts are never empty, so that a missing attribute never satisfies them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access<'r> {
    /// By the values of several keys at once, ordered by slot.
    Exact(SmallVec<[(Field, &'r [u8]); 4]>),
    /// By how the value of one key starts or ends.
    Affix(Field, Side, &'r [u8]),
    /// By a regular expression on the value of one key and the literal, possibly empty, that it starts with.
    Regex(Slot, &'r [u8]),
    /// Not at all: it is tried whenever no earlier rule has matched.
    Scan,
}

/// One key of an index and how its values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Field {
    pub(crate) slot: Slot,
    pub(crate) ignore_case: bool,
}

/// The end of a value at which a text is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Start,
    End,
}

/// Chooses for every rule how it is found.
pub(crate) fn choose(rules: &RuleSet) -> Vec<Access<'_>> {
    if rules.iter().len() <= SMALL_TABLE {
        return vec![Access::Scan; rules.iter().len()];
    }
    let joint = joint_fields(rules).len() <= MOST_JOINT_INDEXES;
    let options: Vec<_> = rules.iter().map(|rule| options(rule, joint)).collect();
    if options.iter().all(|options| options.len() <= 1) {
        return options.into_iter().map(|options| options.into_iter().next().unwrap_or(Access::Scan)).collect();
    }
    let hasher = RandomState::default();
    let mut shared: HashMap<u64, usize, RandomState> = HashMap::default();
    for access in options.iter().flatten() {
        *shared.entry(hasher.hash_one(access)).or_default() += 1;
    }
    let rarest = |access: &Access<'_>| shared[&hasher.hash_one(access)];
    options.into_iter().map(|options| options.into_iter().min_by_key(rarest).unwrap_or(Access::Scan)).collect()
}

type Options<'r> = SmallVec<[Access<'r>; 1]>;

/// Lists the ways in which a rule may be found, cheapest first.
fn options(rule: &[Condition], joint: bool) -> Options<'_> {
    let exact = exact_conditions(rule);
    let mut options: Options<'_> = if joint && !exact.is_empty() {
        SmallVec::from_elem(Access::Exact(exact), 1)
    } else {
        exact.into_iter().map(|condition| Access::Exact(SmallVec::from_elem(condition, 1))).collect()
    };
    let positive = rule.iter().filter(|condition| !condition.invert);
    options.extend(positive.filter_map(|condition| match &condition.test {
        Test::Prefix(text) if !text.is_empty() => Some(Access::Affix(condition.field(), Side::Start, text)),
        Test::Suffix(text) if !text.is_empty() => Some(Access::Affix(condition.field(), Side::End, text)),
        Test::Regex(regex) if !(condition.missing_as_empty && regex.prefix().is_empty()) => {
            Some(Access::Regex(condition.slot, regex.prefix()))
        }
        _ => None,
    }));
    options
}

fn exact_conditions(rule: &[Condition]) -> SmallVec<[(Field, &[u8]); 4]> {
    let mut exact: SmallVec<[_; 4]> = rule
        .iter()
        .filter_map(|condition| match &condition.test {
            Test::Exact(text) if !text.is_empty() && !condition.invert => Some((condition.field(), &**text)),
            _ => None,
        })
        .collect();
    exact.sort_unstable();
    exact
}

/// Collects the sets of keys by which rules could be found jointly.
fn joint_fields(rules: &RuleSet) -> HashSet<SmallVec<[Field; 4]>, RandomState> {
    let fields = |rule| exact_conditions(rule).into_iter().map(|(field, _)| field).collect();
    rules.iter().map(fields).collect()
}

impl Condition {
    fn field(&self) -> Field {
        Field { slot: self.slot, ignore_case: self.ignore_case }
    }
}

/// Up to this many rules are tried one by one, which is faster than any index.
const SMALL_TABLE: usize = 3;
/// Every joint index costs each message a look-up: beyond this many, single keys serve as indexes.
const MOST_JOINT_INDEXES: usize = 8;
