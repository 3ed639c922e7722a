//! At random, in proportion to weights.

use super::{Balance, Draw, Targets};

#[derive(Debug)]
pub(super) struct Random;

impl Balance for Random {
    fn pick(&self, targets: &Targets, _: Draw) -> usize {
        targets.draw()
    }
}
