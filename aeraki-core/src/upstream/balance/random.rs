//! At random, in proportion to weights.

use super::{Balance, Targets};

#[derive(Debug)]
pub(super) struct Random;

impl Balance for Random {
    fn pick(&self, targets: &Targets) -> usize {
        targets.at(fastrand::u64(..targets.weight().max(1)))
    }
}
