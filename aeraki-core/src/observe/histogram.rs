//! Durations sorted into buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Sorts durations into buckets of milliseconds, with the bounds that Envoy uses.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Adds one duration.
    pub fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BOUNDS_US.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
    }

    /// Returns the present numbers.
    #[must_use]
    pub fn get(&self) -> Distribution {
        Distribution {
            counts: std::array::from_fn(|bucket| self.buckets[bucket].load(Relaxed)),
            sum_us: self.sum_us.load(Relaxed),
        }
    }
}

/// What a [`Histogram`] held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    counts: [u64; BOUNDS_MS.len() + 1],
    sum_us: u64,
}

impl Distribution {
    /// Returns how many durations there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of all durations in milliseconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a sum of microseconds beyond 285 years")]
    pub fn sum_ms(&self) -> f64 {
        self.sum_us as f64 / 1000.0
    }

    /// Returns the upper bound in milliseconds and the count of each bucket; the last one has no bound (`f64::MAX`).
    #[must_use]
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        BOUNDS_MS.into_iter().chain([f64::MAX]).zip(self.counts).collect()
    }

    /// Returns the upper bound in milliseconds of the bucket in which the given share of all durations is reached.
    #[must_use]
    pub fn quantile_ms(&self, percent: u64) -> f64 {
        let wanted = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let reached = self.buckets().into_iter().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        reached.map_or(0.0, |(bound, _)| bound)
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.sum_us += other.sum_us;
    }
}

const BOUNDS_MS: [f64; 19] =
    [0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 1.8e6, 3.6e6];
/// The same in microseconds.
const BOUNDS_US: [u64; BOUNDS_MS.len()] = bounds_us();

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the bounds are small and positive")]
const fn bounds_us() -> [u64; BOUNDS_MS.len()] {
    let mut bounds = [0; BOUNDS_MS.len()];
    let mut place = 0;
    while place < bounds.len() {
        bounds[place] = (BOUNDS_MS[place] * 1000.0) as u64;
        place += 1;
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_into_buckets() {
        let histogram = Histogram::default();
        for ms in [0, 1, 3, 7, 10_000_000] {
            histogram.observe(Duration::from_millis(ms));
        }
        let seen = histogram.get();
        assert_eq!(seen.count(), 5);
        let filled: Vec<_> = seen.buckets().into_iter().filter(|(_, count)| *count > 0).map(|(le, _)| le).collect();
        assert_eq!(filled, [0.5, 1.0, 5.0, 10.0, f64::MAX]);
        assert!((seen.sum_ms() - 10_000_011.0).abs() < 0.001);
    }

    #[test]
    fn quantiles_are_upper_bounds() {
        let histogram = Histogram::default();
        assert!(histogram.get().quantile_ms(99).abs() < f64::EPSILON);
        (0..99).for_each(|_| histogram.observe(Duration::from_millis(4)));
        histogram.observe(Duration::from_millis(90));
        assert!((histogram.get().quantile_ms(99) - 5.0).abs() < f64::EPSILON);
        assert!((histogram.get().quantile_ms(100) - 100.0).abs() < f64::EPSILON);
    }
}
