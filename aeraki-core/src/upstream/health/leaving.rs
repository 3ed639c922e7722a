//! Endpoints that have said goodbye: for a while they get requests only where there is nobody else.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::sync::lock;

/// Whether an endpoint is about to go.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// So that nobody needs the time where nobody leaves, as is the rule.
    said: AtomicBool,
    until: Mutex<Option<Instant>>,
}

impl Leaving {
    /// Takes note of a goodbye.
    pub(super) fn say(&self) {
        let mut until = lock(&self.until);
        *until = Some(Instant::now() + WHILE);
        self.said.store(true, Relaxed);
    }

    #[inline]
    pub(super) fn is_said(&self) -> bool {
        self.said.load(Relaxed) && self.counts_still()
    }

    #[cold]
    fn counts_still(&self) -> bool {
        let until = lock(&self.until);
        let counts = until.is_some_and(|until| Instant::now() < until);
        self.said.store(counts, Relaxed);
        counts
    }
}

/// How long a goodbye counts: servers that stop are gone by then, as a rule, and another may be at their address.
const WHILE: Duration = Duration::from_secs(10);
