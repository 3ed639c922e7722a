//! How many bytes connections may hold together.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use slab::Slab;

use crate::sync::lock;

/// Bounds the bytes that many connections hold together; over it those are not read that hold more than a small share
/// of it, so that the others do not have to wait for them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: u64,
    used: AtomicU64,
    /// Connections that wait for room; they take themselves out.
    waiting: Mutex<Slab<Waker>>,
}

impl Budget {
    /// Makes a budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Shared { limit, used: AtomicU64::new(0), waiting: Mutex::default() }))
    }

    /// Returns the number of bytes that are held.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    pub(super) fn charge(&self) -> Charge {
        Charge { budget: self.clone(), held: 0, place: None }
    }

    fn is_over(&self) -> bool {
        self.used() > self.0.limit
    }

    /// Returns what a connection may hold whatever the others do, in bytes.
    fn share(&self) -> u64 {
        self.0.limit / SHARES
    }
}

impl Default for Budget {
    /// A budget of 256 MiB.
    fn default() -> Self {
        Self::new(256 << 20)
    }
}

/// What one connection holds of a budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Budget,
    held: u64,
    /// Where it waits for room.
    place: Option<usize>,
}

impl Charge {
    /// Changes what is held to `held` bytes.
    pub(super) fn set(&mut self, held: usize) {
        let held = held as u64;
        let shared = &*self.budget.0;
        if held > self.held {
            shared.used.fetch_add(held - self.held, Ordering::Relaxed);
        } else if held < self.held {
            let before = shared.used.fetch_sub(self.held - held, Ordering::AcqRel);
            if before > shared.limit && !self.budget.is_over() {
                lock(&shared.waiting).iter().for_each(|(_, waker)| waker.wake_by_ref());
            }
        }
        self.held = held;
    }

    /// Is ready when the budget has room, or hardly anything is held; else the task is woken once it has.
    #[inline]
    pub(super) fn poll_room(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.poll_room_beyond(self.budget.share(), cx)
    }

    /// Is ready when the budget has room, or no more than `little` is held; else the task is woken once it has.
    #[inline]
    pub(super) fn poll_room_beyond(&mut self, little: u64, cx: &Context<'_>) -> Poll<()> {
        if self.is_over() && self.held > little {
            self.wait(cx.waker());
            // room may have been made before the waker was there
            if self.is_over() {
                return Poll::Pending;
            }
        }
        if self.place.is_some() {
            self.stop_waiting();
        }
        Poll::Ready(())
    }

    fn wait(&mut self, waker: &Waker) {
        let mut waiting = lock(&self.budget.0.waiting);
        match self.place.and_then(|place| waiting.get_mut(place)) {
            Some(known) => known.clone_from(waker),
            None => self.place = Some(waiting.insert(waker.clone())),
        }
    }

    fn stop_waiting(&mut self) {
        if let Some(place) = self.place.take() {
            lock(&self.budget.0.waiting).try_remove(place);
        }
    }

    /// Tells whether the budget has no room.
    pub(super) fn is_over(&self) -> bool {
        self.budget.is_over()
    }

    /// Tells whether twice as much is held as may be.
    pub(super) fn is_far_over(&self) -> bool {
        self.budget.used() / 2 > self.budget.0.limit
    }
}

/// Connections that have their share of a budget without regard to the others, when each holds that much.
const SHARES: u64 = 4096;

impl Drop for Charge {
    fn drop(&mut self) {
        self.stop_waiting();
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    #[test]
    fn pauses_over_the_limit_and_wakes_under_it() {
        let budget = Budget::new(100);
        let (mut large, mut small) = (budget.charge(), budget.charge());
        large.set(90);
        small.set(20);
        let mut waiting = task::spawn(std::future::poll_fn(|cx| small.poll_room(cx)));
        assert_pending!(waiting.poll());
        large.set(80);
        assert!(waiting.is_woken());
        assert_ready!(waiting.poll());
        drop(waiting);
        drop((large, small));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn has_room_for_those_that_hold_little_whatever_others_hold() {
        let budget = Budget::new(SHARES * 10);
        let (mut large, mut small) = (budget.charge(), budget.charge());
        large.set(1_000_000);
        for (held, room) in [(0, true), (10, true), (11, false), (10, true)] {
            small.set(held);
            let polled = task::spawn(std::future::poll_fn(|cx| small.poll_room(cx))).poll();
            assert_eq!(polled.is_ready(), room, "{held}");
        }
    }

    #[test]
    fn keeps_nothing_of_connections_that_end_while_they_wait() {
        let budget = Budget::new(100);
        let mut stuck = budget.charge();
        stuck.set(101);
        for _ in 0..10 {
            let mut charge = budget.charge();
            charge.set(1);
            assert_pending!(task::spawn(std::future::poll_fn(|cx| charge.poll_room(cx))).poll());
        }
        assert!(lock(&budget.0.waiting).is_empty());
    }
}
