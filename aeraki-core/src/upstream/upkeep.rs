//! When a connection is due for a sign of life, or for its end.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// Counts the time in which nothing happened on one connection, in periods of a coarse clock.
#[derive(Debug)]
pub(super) struct Upkeep {
    ping_after: Option<Duration>,
    idle_after: Option<Duration>,
    retire_after: Option<Duration>,
    silent: Duration,
    idle: Duration,
    age: Duration,
    pings: u32,
}

/// What happened in a period.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Activity {
    /// Bytes came in.
    pub(super) heard: bool,
    /// Requests were written or are in flight.
    pub(super) used: bool,
}

/// What is due after a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// A sign of life: the peer was silent.
    Ping,
    /// Goodbye: nobody used the connection for long.
    Idle,
    /// Goodbye: the connection has served for as long as it may.
    Expired,
    /// The end: the peer did not answer [`PINGS`] signs of life.
    Close,
}

impl Upkeep {
    pub(super) const fn new(ping_after: Option<Duration>, idle_after: Option<Duration>) -> Self {
        let zero = Duration::ZERO;
        Self { ping_after, idle_after, retire_after: None, silent: zero, idle: zero, age: zero, pings: 0 }
    }

    /// Sets how long the connection may serve.
    pub(super) const fn with_retire_after(mut self, after: Option<Duration>) -> Self {
        self.retire_after = after;
        self
    }

    /// Returns the length of a period; none where nothing is ever due. What is due comes at most one period late.
    pub(super) fn period(&self) -> Option<Duration> {
        let quarter = |time: Duration| time / 4;
        [self.ping_after, self.idle_after.map(quarter), self.retire_after.map(quarter)].into_iter().flatten().min()
    }

    /// Sends no signs of life any more: the protocol has none.
    pub(super) const fn stop_pings(&mut self) {
        self.ping_after = None;
    }

    /// Ends a period of `length`.
    pub(super) fn tick(&mut self, length: Duration, activity: Activity) -> Due {
        self.idle = if activity.used { Duration::ZERO } else { self.idle + length };
        if activity.heard {
            (self.silent, self.pings) = (Duration::ZERO, 0);
        } else {
            self.silent += length;
        }
        if self.idle_after.is_some_and(|after| self.idle >= after) {
            return Due::Idle;
        }
        self.age += length;
        if self.retire_after.is_some_and(|after| self.age >= after) {
            self.retire_after = None;
            return Due::Expired;
        }
        match self.ping_after {
            Some(after) if self.silent >= after * (self.pings + 1) => {
                self.pings += 1;
                if self.pings > PINGS { Due::Close } else { Due::Ping }
            }
            _ => Due::Nothing,
        }
    }
}

/// Ticks every period. Unlike an interval it costs a look while it waits, since a connection's task is polled often.
#[derive(Debug)]
pub(super) struct Clock {
    sleep: Pin<Box<Sleep>>,
    period: Duration,
    /// Whether the task is woken when the period ends.
    armed: bool,
}

impl Clock {
    pub(super) fn new(period: Duration) -> Self {
        Self { sleep: Box::pin(sleep(period)), period, armed: false }
    }

    pub(super) const fn period(&self) -> Duration {
        self.period
    }

    /// Waits for the end of the period; always from the same task.
    pub(super) fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.armed && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        self.armed = true;
        ready!(self.sleep.as_mut().poll(cx));
        self.armed = false;
        self.sleep.as_mut().reset(Instant::now() + self.period);
        Poll::Ready(())
    }
}

/// Signs of life that may go unanswered.
pub(super) const PINGS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const QUIET: Activity = Activity { heard: false, used: false };

    #[test]
    fn pings_a_silent_peer_and_closes_when_it_stays_silent() {
        let mut upkeep = Upkeep::new(Some(2 * SECOND), None);
        let dues: Vec<Due> = (0..8).map(|_| upkeep.tick(SECOND, QUIET)).collect();
        assert_eq!(
            dues,
            [Due::Nothing, Due::Ping, Due::Nothing, Due::Ping, Due::Nothing, Due::Ping, Due::Nothing, Due::Close]
        );
    }

    #[test]
    fn an_answer_starts_over() {
        let mut upkeep = Upkeep::new(Some(SECOND), None);
        for _ in 0..100 {
            assert_eq!(upkeep.tick(SECOND, QUIET), Due::Ping);
            assert_eq!(upkeep.tick(SECOND, Activity { heard: true, used: false }), Due::Nothing);
        }
    }

    #[test]
    fn retires_what_nobody_uses_though_it_answers_pings() {
        let mut upkeep = Upkeep::new(Some(SECOND), Some(4 * SECOND));
        assert_eq!(upkeep.period(), Some(SECOND));
        upkeep.tick(SECOND, Activity { heard: true, used: true });
        for _ in 0..3 {
            upkeep.tick(SECOND, Activity { heard: true, used: false });
        }
        assert_eq!(upkeep.tick(SECOND, Activity { heard: true, used: false }), Due::Idle);
    }

    #[test]
    fn what_has_served_its_time_is_retired_once_however_busy() {
        let busy = Activity { heard: true, used: true };
        let mut upkeep = Upkeep::new(None, None).with_retire_after(Some(8 * SECOND));
        assert_eq!(upkeep.period(), Some(2 * SECOND));
        let dues: Vec<Due> = (0..6).map(|_| upkeep.tick(2 * SECOND, busy)).collect();
        assert_eq!(dues, [Due::Nothing, Due::Nothing, Due::Nothing, Due::Expired, Due::Nothing, Due::Nothing]);
    }

    #[test]
    fn nothing_is_due_without_times() {
        assert_eq!(Upkeep::new(None, None).period(), None);
    }
}
