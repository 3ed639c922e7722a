use std::time::Duration;

/// How long to wait between attempts: doubling from `first` to `most`, each shortened at random by up to a half, so
/// that many clients of one server do not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    attempts: u32,
}

impl Backoff {
    /// Creates a policy that waits `first` at most before the first new attempt, and `most` at most before any.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, attempts: 0 }
    }

    /// Returns the wait before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let doubled = 2u32.saturating_pow(self.attempts);
        self.attempts = self.attempts.saturating_add(1);
        let most = self.first.saturating_mul(doubled).min(self.most);
        most.mul_f64(1.0 - fastrand::f64() / 2.0)
    }

    /// Starts over: the last attempt went well.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

impl Default for Backoff {
    /// From half a second to half a minute, as Envoy waits.
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for most in [100, 200, 400, 800, 1000, 1000] {
            let most = Duration::from_millis(most);
            let wait = backoff.next();
            assert!(wait > most / 2 && wait <= most, "{wait:?} of {most:?}");
        }
        assert!((0..100).all(|_| backoff.next() <= Duration::from_secs(1)));
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(100));
    }
}
