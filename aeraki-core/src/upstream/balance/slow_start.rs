//! New endpoints get less until they are warm.

use aeraki_route::config;
use tokio::time::Instant;

use super::{Target, Targets};

/// Passes over endpoints that are not warm yet, as often as their weight is to be less: so nothing is computed anew
/// while they warm up, and the shares are those of Envoy's weights.
#[derive(Debug)]
pub(super) struct SlowStart(config::SlowStart);

impl SlowStart {
    pub(super) const fn new(config: config::SlowStart) -> Self {
        Self(config)
    }

    /// Returns what makes a difference now; none: all endpoints are warm.
    pub(super) fn under_way(&self, targets: &Targets) -> Option<Warming<'_>> {
        let now = Instant::now();
        let age = now.saturating_duration_since(targets.newest()?);
        (age < self.0.window).then_some(Warming { config: &self.0, now })
    }
}

/// A slow start at one moment.
pub(super) struct Warming<'a> {
    config: &'a config::SlowStart,
    now: Instant,
}

impl Warming<'_> {
    /// Returns which part of its weight an endpoint has.
    pub(super) fn part(&self, target: &Target) -> f64 {
        let age = self.now.saturating_duration_since(target.since);
        if age >= self.config.window {
            return 1.0;
        }
        let time = age.as_secs_f64() / self.config.window.as_secs_f64();
        let grown = time.powf(self.config.aggression.value().recip());
        grown.max(self.config.min_weight_percent.value() / 100.0)
    }

    /// Returns the first of the endpoints offered that is not passed over.
    pub(super) fn first(&self, targets: &Targets, mut offer: impl FnMut() -> usize) -> usize {
        let mut offered = offer();
        for _ in 1..OFFERS {
            if targets.get(offered).is_none_or(|target| fastrand::f64() < self.part(target)) {
                break;
            }
            offered = offer();
        }
        offered
    }
}

/// So often at most is an endpoint passed over. Where all are new and begin with 10 %, one in thirty choices goes so
/// far.
const OFFERS: u32 = 32;
