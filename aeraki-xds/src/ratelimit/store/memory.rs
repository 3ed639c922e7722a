//! Counters in this process.

use std::{
    collections::HashMap,
    future::{Future, ready},
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use lru::LruCache;

use super::{Hit, Store, StoreError};
use crate::ratelimit::{Unit, Window};

/// Counts in memory: for one replica, and for tests.
///
/// When a window ends, its counters are dropped. No unit of time has more than `capacity` counters, of about 100 bytes
/// each; beyond that, the one that was hit least recently is forgotten. All windows of one length are one to it, so
/// that a flood of values in short windows costs no counter of a longer one.
#[derive(Debug)]
pub struct MemoryStore {
    turns: Mutex<HashMap<Unit, Turn>>,
    seeds: (RandomState, RandomState),
    capacity: NonZeroUsize,
    evictions: AtomicU64,
}

impl MemoryStore {
    /// Creates a store of at most `capacity` counters per unit of time.
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self {
            turns: Mutex::default(),
            seeds: (RandomState::new(), RandomState::new()),
            capacity,
            evictions: AtomicU64::new(0),
        }
    }

    /// Returns how many counters were forgotten before their window ended. As long as it grows, limits are let through
    /// that would have been exhausted: there are more counters than the capacity.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// Names the counter. Two seeded hashes stand for keys and values of any length; nobody who does not know the seeds
    /// can make two counters meet.
    fn id(&self, hit: &Hit<'_>) -> Id {
        let counter = (hit.domain, &hit.entries);
        Id(self.seeds.0.hash_one(counter), self.seeds.1.hash_one(counter))
    }
}

impl Default for MemoryStore {
    /// 100 000 counters per unit of time.
    fn default() -> Self {
        Self::new(NonZeroUsize::new(100_000).unwrap_or(NonZeroUsize::MIN))
    }
}

impl Store for MemoryStore {
    fn add(&self, hits: &[Hit<'_>]) -> impl Future<Output = Result<Vec<u64>, StoreError>> + Send {
        // A panic elsewhere leaves nothing half done here.
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = hits.iter().map(|hit| {
            let turn = turns.entry(hit.window.unit()).or_insert_with(|| Turn::new(hit.window));
            turn.advance(hit.window);
            let count = turn.add(self.id(hit), hit.addend);
            if turn.counts.len() > self.capacity.get() {
                turn.counts.pop_lru();
                self.evictions.fetch_add(1, Ordering::Relaxed);
            }
            count
        });
        ready(Ok(counts.collect()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Id(u64, u64);

/// The counters of one unit of time: those of its current window, for there is no other.
#[derive(Debug)]
struct Turn {
    window: Window,
    counts: LruCache<Id, u64>,
}

impl Turn {
    fn new(window: Window) -> Self {
        Self { window, counts: LruCache::unbounded() }
    }

    /// Drops all counters when the window is another one.
    ///
    /// A hit of the window before was on its way while this one began, and counts in this one. A clock that was set
    /// back further begins anew, rather than that a limit stays exhausted until the clock is there again.
    fn advance(&mut self, window: Window) {
        if window != self.window && window != self.window.previous() {
            *self = Self::new(window);
        }
    }

    fn add(&mut self, id: Id, addend: u64) -> u64 {
        let count = self.counts.get_or_insert_mut(id, || 0);
        *count = count.saturating_add(addend);
        *count
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn count(store: &MemoryStore, value: &str, unit: Unit, now: u64) -> u64 {
        let hit = Hit::new("shop", vec![("user", value)], Window::at(unit, now));
        let counts = store.add(&[hit]).now_or_never().expect("is ready at once").expect("memory is always there");
        counts[0]
    }

    #[test]
    fn the_counters_of_a_window_end_with_it() {
        let store = MemoryStore::default();
        let user = |user, now| count(&store, user, Unit::Minute, now);
        assert_eq!([user("ann", 60), user("ann", 119), user("bob", 119)], [1, 2, 1]);
        assert_eq!(store.turns.lock().expect("nobody panics")[&Unit::Minute].counts.len(), 2);
        assert_eq!(user("ann", 120), 1);
        assert_eq!(store.turns.lock().expect("nobody panics")[&Unit::Minute].counts.len(), 1);
        assert_eq!(user("ann", 119), 2, "a hit that was on its way when the window ended counts in the new one");
        assert_eq!(user("ann", 59), 1, "a clock that was set back begins anew");
        assert_eq!(store.evictions(), 0);
    }

    #[test]
    fn the_counter_that_was_hit_least_recently_is_forgotten() {
        let store = MemoryStore::new(NonZeroUsize::new(2).expect("is not zero"));
        let user = |user| count(&store, user, Unit::Hour, 0);
        assert_eq!([user("ann"), user("bob"), user("ann"), user("cid")], [1, 1, 2, 1]);
        assert_eq!(store.evictions(), 1);
        assert_eq!(user("ann"), 3);
        assert_eq!(user("bob"), 1, "was forgotten, and takes the place of another");
        assert_eq!(store.evictions(), 2);
        assert_eq!(count(&store, "ann", Unit::Day, 0), 1, "other windows have room of their own");
        assert_eq!(store.evictions(), 2);
    }

    #[test]
    fn counters_meet_only_if_domain_keys_and_values_are_equal() {
        let store = MemoryStore::default();
        let window = Window::at(Unit::Day, 0);
        let hits = [
            Hit::new("a", vec![("b", "c_d")], window),
            Hit::new("a", vec![("b_c", "d")], window),
            Hit::new("a_b", vec![("c", "d")], window),
            Hit::new("a", vec![("b", "c"), ("d", "")], window),
            Hit::new("a", vec![("b", "c_d")], window).with_addend(u64::MAX),
        ];
        let counts = store.add(&hits).now_or_never().expect("is ready at once").expect("memory is always there");
        assert_eq!(counts, [1, 1, 1, 1, u64::MAX]);
    }
}
