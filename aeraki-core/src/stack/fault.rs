//! Delays and ends requests on purpose.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::{config::AbortWith, policy::Faults};
use tokio::time::Instant;

use super::{Admission, Gate, Request, Wheel};
use crate::observe::Metrics;

/// Injects [faults](aeraki_route::config::Fault).
#[derive(Debug)]
pub struct InjectFaults {
    faults: Arc<Faults>,
    injector: Injector,
}

impl InjectFaults {
    /// Makes the gate; `wheel` keeps the delays.
    #[must_use]
    pub fn new(faults: Arc<Faults>, wheel: Wheel, metrics: Arc<Metrics>) -> Self {
        Self { faults, injector: Injector::new(wheel, metrics) }
    }
}

impl Gate for InjectFaults {
    fn admit(&self, request: &mut Request) -> Admission {
        self.injector.inject(&self.faults, request)
    }
}

/// Carries faults out, and bounds how many requests are held back at a time.
#[derive(Clone, Debug)]
pub(super) struct Injector {
    active: Arc<AtomicU32>,
    wheel: Wheel,
    metrics: Arc<Metrics>,
}

impl Injector {
    pub(super) fn new(wheel: Wheel, metrics: Arc<Metrics>) -> Self {
        Self { active: Arc::default(), wheel, metrics }
    }

    /// Draws for a request, and carries out what was drawn.
    pub(super) fn inject(&self, faults: &Faults, request: &Request) -> Admission {
        let draw = faults.draw(&*request.message, || fastrand::u64(..));
        let counters = &self.metrics.counters;
        let end = draw.abort.map(reply);
        let held = draw.delay.and_then(|delay| Some((delay, Held::take(&self.active, faults.config().max_active)?)));
        if draw.delay.is_some() && held.is_none() {
            counters.fault_delay_overflow.inc();
        }
        let Some((delay, held)) = held else {
            let Some(reply) = end else { return Admission::Pass };
            counters.fault_aborted.inc();
            return Admission::Refuse(reply);
        };
        counters.fault_delayed.inc();
        let (over, metrics) = (self.wheel.at(Instant::now() + delay), Arc::clone(&self.metrics));
        Admission::Wait(Box::pin(async move {
            over.await;
            drop(held);
            let Some(reply) = end else { return Ok(()) };
            metrics.counters.fault_aborted.inc();
            Err(reply)
        }))
    }
}

fn reply(with: AbortWith) -> LocalReply {
    let text = "the proxy was told to fail this request";
    match with {
        AbortWith::Reason(reason) => LocalReply::new(reason, text),
        AbortWith::Status(status) => LocalReply::new(Reason::Fault, text).with_status(status),
        _ => LocalReply::new(Reason::Fault, text),
    }
}

/// One of the requests that may be held back at a time.
struct Held(Arc<AtomicU32>);

impl Held {
    fn take(active: &Arc<AtomicU32>, most: u32) -> Option<Self> {
        let more = |active: u32| (active < most).then_some(active + 1);
        active.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Self(Arc::clone(active)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
