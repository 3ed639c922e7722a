//! Bounds how much of a kind is under way at a time.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// A number of places, shared by all who hold a clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Arc<AtomicU32>);

/// One of a bounded number of places; given back when dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Place(Arc<AtomicU32>);

impl Places {
    /// Takes a place, unless `most` are taken.
    pub(crate) fn take(&self, most: u32) -> Option<Place> {
        let more = |taken: u32| (taken < most).then_some(taken + 1);
        self.0.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Place(Arc::clone(&self.0)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
