//! What a group of callers has seen.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;

/// Counts answers by version, errors and latencies of one group of callers.
#[derive(Debug)]
pub(crate) struct Tally {
    counts: Mutex<Counts>,
}

/// The numbers of a [`Tally`] at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    pub(crate) by_version: BTreeMap<String, u64>,
    pub(crate) errors: u64,
    pub(crate) last_error: Option<String>,
    /// Microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1, 60_000_000, 3)?;
        Ok(Self { counts: Mutex::new(Counts { by_version: BTreeMap::new(), errors: 0, last_error: None, latency }) })
    }

    pub(crate) fn answered(&self, version: &str, latency: Duration) {
        let mut counts = self.lock();
        match counts.by_version.get_mut(version) {
            Some(count) => *count += 1,
            None => {
                counts.by_version.insert(version.to_owned(), 1);
            }
        }
        counts.latency.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn failed(&self, error: &str) {
        let mut counts = self.lock();
        counts.errors += 1;
        counts.last_error = Some(error.to_owned());
    }

    /// Counts all answers.
    pub(crate) fn answers(&self) -> u64 {
        self.lock().by_version.values().sum()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
