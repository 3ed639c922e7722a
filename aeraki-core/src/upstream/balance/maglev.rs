//! By the request's hash in a table in which every endpoint has its share of the entries.

use aeraki_route::config;
use xxhash_rust::xxh64::xxh64;

use super::{Balance, Draw, Targets, bounded_load::BoundedLoad};

/// A table as Envoy makes it: endpoints in the order of their addresses take turns, and each takes the next entry that
/// is free in an order of its own.
#[derive(Debug)]
pub(super) struct Maglev {
    /// The places of the targets.
    table: Vec<u32>,
    bound: Option<BoundedLoad>,
}

impl Maglev {
    pub(super) fn new(config: config::Maglev, targets: &Targets, parts: &[f64]) -> Self {
        let bound = config.balance_factor.map(|factor| BoundedLoad::new(factor, parts));
        let bidders = bidders(config.table_size, targets, parts);
        Self { table: table(config.table_size, bidders), bound }
    }
}

impl Balance for Maglev {
    fn pick(&self, targets: &Targets, draw: Draw) -> usize {
        // a number of which most bits are set: another choice is to be far from the last
        let mix = if draw.attempt > 0 { u64::MAX - u64::from(draw.attempt) + 1 } else { 0 };
        let entry = (draw.hash ^ mix) % self.table.len().max(1) as u64;
        let place = self.table.get(entry as usize).map_or(0, |place| *place as usize);
        self.bound.as_ref().map_or(place, |bound| bound.settle(targets, draw.hash, place))
    }
}

/// A target that fills the table with others.
struct Bidder {
    place: u32,
    part: f64,
    /// The entry that it tries next, and how far from that is the one after it.
    entry: u32,
    skip: u32,
    /// What its part times the number of the round must reach before it gets another entry.
    due: f64,
}

impl Bidder {
    fn new(size: u32, key: &str, place: u32, part: f64) -> Self {
        let hash = |seed, below: u32| (xxh64(key.as_bytes(), seed) % u64::from(below)) as u32;
        Self { place, part, entry: hash(0, size), skip: hash(1, size - 1) + 1, due: 0.0 }
    }

    /// Takes the next entry that is free.
    fn take(&mut self, taken: &mut Bits, size: u32) -> u32 {
        loop {
            let entry = self.entry;
            let left = size - self.skip;
            // a remainder, without a division
            self.entry = if entry >= left { entry - left } else { entry + self.skip };
            if taken.set(entry) {
                return entry;
            }
        }
    }
}

fn bidders(size: u32, targets: &Targets, parts: &[f64]) -> Vec<Bidder> {
    let mut keyed: Vec<_> = (0..).zip(targets.iter().map(super::Target::hash_key)).zip(parts).collect();
    // the first bytes tell most keys apart, and need no look at the rest
    keyed.sort_by_cached_key(|((_, key), _)| (first_bytes(key), *key));
    let bidder = |((place, key), part): ((u32, &str), &f64)| Bidder::new(size, key, place, *part);
    keyed.into_iter().filter(|(_, part)| **part > 0.0).map(bidder).collect()
}

/// Returns the first bytes of a key as a number that is in the same order.
fn first_bytes(key: &str) -> u128 {
    let mut first = [0; size_of::<u128>()];
    let most = key.len().min(first.len());
    first[..most].copy_from_slice(&key.as_bytes()[..most]);
    u128::from_be_bytes(first)
}

fn table(size: u32, mut bidders: Vec<Bidder>) -> Vec<u32> {
    let most = bidders.iter().map(|bidder| bidder.part).fold(0.0, f64::max);
    let mut table = vec![0; if bidders.is_empty() { 0 } else { size as usize }];
    let mut taken = Bits::new(size);
    let (mut free, mut round) = (table.len(), 0.0);
    while free > 0 {
        round += 1.0;
        for bidder in &mut bidders {
            // who has the most gets an entry in every round, who has a third of that in every third
            if free == 0 || round * bidder.part < bidder.due {
                continue;
            }
            bidder.due += most;
            table[bidder.take(&mut taken, size) as usize] = bidder.place;
            free -= 1;
        }
    }
    table
}

/// Which entries are taken: so small that it is near at hand, though it is asked in no order.
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: u32) -> Self {
        Self(vec![0; count.div_ceil(u64::BITS) as usize])
    }

    /// Takes one; tells whether it was free.
    fn set(&mut self, place: u32) -> bool {
        let (word, bit) = (&mut self.0[(place / u64::BITS) as usize], 1 << (place % u64::BITS));
        let free = *word & bit == 0;
        *word |= bit;
        free
    }
}
