//! Refuses requests while too many are under way.

use std::sync::Arc;

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::policy::Concurrency;
use tokio::time::Instant;

use super::{Admission, Gate, Request, Response, Watch};
use crate::observe::Metrics;

/// Bounds the requests under way, by a fixed or an adaptive [bound](aeraki_route::config::Shed).
#[derive(Debug)]
pub struct ShedLoad {
    concurrency: Arc<Concurrency>,
    metrics: Arc<Metrics>,
}

impl ShedLoad {
    /// Makes the gate; all gates with the same `concurrency` share its bound.
    #[must_use]
    pub const fn new(concurrency: Arc<Concurrency>, metrics: Arc<Metrics>) -> Self {
        Self { concurrency, metrics }
    }
}

impl Gate for ShedLoad {
    fn admit(&self, request: &mut Request) -> Admission {
        if !self.concurrency.enter() {
            self.metrics.counters.shed.inc();
            return Admission::Refuse(LocalReply::new(Reason::Shed, "the proxy has too many requests under way"));
        }
        let started = request.facts.note(|record| record.started);
        Admission::Watch(Box::new(Place { concurrency: Arc::clone(&self.concurrency), started, answered: false }))
    }
}

/// A request under way.
struct Place {
    concurrency: Arc<Concurrency>,
    started: Instant,
    answered: bool,
}

impl Watch for Place {
    fn answered(&mut self, response: &mut Response) {
        // what the proxy answers itself says nothing of how fast the servers are
        self.answered = matches!(response, Response::Message(_));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = Instant::now().into_std();
        let latency = self.answered.then(|| now.saturating_duration_since(self.started.into_std()));
        self.concurrency.leave(latency, now);
    }
}
