//! One record for every request.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Facts, Metrics};

/// Keeps the record of one request open; it is counted when this is ended or dropped, exactly once.
#[derive(Debug)]
pub struct Recording {
    facts: Facts,
    metrics: Arc<Metrics>,
    open: bool,
}

impl Recording {
    /// Counts the request as begun.
    #[must_use]
    pub fn begin(facts: Facts, metrics: Arc<Metrics>) -> Self {
        metrics.begin(facts.note(|record| record.kind));
        Self { facts, metrics, open: true }
    }

    /// Counts the stream that the request has opened, which goes on behind an answer of `response_bytes`.
    pub fn opened(&self, response_bytes: u64) {
        self.metrics.stream_opened();
        self.facts.note(|record| {
            record.response_bytes = response_bytes;
            record.stream = Some(Box::default());
        });
    }

    /// Counts the request as ended when the last of `response_bytes` was written, and returns its facts.
    #[must_use]
    pub fn end(mut self, response_bytes: u64, at: Instant) -> Facts {
        self.facts.note(|record| record.response_bytes = response_bytes);
        self.close(at);
        self.facts.clone()
    }

    fn close(&mut self, at: Instant) {
        self.open = false;
        self.facts.note(|record| self.metrics.end(record, at));
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
        if self.open {
            self.close(Instant::now());
        }
    }
}
