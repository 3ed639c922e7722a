//! A bucket of tokens without a timer: what has been filled since is computed when a token is asked for.

use std::{sync::Mutex, time::Instant};

use crate::{config::TokenBucket, sync::lock};

/// Holds tokens; full when the first one is asked for.
#[derive(Debug)]
pub struct Bucket {
    config: TokenBucket,
    state: Mutex<Option<State>>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    tokens: u32,
    /// When the fills begin to be counted.
    start: Instant,
    /// Fills that `tokens` includes.
    fills: u128,
}

impl Bucket {
    /// Makes a full bucket.
    pub fn new(config: TokenBucket) -> Self {
        Self { config, state: Mutex::new(None) }
    }

    /// Takes a token, if there is one; `a `now` before an earlier one counts as that.
    pub fn take(&self, now: Instant) -> bool {
        let TokenBucket { max_tokens, tokens_per_fill, fill_interval, .. } = self.config;
        let mut state = lock(&self.state);
        let state = state.get_or_insert(State { tokens: max_tokens, start: now, fills: 0 });
        let fills = now.saturating_duration_since(state.start).as_nanos() / fill_interval.as_nanos().max(1);
        let added = u128::from(tokens_per_fill).saturating_mul(fills.saturating_sub(state.fills));
        let tokens = u128::from(state.tokens).saturating_add(added).min(u128::from(max_tokens));
        state.tokens = u32::try_from(tokens).unwrap_or(max_tokens);
        state.fills = state.fills.max(fills);
        match state.tokens.checked_sub(1) {
            Some(left) => state.tokens = left,
            None => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_empties_it_and_a_long_rest_fills_it_no_further_than_full() {
        let bucket = Bucket::new(TokenBucket::new(3, 2, Duration::from_millis(100)));
        let start = Instant::now();
        let at = |ms| bucket.take(start + Duration::from_millis(ms));
        assert_eq!([at(5), at(5), at(5), at(104)], [true, true, true, false]);
        assert_eq!([at(105), at(105), at(105)], [true, true, false]);
        assert_eq!([at(1_000_000), at(1_000_000), at(1_000_000), at(1_000_000)], [true, true, true, false]);
    }

    /// Counts on an integer clock of microseconds, tick by tick.
    struct Naive {
        tokens: u64,
        ticks: u64,
        started: bool,
    }

    impl Naive {
        fn take(&mut self, config: &TokenBucket, passed: u64) -> bool {
            let interval = u64::try_from(config.fill_interval.as_micros()).expect("short");
            for _ in 0..(if self.started { passed } else { 0 }) {
                self.ticks += 1;
                if self.ticks.is_multiple_of(interval) {
                    self.tokens = (self.tokens + u64::from(config.tokens_per_fill)).min(config.max_tokens.into());
                }
            }
            self.started = true;
            let some = self.tokens > 0;
            self.tokens -= u64::from(some);
            some
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_timer_that_never_sleeps(
            max in 1u32..6, fill in 1u32..6, interval in 1u64..20,
            steps in prop::collection::vec(0u64..30, 1..80),
        ) {
            let config = TokenBucket::new(max, fill, Duration::from_micros(interval));
            let bucket = Bucket::new(config);
            let mut naive = Naive { tokens: max.into(), ticks: 0, started: false };
            let mut now = Instant::now();
            for passed in steps {
                now += Duration::from_micros(passed);
                prop_assert_eq!(bucket.take(now), naive.take(&config, passed));
            }
        }
    }
}
