//! Rules filed under the exact values of one or more keys.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher},
    slice,
};

use aeraki_codec::Attributes;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use super::{RuleId, Search, access::Field};

/// Files rules under the joint hash of the values of the same keys.
///
/// The seed of the hash differs from table to table. Keys come from the configuration and only probes from the network,
/// so nobody there can fill a bucket.
#[derive(Debug)]
pub(super) struct ExactIndex {
    fields: SmallVec<[Field; 4]>,
    hasher: RandomState,
    buckets: HashTable<Bucket>,
    /// The rules of all buckets but their first ones; ascending inside a bucket.
    others: Box<[RuleId]>,
    first: RuleId,
}

#[derive(Debug)]
struct Bucket {
    hash: u64,
    first: RuleId,
    /// Where the others lie in [`ExactIndex::others`]; mostly nowhere.
    start: u32,
    len: u32,
}

impl ExactIndex {
    fn new(fields: SmallVec<[Field; 4]>, hasher: RandomState, mut entries: Vec<(u64, RuleId)>) -> Self {
        entries.sort_unstable();
        let mut buckets = HashTable::with_capacity(entries.len());
        let mut others = Vec::new();
        for same in entries.chunk_by(|(left, _), (right, _)| left == right) {
            let [(hash, first), rest @ ..] = same else { continue };
            let [start, len] = [others.len(), rest.len()].map(|n| u32::try_from(n).expect("rule ids are 32 bits"));
            others.extend(rest.iter().map(|(_, rule)| *rule));
            buckets.insert_unique(*hash, Bucket { hash: *hash, first: *first, start, len }, |bucket| bucket.hash);
        }
        let first = entries.iter().map(|(_, rule)| *rule).min().unwrap_or(RuleId::MAX);
        Self { fields, hasher, buckets, others: others.into(), first }
    }

    #[inline]
    pub(super) fn search<A: Attributes + ?Sized>(&self, search: &mut Search<'_, '_, A>) {
        if self.first >= search.best {
            return;
        }
        let mut hasher = self.hasher.build_hasher();
        for field in &self.fields {
            let Some(value) = search.probe.value(field.slot) else { return };
            write(&mut hasher, value, field.ignore_case);
        }
        let hash = hasher.finish();
        if let Some(bucket) = self.buckets.find(hash, |bucket| bucket.hash == hash) {
            search.consider(slice::from_ref(&bucket.first));
            search.consider(&self.others[bucket.start as usize..][..bucket.len as usize]);
        }
    }
}

/// Collects rules by the keys that they are filed under.
#[derive(Default)]
pub(super) struct ExactBuilder {
    hasher: RandomState,
    groups: HashMap<SmallVec<[Field; 4]>, Vec<(u64, RuleId)>, RandomState>,
}

impl ExactBuilder {
    pub(super) fn insert(&mut self, values: &[(Field, &[u8])], rule: RuleId) {
        let mut hasher = self.hasher.build_hasher();
        values.iter().for_each(|(field, value)| write(&mut hasher, value, field.ignore_case));
        let fields = values.iter().map(|(field, _)| *field).collect();
        self.groups.entry(fields).or_default().push((hasher.finish(), rule));
    }

    /// Builds the indexes, the one with the earliest rule first: what it finds spares the others.
    pub(super) fn build(self) -> Box<[ExactIndex]> {
        let hasher = self.hasher;
        let build = |(fields, entries)| ExactIndex::new(fields, hasher.clone(), entries);
        let mut indexes: Vec<_> = self.groups.into_iter().map(build).collect();
        indexes.sort_unstable_by_key(|index| index.first);
        indexes.into()
    }
}

#[inline]
fn write(hasher: &mut impl Hasher, value: &[u8], ignore_case: bool) {
    if !ignore_case {
        return hasher.write(value);
    }
    for chunk in value.chunks(LOWER_CASED) {
        let mut lower = [0; LOWER_CASED];
        let lower = &mut lower[..chunk.len()];
        lower.copy_from_slice(chunk);
        lower.make_ascii_lowercase();
        hasher.write(lower);
    }
}

/// Bytes that are lower-cased at a time, on the stack.
const LOWER_CASED: usize = 64;
