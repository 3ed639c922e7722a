//! Which failures are tried again, and how often that may happen.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    config::{HedgePolicy, RetryBudget, RetryOn, RetryPolicy},
    sync::lock,
};

/// Decides about further tries of the messages of one route.
#[derive(Debug)]
pub struct Retries {
    policy: RetryPolicy,
    hedge: HedgePolicy,
    budget: Budget,
}

/// A failure of one try, as far as it matters for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No connection could be made.
    ConnectFailure,
    /// The connection ended before the answer.
    Reset,
    /// The server did not take the request, and said so with this status.
    Refused(u32),
    /// A limit of a proxy before the server kept the request out, and it said so with this status.
    OverLimit(u32),
    /// The try took too long.
    Timeout,
    /// The answer carries this status.
    Status(u32),
}

impl Failure {
    /// Tells whether the request was certainly not executed.
    pub const fn is_unexecuted(self) -> bool {
        matches!(self, Self::ConnectFailure | Self::Refused(_) | Self::OverLimit(_))
    }

    fn is(self, on: RetryOn) -> bool {
        match (self, on) {
            (Self::ConnectFailure, RetryOn::ConnectFailure)
            | (Self::Reset, RetryOn::Reset)
            | (Self::Refused(_), RetryOn::Refused)
            | (Self::OverLimit(_), RetryOn::OverLimit)
            | (Self::Timeout, RetryOn::Timeout) => true,
            (Self::Refused(status) | Self::OverLimit(status) | Self::Status(status), RetryOn::Status(listed)) => {
                status == listed
            }
            _ => false,
        }
    }
}

impl Retries {
    /// Makes the decisions of a policy that has been checked; goes on with the budget of `previous` if that is the
    /// same.
    pub(crate) fn build_after(
        policy: &RetryPolicy,
        hedge: Option<HedgePolicy>,
        previous: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let hedge = hedge.unwrap_or_default();
        if let Some(previous) = previous.filter(|previous| previous.policy == *policy && previous.hedge == hedge) {
            return Arc::clone(previous);
        }
        Arc::new(Self { policy: policy.clone(), hedge, budget: Budget::new(policy.budget) })
    }

    /// Returns the policy.
    pub fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    /// Tells whether a try that takes too long goes on while the next one begins.
    pub fn hedges(&self) -> bool {
        self.hedge.on_per_try_timeout && self.policy.repeatable
    }

    /// Returns what is known of how many further tries there are.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Tells whether a failure is one that may be tried again at all.
    pub fn covers(&self, failure: Failure) -> bool {
        (failure.is_unexecuted() || self.policy.repeatable) && self.policy.on.iter().any(|on| failure.is(*on))
    }

    /// Returns how long to wait before the try of this number, 1 for the first further one: anything up to a bound that
    /// doubles each time; `draw` is a uniformly random number.
    pub fn back_off(&self, number: u32, draw: u64) -> Duration {
        let doubled = self.policy.back_off.base.saturating_mul(1 << number.saturating_sub(1).min(31));
        let bound = doubled.min(self.policy.back_off.max);
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(draw % nanos.saturating_add(1).max(1))
    }
}

/// Counts requests and further tries of the last ten seconds, in slots of one second.
#[derive(Debug)]
pub struct Budget {
    config: RetryBudget,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    start: Option<Instant>,
    /// The second that the newest slot counts.
    second: u64,
    slots: [Slot; SECONDS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u32,
    retries: u32,
}

impl Budget {
    /// Makes a budget that nothing was taken from.
    pub fn new(config: RetryBudget) -> Self {
        Self { config, window: Mutex::default() }
    }

    /// Counts a request, whose first try is not taken from the budget.
    pub fn request(&self, now: Instant) {
        let mut window = self.window(now);
        let slot = window.slot();
        slot.requests = slot.requests.saturating_add(1);
    }

    /// Takes a further try from the budget, unless that is used up.
    #[must_use]
    pub fn withdraw(&self, now: Instant) -> bool {
        let mut window = self.window(now);
        let sum = |count: fn(&Slot) -> u32| window.slots.iter().map(count).map(u64::from).sum::<u64>();
        let (requests, retries) = (sum(|slot| slot.requests), sum(|slot| slot.retries));
        let fraction = self.config.fraction;
        let share = requests * u64::from(fraction.numerator) / u64::from(fraction.denominator.value());
        if retries >= share && window.slot().retries >= self.config.min_per_second {
            return false;
        }
        window.slot().retries += 1;
        true
    }

    fn window(&self, now: Instant) -> std::sync::MutexGuard<'_, Window> {
        let mut window = lock(&self.window);
        window.advance(now);
        window
    }
}

impl Window {
    fn advance(&mut self, now: Instant) {
        let start = *self.start.get_or_insert(now);
        let second = now.saturating_duration_since(start).as_secs();
        let passed = second.saturating_sub(self.second).min(SECONDS as u64);
        for _ in 0..passed {
            self.second += 1;
            *self.slot() = Slot::default();
        }
        self.second = self.second.max(second);
    }

    fn slot(&mut self) -> &mut Slot {
        // the remainder is less than the length
        &mut self.slots[(self.second % SECONDS as u64) as usize]
    }
}

/// How long requests and further tries count.
const SECONDS: usize = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::FractionalPercent;

    fn retries(policy: RetryPolicy) -> Arc<Retries> {
        Retries::build_after(&policy, None, None)
    }

    #[test]
    fn what_may_have_been_executed_is_tried_again_only_where_that_does_no_harm() {
        let all = [RetryOn::ConnectFailure, RetryOn::Reset, RetryOn::Refused, RetryOn::Timeout, RetryOn::Status(70)];
        let failures =
            [Failure::ConnectFailure, Failure::Reset, Failure::Refused(100), Failure::Timeout, Failure::Status(70)];
        let covered = |repeatable| {
            let retries = retries(RetryPolicy::new(1).with_on(all).with_repeatable(repeatable));
            failures.map(|failure| retries.covers(failure))
        };
        assert_eq!(covered(false), [true, false, true, false, false]);
        assert_eq!(covered(true), [true; 5]);
        let only = retries(RetryPolicy::new(1).with_on([RetryOn::Status(60)]).with_repeatable(true));
        assert!(!only.covers(Failure::Status(70)) && !only.covers(Failure::Reset));
    }

    #[test]
    fn limits_are_kept_to_unless_they_are_named() {
        let covered = |on: &[RetryOn]| {
            let retries = retries(RetryPolicy::new(1).with_on(on.iter().copied()));
            [Failure::Refused(100), Failure::OverLimit(100)].map(|failure| retries.covers(failure))
        };
        assert_eq!(covered(&RetryPolicy::new(1).on), [true, false], "by default");
        assert_eq!(covered(&[RetryOn::Refused]), [true, false]);
        assert_eq!(covered(&[RetryOn::OverLimit]), [false, true]);
        assert_eq!(covered(&[RetryOn::Status(100)]), [true, true], "whoever names the status means both");
    }

    #[test]
    fn the_wait_is_drawn_below_a_bound_that_doubles() {
        let (base, max) = (Duration::from_millis(10), Duration::from_millis(35));
        let retries = retries(RetryPolicy::new(5).with_back_off(base, max));
        let longest = |number| (0..40_000_000).step_by(999_983).map(|draw| retries.back_off(number, draw)).max();
        assert!((1..=5).all(|number| retries.back_off(number, 0) == Duration::ZERO));
        let bounds = [1, 2, 3, 4, 40].map(|number| longest(number).map_or(0, |longest| longest.as_millis()));
        assert!(
            bounds[0] <= 10 && bounds[1] > 10 && bounds[2..].iter().all(|bound| (20..=35).contains(bound)),
            "{bounds:?}"
        );
    }

    proptest! {
        #[test]
        fn the_budget_agrees_with_a_list_of_everything(
            percent in 0u32..=100, least in 0u32..3,
            steps in prop::collection::vec((0u64..1500, any::<bool>()), 1..120),
        ) {
            let budget = Budget::new(RetryBudget::new(FractionalPercent::percent(percent), least));
            let start = Instant::now();
            let (mut requests, mut granted) = (Vec::new(), Vec::<u64>::new());
            let mut ms = 0;
            for (number, (passed, is_retry)) in steps.into_iter().enumerate() {
                // the first event begins the first second
                ms += if number == 0 { 0 } else { passed };
                let (now, second) = (start + Duration::from_millis(ms), ms / 1000);
                let recent = |seconds: &[u64]| seconds.iter().filter(|s| **s + 10 > second).count() as u64;
                if is_retry {
                    let within_share = recent(&granted) < recent(&requests) * u64::from(percent) / 100;
                    let this_second = granted.iter().filter(|s| **s == second).count() as u32;
                    let expected = within_share || this_second < least;
                    prop_assert_eq!(budget.withdraw(now), expected);
                    granted.extend(expected.then_some(second));
                } else {
                    budget.request(now);
                    requests.push(second);
                }
            }
        }
    }
}
