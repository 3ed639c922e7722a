//! The endpoint with the fewest requests in flight among a few drawn at random.

use aeraki_route::config;

use super::{Balance, Draw, SlowStart, Target, Targets, slow_start::Warming};

/// Two choices are nearly as good as all, and never send everybody to the same endpoint at once.
///
/// Where weights differ, an endpoint's share is to be its weight over its requests in flight, as in Envoy. Few
/// endpoints are all compared by that; of many, a few are drawn by weight and one of them by its requests in flight.
#[derive(Debug)]
pub(super) struct LeastRequest {
    config: config::LeastRequest,
    slow_start: Option<SlowStart>,
}

impl LeastRequest {
    pub(super) const fn new(config: config::LeastRequest, slow_start: Option<SlowStart>) -> Self {
        Self { config, slow_start }
    }

    /// Returns how many are drawn: no more than there are, whatever is configured.
    fn choices(&self, targets: &Targets) -> usize {
        targets.len().min(self.config.choices as usize)
    }

    /// Returns the one with the fewest requests in flight among those drawn; with two choices, these are two endpoints.
    fn least(&self, targets: &Targets) -> usize {
        let active = |place| targets.get(place).map_or(u32::MAX, Target::active);
        (1..self.choices(targets)).fold(targets.draw(), |best, _| {
            let drawn = targets.draw_other(best);
            if active(drawn) < active(best) { drawn } else { best }
        })
    }

    /// Draws one by weights that fall with requests in flight.
    fn weighted(&self, targets: &Targets, warming: Option<&Warming<'_>>) -> usize {
        let idleness = |target: &Target| {
            let load = f64::from(target.active()) + 1.0;
            let bias = self.config.active_request_bias.value();
            if bias == 1.0 { load.recip() } else { load.powf(-bias) }
        };
        if targets.len() <= FEW {
            let part = |target: &Target| warming.map_or(1.0, |warming| warming.part(target));
            let weight = |target: &Target| f64::from(target.config.weight) * part(target) * idleness(target);
            return one_of(targets.iter().map(weight).enumerate());
        }
        let draw = || warming.map_or_else(|| targets.draw(), |warming| warming.first(targets, || targets.draw()));
        one_of((0..self.choices(targets)).map(|_| {
            let drawn = draw();
            (drawn, targets.get(drawn).map_or(0.0, idleness))
        }))
    }
}

impl Balance for LeastRequest {
    fn pick(&self, targets: &Targets, _: Draw) -> usize {
        let warming = self.slow_start.as_ref().and_then(|slow_start| slow_start.under_way(targets));
        if warming.is_none() && targets.is_equal() {
            return self.least(targets);
        }
        self.weighted(targets, warming.as_ref())
    }
}

/// Draws one of these in proportion to their weights, in one pass.
fn one_of(weighted: impl Iterator<Item = (usize, f64)>) -> usize {
    let mut sum = 0.0;
    weighted.fold(0, |chosen, (place, weight)| {
        sum += weight;
        if fastrand::f64() * sum < weight { place } else { chosen }
    })
}

/// So many endpoints are compared within the time of a choice.
const FEW: usize = 8;
