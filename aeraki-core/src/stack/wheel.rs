//! Coarse deadlines for many requests on one timer.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use slab::Slab;
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use crate::sync::lock;

/// The deadlines of one worker: as many as there are requests, kept by one timer with a resolution of 10 ms.
///
/// A deadline is never early and at most one tick late. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Wheel(Arc<Turning>);

/// A wheel and its task.
#[derive(Debug)]
struct Turning {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    slots: Mutex<Slots>,
    /// Told when a deadline comes in that is earlier than all others.
    sooner: Notify,
}

#[derive(Debug)]
struct Slots {
    /// The last tick whose deadlines have been told.
    now: u64,
    /// The tick that the task sleeps for.
    next: Option<u64>,
    /// Deadlines by their tick modulo the number of slots, as doubly linked lists through `entries`.
    first: Box<[Option<usize>]>,
    entries: Slab<Entry>,
}

#[derive(Debug)]
struct Entry {
    tick: u64,
    waker: Option<Waker>,
    fired: bool,
    before: Option<usize>,
    next: Option<usize>,
}

impl Wheel {
    /// Makes a wheel and the task that turns it, which ends when the last handle is gone. To be called within a
    /// runtime.
    #[must_use]
    pub fn spawn() -> Self {
        let first = (0..SLOTS).map(|_| None).collect();
        let slots = Mutex::new(Slots { now: 0, next: None, first, entries: Slab::new() });
        let shared = Arc::new(Shared { start: Instant::now(), slots, sooner: Notify::new() });
        let task = tokio::spawn(turn(Arc::clone(&shared))).abort_handle();
        Self(Arc::new(Turning { shared, task }))
    }

    /// Makes a future that ends at `at`.
    #[must_use]
    pub fn at(&self, at: Instant) -> Moment {
        let shared = &self.0.shared;
        let since = at.saturating_duration_since(shared.start);
        let tick = u64::try_from(since.as_micros().div_ceil(u128::from(TICK_MS) * 1000)).unwrap_or(u64::MAX);
        let mut slots = lock(&shared.slots);
        let key = slots.insert(tick);
        if slots.next.is_none_or(|next| tick < next) {
            slots.next = Some(tick);
            shared.sooner.notify_one();
        }
        drop(slots);
        Moment { wheel: self.clone(), key }
    }
}

impl Drop for Turning {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends when its moment has come.
#[derive(Debug)]
pub struct Moment {
    wheel: Wheel,
    key: usize,
}

impl Future for Moment {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut slots = lock(&self.wheel.0.shared.slots);
        let entry = &mut slots.entries[self.key];
        if entry.fired {
            return Poll::Ready(());
        }
        match &mut entry.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => entry.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        lock(&self.wheel.0.shared.slots).remove(self.key);
    }
}

impl Slots {
    fn insert(&mut self, tick: u64) -> usize {
        let tick = tick.max(self.now + 1);
        let next = self.first[slot(tick)];
        let key = self.entries.insert(Entry { tick, waker: None, fired: false, before: None, next });
        if let Some(next) = next {
            self.entries[next].before = Some(key);
        }
        self.first[slot(tick)] = Some(key);
        key
    }

    fn remove(&mut self, key: usize) {
        self.unlink(key);
        self.entries.remove(key);
    }

    fn unlink(&mut self, key: usize) {
        let Entry { tick, before, next, fired, .. } = self.entries[key];
        if fired {
            return;
        }
        match before {
            Some(before) => self.entries[before].next = next,
            None => self.first[slot(tick)] = next,
        }
        if let Some(next) = next {
            self.entries[next].before = before;
        }
    }

    /// Tells the deadlines of all ticks up to `now`, and returns the next tick at which there is something to look at.
    fn advance(&mut self, now: u64) -> Option<u64> {
        let passed = now.saturating_sub(self.now).min(SLOTS);
        for tick in now - passed + 1..=now {
            let mut next = self.first[slot(tick)];
            while let Some(key) = next {
                next = self.entries[key].next;
                if self.entries[key].tick <= now {
                    self.unlink(key);
                    self.entries[key].fired = true;
                    if let Some(waker) = self.entries[key].waker.take() {
                        waker.wake();
                    }
                }
            }
        }
        self.now = now;
        self.next = (now + 1..=now + SLOTS).find(|tick| self.first[slot(*tick)].is_some());
        self.next
    }
}

/// Turns a wheel for ever.
async fn turn(wheel: Arc<Shared>) {
    loop {
        let now = Instant::now().saturating_duration_since(wheel.start).as_millis() / u128::from(TICK_MS);
        let next = lock(&wheel.slots).advance(u64::try_from(now).unwrap_or(u64::MAX));
        match next {
            None => wheel.sooner.notified().await,
            Some(next) => tokio::select! {
                () = sleep_until(wheel.start + Duration::from_millis(TICK_MS.saturating_mul(next))) => {}
                () = wheel.sooner.notified() => {}
            },
        }
    }
}

const fn slot(tick: u64) -> usize {
    (tick % SLOTS) as usize
}

/// The resolution of all deadlines in milliseconds.
const TICK_MS: u64 = 10;
/// Slots of a wheel: a turn takes 5.12 s, later deadlines are looked at once a turn.
const SLOTS: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ends_within_a_tick_of_its_moment_and_never_early() {
        let wheel = Wheel::spawn();
        let start = Instant::now();
        let waits = [0, 1, 15, 250, 5_119, 5_120, 5_121, 60_000, 3_600_000].map(|ms| {
            let at = start + Duration::from_millis(ms);
            let deadline = wheel.at(at);
            async move {
                deadline.await;
                let late = Instant::now().duration_since(at);
                assert!(Instant::now() >= at && late <= Duration::from_millis(TICK_MS + 1), "{ms} ms: {late:?}");
            }
        });
        futures_util::future::join_all(waits).await;
        assert!(lock(&wheel.0.shared.slots).entries.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sooner_deadline_wakes_the_sleeping_wheel() {
        let wheel = Wheel::spawn();
        let start = Instant::now();
        let later = wheel.at(start + Duration::from_secs(4));
        tokio::time::sleep(Duration::from_millis(100)).await;
        wheel.at(start + Duration::from_millis(300)).await;
        assert!(start.elapsed() < Duration::from_millis(320), "{:?}", start.elapsed());
        later.await;
        assert!(start.elapsed() >= Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_deadlines_leave_nothing_behind() {
        let wheel = Wheel::spawn();
        let start = Instant::now();
        let mut deadlines: Vec<_> =
            (0..100).map(|n| wheel.at(start + Duration::from_millis(n % 7 * 10 + 50))).collect();
        while !deadlines.is_empty() {
            deadlines.swap_remove(deadlines.len() / 2);
        }
        let slots = lock(&wheel.0.shared.slots);
        assert!(slots.entries.is_empty() && slots.first.iter().all(Option::is_none));
    }
}
