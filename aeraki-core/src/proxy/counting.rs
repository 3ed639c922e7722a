//! What one worker counts, which lasts as long as a listener counts into it.

use std::{
    collections::HashMap,
    hash::Hash,
    ops::Deref,
    sync::{Arc, Mutex},
};

use crate::{
    observe::{Collect, Stats},
    sync::lock,
};

/// Gives listeners that count under the same key the same numbers, so that a listener that replaces another goes on
/// with its numbers. Cheap to clone.
#[derive(Debug)]
pub(super) struct Shown<K, T> {
    stats: Stats,
    known: Arc<Mutex<HashMap<K, Held<T>>>>,
}

/// Numbers, and by how many they are held.
type Held<T> = (Arc<T>, usize);

impl<K, T> Clone for Shown<K, T> {
    fn clone(&self) -> Self {
        Self { stats: self.stats.clone(), known: Arc::clone(&self.known) }
    }
}

impl<K: Hash + Eq + Clone, T: Collect> Shown<K, T> {
    pub(super) fn new(stats: &Stats) -> Self {
        Self { stats: stats.clone(), known: Arc::default() }
    }

    /// Returns the numbers under `key`, which are shown as long as somebody holds them.
    pub(super) fn of(&self, key: K, make: impl FnOnce(&K) -> Arc<T>) -> Counting<K, T> {
        let mut known = lock(&self.known);
        let (numbers, holders) = known.entry(key.clone()).or_insert_with(|| {
            let numbers = make(&key);
            self.stats.register(Arc::clone(&numbers) as _);
            (numbers, 0)
        });
        *holders += 1;
        Counting { numbers: Arc::clone(numbers), key, of: self.clone() }
    }
}

/// Numbers that somebody counts into.
#[derive(Debug)]
pub(super) struct Counting<K: Hash + Eq + Clone, T: Collect> {
    numbers: Arc<T>,
    key: K,
    of: Shown<K, T>,
}

impl<K: Hash + Eq + Clone, T: Collect> Deref for Counting<K, T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Self::Target {
        &self.numbers
    }
}

impl<K: Hash + Eq + Clone, T: Collect> Drop for Counting<K, T> {
    fn drop(&mut self) {
        let mut known = lock(&self.of.known);
        let Some((_, holders)) = known.get_mut(&self.key) else { return };
        *holders -= 1;
        if *holders == 0 {
            known.remove(&self.key);
            self.of.stats.unregister(&(Arc::clone(&self.numbers) as _));
        }
    }
}
