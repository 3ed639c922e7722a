//! Delays and ends requests on purpose.

use std::sync::Arc;

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::{
    config::AbortWith,
    policy::{FaultDraw, Faults},
};
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
    pub const fn new(faults: Arc<Faults>, wheel: Wheel, metrics: Arc<Metrics>) -> Self {
        Self { faults, injector: Injector::new(wheel, metrics) }
    }
}

impl Gate for InjectFaults {
    fn admit(&self, request: &mut Request) -> Admission {
        self.injector.inject(&self.faults, draw(&self.faults, request))
    }
}

/// Draws the faults of a request.
pub(super) fn draw(faults: &Faults, request: &Request) -> FaultDraw {
    faults.draw(&*request.message, || fastrand::u64(..))
}

/// Carries faults out.
#[derive(Clone, Debug)]
pub(super) struct Injector {
    wheel: Wheel,
    metrics: Arc<Metrics>,
}

impl Injector {
    pub(super) const fn new(wheel: Wheel, metrics: Arc<Metrics>) -> Self {
        Self { wheel, metrics }
    }

    /// Carries out what was drawn for a request.
    pub(super) fn inject(&self, faults: &Faults, draw: FaultDraw) -> Admission {
        let counters = &self.metrics.counters;
        let end = draw.abort.map(reply);
        let held = draw.delay.and_then(|delay| Some((delay, faults.hold()?)));
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
