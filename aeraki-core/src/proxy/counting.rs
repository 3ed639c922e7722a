//! The metrics of one worker, which last as long as a listener counts into them.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex},
};

use aeraki_route::config::Listener;

use crate::{
    observe::{Metrics, Stats},
    sync::lock,
};

/// Gives listeners of the same protocol and prefix the same metrics, so that a listener that replaces another goes on
/// with its numbers.
#[derive(Clone, Debug)]
pub(super) struct MetricsOfWorker {
    stats: Stats,
    known: Arc<Mutex<HashMap<Key, Held>>>,
}

/// Protocol and prefix.
type Key = (String, String);
/// Metrics, and by how many listeners they are held.
type Held = (Arc<Metrics>, usize);

impl MetricsOfWorker {
    pub(super) fn new(stats: Stats) -> Self {
        Self { stats, known: Arc::default() }
    }

    /// Returns the metrics of a listener, which are shown as long as somebody holds them.
    pub(super) fn of(&self, listener: &Listener) -> Counting {
        let key = (listener.protocol.name.clone(), listener.stat_prefix.clone());
        let mut known = lock(&self.known);
        let (metrics, holders) = known.entry(key.clone()).or_insert_with(|| {
            let metrics = Metrics::new(&*key.0, &*key.1);
            self.stats.register(Arc::clone(&metrics) as _);
            (metrics, 0)
        });
        *holders += 1;
        Counting { metrics: Arc::clone(metrics), key, of: self.clone() }
    }
}

/// Metrics that a listener counts into.
#[derive(Debug)]
pub(super) struct Counting {
    metrics: Arc<Metrics>,
    key: Key,
    of: MetricsOfWorker,
}

impl Deref for Counting {
    type Target = Arc<Metrics>;

    fn deref(&self) -> &Self::Target {
        &self.metrics
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let mut known = lock(&self.of.known);
        let Some((_, holders)) = known.get_mut(&self.key) else { return };
        *holders -= 1;
        if *holders == 0 {
            known.remove(&self.key);
            self.of.stats.unregister(&(Arc::clone(&self.metrics) as _));
        }
    }
}
