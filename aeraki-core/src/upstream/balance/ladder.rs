//! Numbers in order, among which one is found in the same time however many there are.

use std::ops::Range;

/// Rising numbers with a guide: where each of as many equal stretches of numbers begins. What is looked for evenly is
/// found with one look at the guide and one or two at the numbers, while a binary search looks at a dozen places far
/// apart.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    rungs: Vec<u64>,
    /// For each stretch the place of the first number that is not before it; one more at the end.
    starts: Vec<u32>,
    /// A stretch is as long as two to the power of this.
    shift: u32,
}

impl Ladder {
    /// Makes it of numbers that never fall.
    pub(super) fn new(rungs: Vec<u64>) -> Self {
        let Some(last) = rungs.last().copied() else { return Self::default() };
        // the least length with which there are no more than about twice as many stretches as numbers
        let most = (2 * rungs.len() as u64).next_power_of_two();
        let shift = (u64::BITS - last.leading_zeros()).saturating_sub(most.trailing_zeros());
        let mut starts = Vec::with_capacity((last >> shift) as usize + 2);
        for (place, rung) in (0..).zip(&rungs) {
            let stretch = (rung >> shift) as usize;
            if starts.len() <= stretch {
                starts.resize(stretch + 1, place);
            }
        }
        starts.push(rungs.len() as u32);
        Self { rungs, starts, shift }
    }

    /// Returns the place of the first number that is `point` or more; one past the last where there is none.
    #[inline]
    pub(super) fn find(&self, point: u64) -> usize {
        let Range { start, end } = self.stretch(point);
        self.rungs.get(start..end).map_or(end, |rungs| start + rungs.partition_point(|rung| *rung < point))
    }

    /// Returns the number at a place.
    pub(super) fn get(&self, place: usize) -> Option<u64> {
        self.rungs.get(place).copied()
    }

    /// Returns among which places the first number that is `point` or more is, or the end of which it is.
    fn stretch(&self, point: u64) -> Range<usize> {
        let stretch = (point >> self.shift) as usize;
        let start = |stretch: usize| self.starts.get(stretch).map_or(self.rungs.len(), |start| *start as usize);
        start(stretch)..start(stretch.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn agrees(mut rungs: Vec<u64>, points: impl IntoIterator<Item = u64>) {
        rungs.sort_unstable();
        let ladder = Ladder::new(rungs.clone());
        let near = rungs.iter().flat_map(|rung| [rung.saturating_sub(1), *rung, rung.saturating_add(1)]);
        for point in points.into_iter().chain(near) {
            assert_eq!(ladder.find(point), rungs.partition_point(|rung| *rung < point), "{point} in {rungs:?}");
        }
        assert!(ladder.starts.len() <= 4 * rungs.len() + 2, "{} starts for {}", ladder.starts.len(), rungs.len());
    }

    #[test]
    fn ends_and_equals_are_found_as_by_a_search() {
        let points = [0, 1, 2, 1 << 32, u64::MAX];
        for rungs in
            [vec![], vec![0], vec![0, 0], vec![1, 1, 1], vec![u64::MAX], vec![0, u64::MAX], vec![7, 7, 1 << 40]]
        {
            agrees(rungs, points);
        }
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_search_finds(
            wide in vec(any::<u64>(), 0..100), narrow in vec(0_u64..50, 0..100), points in vec(any::<u64>(), 20),
        ) {
            let few = points.iter().map(|point| point % 60);
            agrees(narrow, few.clone());
            agrees(wide, points.iter().copied().chain(few));
        }
    }
}
