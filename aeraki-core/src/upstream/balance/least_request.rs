//! The endpoint with the fewest requests in flight among a few drawn at random.

use std::sync::atomic::Ordering::Relaxed;

use super::{Balance, Targets};

/// Compares requests in flight in relation to weight. Two choices are nearly as good as all, and never send everybody
/// to the same endpoint at once.
#[derive(Debug)]
pub(super) struct LeastRequest {
    choices: u32,
}

impl LeastRequest {
    pub(super) const fn new(choices: u32) -> Self {
        Self { choices }
    }
}

impl Balance for LeastRequest {
    fn pick(&self, targets: &Targets) -> usize {
        let first = fastrand::usize(..targets.len().max(1));
        (1..self.choices).fold(first, |best, _| {
            // the draw leaves the best so far out, so that two choices are two endpoints
            let drawn = (best + 1 + fastrand::usize(..targets.len().saturating_sub(1).max(1))) % targets.len().max(1);
            if is_lighter(targets, drawn, best) { drawn } else { best }
        })
    }
}

fn is_lighter(targets: &Targets, a: usize, b: usize) -> bool {
    let (Some(a), Some(b)) = (targets.get(a), targets.get(b)) else { return false };
    let load = |target: &super::Target| u64::from(target.endpoint.active.load(Relaxed)) + 1;
    load(a) * u64::from(b.weight) < load(b) * u64::from(a.weight)
}
