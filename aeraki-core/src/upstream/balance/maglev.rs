//! By the request's hash in a table in which every endpoint has its share of the entries.

use aeraki_route::config;
use xxhash_rust::xxh64::xxh64;

use super::{Balance, Draw, Targets, bounded_load::BoundedLoad};

/// A table as Envoy makes it: endpoints in the order of their addresses take turns, and each takes the next entry that is
/// free in an order of its own.
#[derive(Debug)]
pub(super) struct Maglev {
    /// The places of the targets.
    table: Vec<u32>,
    bound: Option<BoundedLoad>,
}

impl Maglev {
    pub(super) fn new(config: config::Maglev, targets: &Targets, parts: &[f64]) -> Self {
        let bound = config.balance_factor.map(|factor| BoundedLoad::new(factor, parts));
        Self { table: table(config.table_size.into(), bidders(config.table_size.into(), targets, parts)), bound }
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
    entry: u64,
    skip: u64,
    /// What its part times the number of the round must reach before it gets another entry.
    due: f64,
}

fn bidders(size: u64, targets: &Targets, parts: &[f64]) -> Vec<Bidder> {
    let mut keyed: Vec<_> = (0..).zip(targets.iter().map(super::Target::hash_key)).zip(parts).collect();
    keyed.sort_unstable_by(|((_, a), _), ((_, b), _)| a.cmp(b));
    let bidder = |((place, key), part): ((u32, String), &f64)| Bidder {
        place,
        part: *part,
        entry: xxh64(key.as_bytes(), 0) % size,
        skip: xxh64(key.as_bytes(), 1) % (size - 1) + 1,
        due: 0.0,
    };
    keyed.into_iter().filter(|(_, part)| **part > 0.0).map(bidder).collect()
}

fn table(size: u64, mut bidders: Vec<Bidder>) -> Vec<u32> {
    let most = bidders.iter().map(|bidder| bidder.part).fold(0.0, f64::max);
    let mut table = vec![FREE; if bidders.is_empty() { 0 } else { size as usize }];
    let (mut free, mut round) = (table.len(), 0.0);
    while free > 0 {
        round += 1.0;
        for bidder in &mut bidders {
            // who has the most gets an entry in every round, who has a third of that in every third
            if free == 0 || round * bidder.part < bidder.due {
                continue;
            }
            bidder.due += most;
            while table[bidder.entry as usize] != FREE {
                bidder.entry = (bidder.entry + bidder.skip) % size;
            }
            table[bidder.entry as usize] = bidder.place;
            free -= 1;
        }
    }
    table
}

const FREE: u32 = u32::MAX;
