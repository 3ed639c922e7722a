//! One after the other, in proportion to weights.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Balance, Draw, SlowStart, Targets};

/// Takes turns; where weights differ, turns are points that fill the weights evenly, so that an endpoint of weight 3
/// among four comes three times in any four turns, within one, and never three times in a row.
#[derive(Debug)]
pub(super) struct RoundRobin {
    turn: AtomicU64,
    slow_start: Option<SlowStart>,
}

impl RoundRobin {
    /// Begins anywhere, lest all workers begin with the same endpoint.
    pub(super) fn new(slow_start: Option<SlowStart>) -> Self {
        Self { turn: AtomicU64::new(fastrand::u32(..).into()), slow_start }
    }

    fn next(&self, targets: &Targets) -> usize {
        let turn = self.turn.fetch_add(1, Relaxed);
        if targets.is_equal() {
            return usize::try_from(turn % targets.len().max(1) as u64).unwrap_or(0);
        }
        targets.at(turn.wrapping_mul(GOLDEN))
    }
}

impl Balance for RoundRobin {
    fn pick(&self, targets: &Targets, _: Draw) -> usize {
        match self.slow_start.as_ref().and_then(|slow_start| slow_start.under_way(targets)) {
            Some(warming) => warming.first(targets, || self.next(targets)),
            None => self.next(targets),
        }
    }
}

/// The golden ratio's part of 2^64: multiples of it spread most evenly.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
