//! How long an endpoint took to answer of late.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

/// A moving average of the time to an answer: a longer one counts at once, a shorter one the more the older the average
/// is, and without any it falls, so that an endpoint which was slow is tried again.
///
/// Two that note at once may lose one of the two: nobody would see the difference.
#[derive(Debug)]
pub(super) struct Latency {
    made: Instant,
    /// Seconds, as the bits of an `f64`; 0: there was no answer yet.
    seconds: AtomicU64,
    /// When that was noted, in nanoseconds since `made`.
    noted: AtomicU64,
}

impl Latency {
    pub(super) fn new() -> Self {
        Self { made: Instant::now(), seconds: AtomicU64::new(0), noted: AtomicU64::new(0) }
    }

    /// Returns the average in seconds; 0: there was no answer yet.
    pub(super) fn now(&self, decay: Duration) -> f64 {
        match f64::from_bits(self.seconds.load(Relaxed)) {
            // the clock need not be asked
            0.0 => 0.0,
            seconds => seconds * self.remainder(decay),
        }
    }

    /// Notes the time to an answer.
    pub(super) fn note(&self, took: Duration, decay: Duration) {
        let took = took.as_secs_f64();
        let known = f64::from_bits(self.seconds.load(Relaxed));
        let remainder = self.remainder(decay);
        let average = if took > known * remainder { took } else { known * remainder + took * (1.0 - remainder) };
        self.seconds.store(average.to_bits(), Relaxed);
        self.noted.store(self.age(), Relaxed);
    }

    /// Returns which part of what was noted is left.
    fn remainder(&self, decay: Duration) -> f64 {
        let since = Duration::from_nanos(self.age().saturating_sub(self.noted.load(Relaxed)));
        (-since.as_secs_f64() / decay.as_secs_f64()).exp()
    }

    fn age(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const DECAY: Duration = Duration::from_secs(10);

    fn assert_near(latency: &Latency, expected: f64) {
        let now = latency.now(DECAY);
        assert!((now - expected).abs() < 1e-6, "{now} is not {expected}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peak_counts_at_once_and_falls_by_e_in_the_time_of_decay() {
        let latency = Latency::new();
        assert_near(&latency, 0.0);
        latency.note(SECOND, DECAY);
        latency.note(4 * SECOND, DECAY);
        assert_near(&latency, 4.0);
        tokio::time::advance(DECAY).await;
        assert_near(&latency, 4.0 * (-1.0_f64).exp());
    }

    #[tokio::test(start_paused = true)]
    async fn shorter_answers_lower_it_the_more_the_older_it_is() {
        let latency = Latency::new();
        latency.note(4 * SECOND, DECAY);
        latency.note(SECOND, DECAY);
        assert_near(&latency, 4.0);
        tokio::time::advance(DECAY).await;
        latency.note(SECOND, DECAY);
        let left = (-1.0_f64).exp();
        assert_near(&latency, 4.0 * left + (1.0 - left));
    }
}
