//! One timer for a connection's whole life.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Tells when a moment has passed that keeps moving on; the timer itself is set anew only when it fires or is too late.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Tells whether `at` has passed; else the task is woken then, or earlier.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> bool {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at {
            // a timer that is set to what has passed wakes the task, which would set it again, and so on
            if Instant::now() >= at {
                return true;
            }
            sleep.as_mut().reset(at);
        }
        while let Poll::Ready(()) = sleep.as_mut().poll(cx) {
            if Instant::now() >= at {
                return true;
            }
            sleep.as_mut().reset(at);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_test::task;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_moment_that_has_passed_does_not_wake_whoever_asks_for_a_later_one_too() {
        let mut alarm = task::spawn(Alarm::default());
        let early = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..3 {
            let later = early + Duration::from_secs(5);
            let passed = alarm.enter(|cx, mut alarm| (alarm.poll(cx, early), alarm.poll(cx, later)));
            assert_eq!((passed, alarm.is_woken()), ((true, false), false));
        }
        tokio::time::advance(Duration::from_secs(5)).await;
        tokio::task::yield_now().await;
        assert!(alarm.is_woken());
    }
}
