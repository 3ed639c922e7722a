//! Refuses requests while too many are under way.

use std::sync::Arc;

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::policy::{Concurrency, Underway};
use tokio::time::Instant;

use super::{Admission, BoxError, Gate, Request, Response, Watch};
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
    fn admit(&self, _: &mut Request) -> Admission {
        let Some(underway) = self.concurrency.enter() else {
            self.metrics.counters.shed.inc();
            return Admission::Refuse(LocalReply::new(Reason::Shed, "the proxy has too many requests under way"));
        };
        Admission::Watch(Box::new(Place { underway, admitted: Instant::now() }))
    }
}

/// A request under way.
struct Place {
    underway: Underway,
    /// When it came here: what it waited for before says nothing of the servers.
    admitted: Instant,
}

impl Watch for Place {
    fn answered(&mut self, response: &mut Response) {
        // what the proxy answers itself says nothing of how fast the servers are
        if matches!(response, Response::Message(_)) {
            let now = Instant::now();
            self.underway.took(now.saturating_duration_since(self.admitted), now.into_std());
        }
    }

    fn failed(&mut self, error: &BoxError) {
        // an answer that did not come in time is as slow as one that did come then
        if error.downcast_ref::<LocalReply>().is_some_and(|reply| reply.reason() == Reason::Timeout) {
            let now = Instant::now();
            self.underway.waited(now.saturating_duration_since(self.admitted), now.into_std());
        }
    }
}
