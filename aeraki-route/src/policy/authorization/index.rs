//! Finds the conjunctions that may hold for a message: each is filed under what it wants of one thing.

use std::collections::HashMap;

use aeraki_codec::Attributes;
use foldhash::fast::RandomState;

use super::{
    End, Field, Subject,
    conjunction::{Conjunction, Key},
    texts::{Pattern, Texts},
};
use crate::networks::Networks;

/// Conjunctions, and where they are filed.
#[derive(Debug, Default)]
pub(super) struct Index {
    conjunctions: Box<[Conjunction]>,
    filed: Filed,
}

/// The places of conjunctions by the texts, networks and ports that they want.
#[derive(Debug, Default)]
struct Filed {
    fields: Vec<(Field, Texts<Places>)>,
    ends: Vec<(End, FiledSite)>,
    /// Conjunctions that want nothing: they say at most what a message must not have.
    scan: Places,
}

/// The places of conjunctions by what they want of an end of the connection.
#[derive(Debug, Default)]
struct FiledSite {
    networks: Networks<Places>,
    ports: HashMap<u16, Places, RandomState>,
}

/// In order.
type Places = Vec<u32>;

impl Index {
    pub(super) fn build(conjunctions: impl Iterator<Item = Conjunction>) -> Self {
        let conjunctions: Box<[_]> = conjunctions.collect();
        let mut crowds = Crowds::default();
        for key in conjunctions.iter().flat_map(Conjunction::wants).flatten() {
            *crowds.entry(key).or_default() += 1;
        }
        let mut filed = Filed::default();
        for (conjunction, place) in conjunctions.iter().zip(0..) {
            match conjunction.wants().min_by_key(|keys| rank(keys, &crowds)) {
                Some(keys) => keys.into_iter().for_each(|key| filed.under(key).push(place)),
                None => filed.scan.push(place),
            }
        }
        drop(crowds);
        Self { conjunctions, filed }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.conjunctions.is_empty()
    }

    /// Returns the first conjunction that holds.
    pub(super) fn find<A: Attributes + ?Sized>(&self, subject: &Subject<'_, A>) -> Option<&Conjunction> {
        let mut best = NONE;
        self.filed.candidates(subject, |candidates| {
            let mut better = candidates.iter().copied().take_while(|place| *place < best);
            let found = better.find(|place| self.conjunctions[*place as usize].holds(subject));
            best = found.unwrap_or(best);
        });
        self.conjunctions.get(best as usize)
    }

    /// Counts the conjunctions that are looked at where none of them holds.
    #[cfg(test)]
    pub(super) fn count_candidates<A: Attributes + ?Sized>(&self, subject: &Subject<'_, A>) -> usize {
        let mut count = 0;
        self.filed.candidates(subject, |candidates| count += candidates.len());
        count
    }
}

impl Filed {
    fn under(&mut self, key: Key<'_>) -> &mut Places {
        match key {
            Key::Text(field, pattern) => of(&mut self.fields, field).entry(pattern),
            Key::Network(end, network) => of(&mut self.ends, end).networks.entry(network),
            Key::Port(end, port) => of(&mut self.ends, end).ports.entry(port).or_default(),
        }
    }

    /// Hands out the places of all conjunctions that may hold.
    fn candidates<A: Attributes + ?Sized>(&self, subject: &Subject<'_, A>, mut consider: impl FnMut(&[u32])) {
        for (field, texts) in &self.fields {
            for value in subject.values(*field) {
                texts.any(value, |places| {
                    consider(places);
                    false
                });
            }
        }
        for (end, site) in &self.ends {
            let address = subject.address(*end);
            site.networks.holding(address.ip()).for_each(|places| consider(places));
            site.ports.get(&address.port()).into_iter().for_each(|places| consider(places));
        }
        consider(&self.scan);
    }
}

/// Returns what is filed for a field or an end.
fn of<K: PartialEq, V: Default>(filed: &mut Vec<(K, V)>, key: K) -> &mut V {
    let place = filed.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
        filed.push((key, V::default()));
        filed.len() - 1
    });
    &mut filed[place].1
}

/// How many conjunctions want a thing.
type Crowds<'a> = HashMap<Key<'a>, u32, RandomState>;

/// Ranks what a conjunction may be filed under; the least is chosen.
///
/// What few others want comes first, so that no message meets more conjunctions than it must; that something is there
/// comes last, as most messages have it. Else whole texts are before what holds many values, and ports come last, as
/// they tell few messages apart; and few entries are before many.
fn rank(keys: &[Key<'_>], crowds: &Crowds<'_>) -> (bool, u32, u8, usize) {
    let crowd = keys.iter().filter_map(|key| crowds.get(key)).max().copied().unwrap_or_default();
    let breadth = keys.iter().map(breadth).max().unwrap_or_default();
    (breadth == ANYTHING, crowd, breadth, keys.len())
}

fn breadth(key: &Key<'_>) -> u8 {
    match key {
        Key::Text(_, Pattern::Exact(_)) => 0,
        Key::Text(_, Pattern::Prefix(_) | Pattern::Suffix(_)) | Key::Network(..) => 1,
        Key::Port(..) => 2,
        Key::Text(_, Pattern::Any) => ANYTHING,
    }
}

const ANYTHING: u8 = 3;

const NONE: u32 = u32::MAX;
