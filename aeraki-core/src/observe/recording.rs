//! One record for every request.

use std::sync::Arc;

use super::{Facts, Metrics};

/// Keeps the record of one request open; it is counted when this is dropped, exactly once.
#[derive(Debug)]
pub struct Recording {
    facts: Facts,
    metrics: Arc<Metrics>,
}

impl Recording {
    /// Counts the request as begun.
    #[must_use]
    pub fn begin(facts: Facts, metrics: Arc<Metrics>) -> Self {
        metrics.begin(facts.note(|record| record.kind));
        Self { facts, metrics }
    }

    /// Counts the request as ended, and returns its facts.
    #[must_use]
    pub fn end(self) -> Facts {
        self.facts.clone()
    }

    /// Returns the facts that are being recorded.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Returns the counters of the listener.
    #[must_use]
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.facts.note(|record| self.metrics.end(record));
    }
}
