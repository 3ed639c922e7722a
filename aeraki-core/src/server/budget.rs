//! How many bytes connections may hold together.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use crate::sync::lock;

/// Bounds the bytes that many connections hold together; over it they are not read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: u64,
    used: AtomicU64,
    waiting: Mutex<Vec<Waker>>,
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
        Charge { budget: self.clone(), held: 0 }
    }

    fn is_over(&self) -> bool {
        self.used() > self.0.limit
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
                lock(&shared.waiting).drain(..).for_each(Waker::wake);
            }
        }
        self.held = held;
    }

    /// Is ready when the budget has room; else the task is woken once it has.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.budget.is_over() {
            return Poll::Ready(());
        }
        let mut waiting = lock(&self.budget.0.waiting);
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        drop(waiting);
        // room may have been made before the waker was there
        if self.budget.is_over() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Tells whether the budget has no room.
    pub(super) fn is_over(&self) -> bool {
        self.budget.is_over()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
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
}
