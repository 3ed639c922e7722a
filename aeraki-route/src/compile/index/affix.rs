//! Rules filed under how the value of one key starts or ends.
//!
//! The texts are sorted, each with a link to the longest other text that it starts with. All texts that a value starts
//! with lie on the chain of links that begins at the last text not greater than the value.

use std::{collections::HashMap, iter};

use aeraki_codec::Attributes;
use foldhash::fast::RandomState;

use super::{
    RuleId, Search,
    access::{Field, Side},
    regex_set::RegexSet,
};
use crate::compile::{keys::Slot, rule_set::RuleSet};

/// Files rules under prefixes, or suffixes, of the values of one key.
#[derive(Debug)]
pub(super) struct Affixes {
    field: Field,
    side: Side,
    /// How many bytes all texts start with in common.
    common: usize,
    /// For each entry, the eight bytes of its text that follow the common ones: most of the search happens here.
    heads: Box<[u64]>,
    entries: Box<[Entry]>,
    first: RuleId,
}

#[derive(Debug)]
struct Entry {
    /// In reading order: lower-cased if case is ignored, from the end of the value if it is a suffix.
    text: Box<[u8]>,
    /// The longest other text that this one starts with.
    parent: Option<u32>,
    rules: Box<[RuleId]>,
    sets: Box<[RegexSet]>,
}

impl Affixes {
    fn new(field: Field, side: Side, texts: Texts, rules: &RuleSet) -> Self {
        let first = texts.values().flat_map(|filed| filed.rules.iter().chain(&filed.regexes)).min();
        let first = first.copied().unwrap_or(RuleId::MAX);
        let mut texts: Vec<_> = texts.into_iter().collect();
        texts.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        let common = match &texts[..] {
            [(first, _), .., (last, _)] => iter::zip(&**first, &**last).take_while(|(a, b)| a == b).count(),
            _ => 0,
        };
        let heads = texts.iter().map(|(text, _)| head(text.iter().copied().skip(common))).collect();
        let mut entries: Vec<Entry> = Vec::with_capacity(texts.len());
        for (text, filed) in texts {
            let parent = parent(&entries, &text);
            let sets = RegexSet::group(field.slot, &filed.regexes, rules);
            let rest = filed.regexes.into_iter().filter(|rule| !sets.iter().any(|set| set.holds(*rule)));
            let mut single: Vec<_> = filed.rules.into_iter().chain(rest).collect();
            single.sort_unstable();
            entries.push(Entry { text, parent, rules: single.into(), sets });
        }
        Self { field, side, common, heads, entries: entries.into(), first }
    }

    #[inline]
    pub(super) fn search<A: Attributes + ?Sized>(&self, search: &mut Search<'_, '_, A>) {
        if self.first >= search.best {
            return;
        }
        let Some(value) = search.probe.value(self.field.slot) else { return };
        let reading = Reading { value, side: self.side, ignore_case: self.field.ignore_case };
        let mut next = self.last_not_greater(reading);
        while let Some(entry) = next {
            if reading.starts_with(&entry.text) {
                search.consider(&entry.rules);
                entry.sets.iter().for_each(|set| set.search(value, search));
            }
            next = entry.parent.map(|parent| &self.entries[parent as usize]);
        }
    }

    fn last_not_greater(&self, reading: Reading<'_>) -> Option<&Entry> {
        if !reading.starts_with(&self.entries.first()?.text[..self.common]) {
            return None;
        }
        let head = head(reading.bytes().skip(self.common));
        let start = self.heads.partition_point(|other| *other < head);
        let equal = self.heads[start..].partition_point(|other| *other == head);
        let after = self.entries[start..start + equal].partition_point(|entry| !reading.is_less_than(&entry.text));
        self.entries.get((start + after).checked_sub(1)?)
    }
}

/// Collects rules by the texts that they are filed under.
#[derive(Default)]
pub(super) struct AffixesBuilder {
    groups: HashMap<(Field, Side), Texts>,
}

type Texts = HashMap<Box<[u8]>, Filed, RandomState>;

/// The rules filed under one text, ascending.
#[derive(Default)]
struct Filed {
    rules: Vec<RuleId>,
    /// Those whose regular expressions start with the text.
    regexes: Vec<RuleId>,
}

impl AffixesBuilder {
    pub(super) fn insert(&mut self, field: Field, side: Side, text: &[u8], rule: RuleId) {
        self.filed(field, side, text).rules.push(rule);
    }

    pub(super) fn insert_regex(&mut self, slot: Slot, prefix: &[u8], rule: RuleId) {
        let field = Field { slot, ignore_case: false };
        self.filed(field, Side::Start, prefix).regexes.push(rule);
    }

    fn filed(&mut self, field: Field, side: Side, text: &[u8]) -> &mut Filed {
        let reading = Reading { value: text, side, ignore_case: field.ignore_case };
        self.groups.entry((field, side)).or_default().entry(reading.bytes().collect()).or_default()
    }

    /// Builds the indexes, the one with the earliest rule first: what it finds spares the others.
    pub(super) fn build(self, rules: &RuleSet) -> Box<[Affixes]> {
        let build = |((field, side), texts)| Affixes::new(field, side, texts, rules);
        let mut indexes: Vec<_> = self.groups.into_iter().map(build).collect();
        indexes.sort_unstable_by_key(|index| index.first);
        indexes.into()
    }
}

/// A value as an index reads it: backwards for suffixes, in lower case if case is ignored.
#[derive(Clone, Copy)]
struct Reading<'v> {
    value: &'v [u8],
    side: Side,
    ignore_case: bool,
}

impl<'v> Reading<'v> {
    fn bytes(self) -> impl Iterator<Item = u8> + 'v {
        let last = self.value.len().wrapping_sub(1);
        (0..self.value.len()).map(move |index| {
            let byte = self.value[if self.side == Side::Start { index } else { last - index }];
            if self.ignore_case { byte.to_ascii_lowercase() } else { byte }
        })
    }

    fn starts_with(self, text: &[u8]) -> bool {
        match (self.side, self.ignore_case) {
            (Side::Start, false) => self.value.starts_with(text),
            _ => text.len() <= self.value.len() && iter::zip(self.bytes(), text).all(|(left, right)| left == *right),
        }
    }

    fn is_less_than(self, text: &[u8]) -> bool {
        match (self.side, self.ignore_case) {
            (Side::Start, false) => self.value < text,
            _ => self.bytes().lt(text.iter().copied()),
        }
    }
}

/// Packs the first eight bytes so that numbers compare as texts do; texts that are shorter count as smaller or equal.
fn head(bytes: impl Iterator<Item = u8>) -> u64 {
    let mut head = [0; 8];
    iter::zip(&mut head, bytes).for_each(|(slot, byte)| *slot = byte);
    u64::from_be_bytes(head)
}

/// Finds the longest text that `text` starts with among those before it in order.
fn parent(entries: &[Entry], text: &[u8]) -> Option<u32> {
    let mut candidate = entries.len().checked_sub(1);
    while let Some(index) = candidate {
        if text.starts_with(&entries[index].text) {
            return u32::try_from(index).ok();
        }
        candidate = entries[index].parent.map(|parent| parent as usize);
    }
    None
}
