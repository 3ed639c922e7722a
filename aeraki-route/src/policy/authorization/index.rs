//! Finds the conjunctions that may hold for a message: each is filed under the patterns of one of its clauses.

use std::collections::HashMap;

use aeraki_codec::Attributes;
use foldhash::fast::RandomState;

use super::{
    Field, Subject,
    conjunction::{Clause, Conjunction},
};

/// Conjunctions by their most selective clause.
#[derive(Debug, Default)]
pub(super) struct Index {
    conjunctions: Box<[Conjunction]>,
    fields: Vec<FieldIndex>,
    /// Conjunctions of which no pattern says what a message must have.
    scan: Vec<u32>,
}

/// Where the conjunctions of one field are filed, by the texts that they want.
#[derive(Debug)]
struct FieldIndex {
    field: Field,
    exact: Filed,
    prefixes: Affixes,
    suffixes: Affixes,
}

type Filed = HashMap<Box<[u8]>, Vec<u32>, RandomState>;

/// Beginnings or ends, and which lengths they have.
#[derive(Debug, Default)]
struct Affixes {
    lengths: Vec<usize>,
    filed: Filed,
}

impl Index {
    pub(super) fn build(conjunctions: impl Iterator<Item = Conjunction>) -> Self {
        let mut index = Self { conjunctions: conjunctions.collect(), ..Self::default() };
        let (fields, scan) = (&mut index.fields, &mut index.scan);
        for (conjunction, id) in index.conjunctions.iter().zip(0..) {
            match best_clause(conjunction) {
                Some(clause) => FieldIndex::of(fields, clause.field).file(clause, id),
                None => scan.push(id),
            }
        }
        index
    }

    pub(super) fn is_empty(&self) -> bool {
        self.conjunctions.is_empty()
    }

    /// Returns the first conjunction that holds.
    pub(super) fn find<A: Attributes + ?Sized>(&self, subject: &Subject<'_, A>) -> Option<&Conjunction> {
        let mut best = NONE;
        let mut consider = |candidates: &[u32]| {
            let mut better = candidates.iter().copied().take_while(|id| *id < best);
            let found = better.find(|id| self.conjunctions[*id as usize].holds(subject));
            best = found.unwrap_or(best);
        };
        for index in &self.fields {
            for value in subject.values(index.field) {
                index.candidates(value, &mut consider);
            }
        }
        consider(&self.scan);
        self.conjunctions.get(best as usize)
    }
}

impl FieldIndex {
    fn of(fields: &mut Vec<Self>, field: Field) -> &mut Self {
        let place = fields.iter().position(|index| index.field == field).unwrap_or_else(|| {
            let (exact, prefixes, suffixes) = Default::default();
            fields.push(Self { field, exact, prefixes, suffixes });
            fields.len() - 1
        });
        &mut fields[place]
    }

    fn file(&mut self, clause: &Clause, id: u32) {
        for text in &clause.wanted.exact {
            self.exact.entry(text.clone()).or_default().push(id);
        }
        self.prefixes.file(&clause.wanted.prefixes, id);
        self.suffixes.file(&clause.wanted.suffixes, id);
    }

    fn candidates(&self, value: &[u8], consider: &mut impl FnMut(&[u32])) {
        if let Some(candidates) = self.exact.get(value) {
            consider(candidates);
        }
        for length in self.prefixes.lengths.iter().take_while(|length| **length <= value.len()) {
            self.prefixes.filed.get(&value[..*length]).into_iter().for_each(|candidates| consider(candidates));
        }
        for length in self.suffixes.lengths.iter().take_while(|length| **length <= value.len()) {
            let end = &value[value.len() - length..];
            self.suffixes.filed.get(end).into_iter().for_each(|candidates| consider(candidates));
        }
    }
}

impl Affixes {
    fn file(&mut self, texts: &[Box<[u8]>], id: u32) {
        for text in texts {
            if let Err(place) = self.lengths.binary_search(&text.len()) {
                self.lengths.insert(place, text.len());
            }
            self.filed.entry(text.clone()).or_default().push(id);
        }
    }
}

/// Chooses the clause that the fewest messages fulfil, as far as can be told: whole texts before beginnings and ends,
/// few before many. A clause that any value fulfils files nothing.
fn best_clause(conjunction: &Conjunction) -> Option<&Clause> {
    let clauses = conjunction.clauses.iter().filter(|clause| !clause.wanted.any && !clause.wanted.is_empty());
    clauses.min_by_key(|clause| {
        let affixes = clause.wanted.prefixes.len() + clause.wanted.suffixes.len();
        (affixes, clause.wanted.exact.len())
    })
}

const NONE: u32 = u32::MAX;
