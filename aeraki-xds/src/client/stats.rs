//! What became of the tables that control planes sent, under Envoy's names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aeraki_core::observe::{Collect, Samples, Value};

use super::Event;

/// Counts what happens to subscriptions, as `rds.<table>.update_success` and the like; given to
/// [`Subscriber::with_stats`](super::Subscriber::with_stats) and `RouteFile::with_stats`, and registered with
/// [`Stats`](aeraki_core::observe::Stats).
#[derive(Debug, Default)]
pub struct UpdateStats(Mutex<BTreeMap<String, Numbers>>);

#[derive(Debug, Default)]
struct Numbers {
    success: u64,
    rejected: u64,
    empty: u64,
    failure: u64,
}

impl UpdateStats {
    /// Forgets all tables but these.
    pub fn keep<'a>(&self, tables: impl IntoIterator<Item = &'a str>) {
        let kept: BTreeSet<_> = tables.into_iter().collect();
        self.numbers().retain(|table, _| kept.contains(table.as_str()));
    }

    pub(crate) fn count(&self, event: &Event<'_>) {
        let (Event::Connected { name }
        | Event::Accepted { name, .. }
        | Event::Rejected { name, .. }
        | Event::Empty { name }
        | Event::Disconnected { name, .. }) = event;
        let mut all = self.numbers();
        let numbers = all.entry((*name).to_owned()).or_default();
        match event {
            Event::Connected { .. } => {}
            Event::Accepted { .. } => numbers.success += 1,
            Event::Rejected { .. } => numbers.rejected += 1,
            Event::Empty { .. } => numbers.empty += 1,
            Event::Disconnected { .. } => numbers.failure += 1,
        }
    }

    fn numbers(&self) -> MutexGuard<'_, BTreeMap<String, Numbers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collect for UpdateStats {
    fn collect(&self, samples: &mut Samples) {
        for (table, Numbers { success, rejected, empty, failure }) in &*self.numbers() {
            samples
                .scope("rds", &[("route_config_name", table)])
                .add("update_success", "Tables put in force.", Value::Counter(*success))
                .add("update_rejected", "Tables refused; the last good one stays.", Value::Counter(*rejected))
                .add("update_empty", "Answers that there is no such table.", Value::Counter(*empty))
                .add("update_failure", "Streams that ended or could not begin.", Value::Counter(*failure));
        }
    }
}
