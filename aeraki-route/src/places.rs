//! Bounds how much of a kind is under way at a time.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// A number of places, shared by all who hold a clone.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<AtomicU32>);

/// One or more of a bounded number of places; given back when dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Place {
    taken: Arc<AtomicU32>,
    count: u32,
}

impl Places {
    /// Takes a place, unless `most` are taken.
    #[inline]
    pub fn take(&self, most: u32) -> Option<Place> {
        self.take_many(1, most)
    }

    /// Takes `count` places, unless more than `most` would be taken then.
    pub fn take_many(&self, count: u32, most: u32) -> Option<Place> {
        let more = |taken: u32| taken.checked_add(count).filter(|taken| *taken <= most);
        self.0.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Place { taken: Arc::clone(&self.0), count })
    }

    /// Returns how many are taken.
    pub fn taken(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.count, Relaxed);
    }
}
