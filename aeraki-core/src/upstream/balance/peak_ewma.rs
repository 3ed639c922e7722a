//! The endpoint that is likely to answer first among two drawn at random.

use std::time::Duration;

use aeraki_route::config;

use super::{Balance, Draw, Targets};

/// Compares what a request would wait: the latency of late, times the requests that are in flight with it.
#[derive(Debug)]
pub(super) struct PeakEwma {
    decay: Duration,
}

impl PeakEwma {
    pub(super) const fn new(config: config::PeakEwma) -> Self {
        Self { decay: config.decay }
    }

    fn cost(&self, targets: &Targets, place: usize) -> f64 {
        targets.get(place).map_or(f64::INFINITY, |target| {
            let latency = target.endpoint.latency.now(self.decay);
            match target.active() {
                // nothing is known against one that has never answered, until it has to
                active if latency == 0.0 && active > 0 => UNKNOWN * f64::from(active),
                active => latency * (f64::from(active) + 1.0),
            }
        })
    }
}

impl Balance for PeakEwma {
    fn pick(&self, targets: &Targets, _: Draw) -> usize {
        let first = targets.draw();
        let second = targets.draw_other(first);
        if self.cost(targets, second) < self.cost(targets, first) { second } else { first }
    }
}

/// The latency in seconds of an endpoint that has a request and has never answered one.
const UNKNOWN: f64 = 1.0;
