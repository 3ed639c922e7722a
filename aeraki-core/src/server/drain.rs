//! Telling listeners and connections that it is time to go.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use aeraki_route::config::TrafficDirection;
use slab::Slab;
use tokio::time::timeout;

use crate::sync::lock;

/// Tells everything that serves when to finish; cheap to clone, shared by all workers.
#[derive(Clone, Debug, Default)]
pub struct Drain(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    phase: AtomicU8,
    waiting: Mutex<Slab<Waker>>,
    /// Parts of what serves that may end before the whole.
    parts: Mutex<Vec<Weak<Self>>>,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// Serving as usual.
    Serving,
    /// No new connections; those that are open say goodbye and finish what they have begun.
    Draining,
    /// Time is up: everything ends now.
    Closing,
}

impl Drain {
    /// Makes a drain that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the drain of a part: it goes as far as the whole, and may be ahead of it.
    #[must_use]
    pub fn part(&self) -> Self {
        let part = Self::new();
        let mut parts = lock(&self.0.parts);
        parts.retain(|part| part.strong_count() > 0);
        parts.push(Arc::downgrade(&part.0));
        // under the lock, so that no phase is missed
        part.0.reach(self.0.phase.load(Ordering::Acquire));
        drop(parts);
        part
    }

    /// Asks everybody to finish; without effect when they were asked before.
    pub fn begin(&self) {
        self.0.reach(DRAINING);
    }

    /// Ends what has not finished yet.
    pub fn close(&self) {
        self.0.reach(CLOSING);
    }

    /// Returns how far the end has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.0.phase.load(Ordering::Acquire) {
            SERVING => Phase::Serving,
            DRAINING => Phase::Draining,
            _ => Phase::Closing,
        }
    }

    /// Waits until at least `phase` is reached.
    pub async fn reached(&self, phase: Phase) {
        let mut watch = self.watch();
        poll_fn(|cx| if watch.poll(cx) >= phase { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Waits until whoever has not asked for anything yet is to be left: a moment after the drain has begun.
    pub(crate) async fn leaves_silent(&self) {
        self.reached(Phase::Draining).await;
        let _ = timeout(MOMENT, self.reached(Phase::Closing)).await;
    }

    /// Begins to watch for changes of the phase.
    #[must_use]
    pub fn watch(&self) -> DrainWatch {
        DrainWatch { drain: self.clone(), registered: None }
    }
}

impl Shared {
    fn reach(&self, phase: u8) {
        if self.phase.fetch_max(phase, Ordering::AcqRel) < phase {
            lock(&self.waiting).iter().for_each(|(_, waker)| waker.wake_by_ref());
            lock(&self.parts).iter().filter_map(Weak::upgrade).for_each(|part| part.reach(phase));
        }
    }
}

/// The drains of the listeners of a proxy, which may begin before that of the process; cheap to clone.
#[derive(Clone, Debug)]
pub struct ListenerDrains {
    all: Drain,
    inbound: Drain,
}

impl ListenerDrains {
    /// Makes the drains of listeners that serve no longer than `process`.
    #[must_use]
    pub fn of(process: &Drain) -> Self {
        let all = process.part();
        Self { inbound: all.part(), all }
    }

    /// Returns the drain of all listeners whose traffic runs that way.
    #[must_use]
    pub fn of_direction(&self, direction: TrafficDirection) -> &Drain {
        if direction == TrafficDirection::Inbound { &self.inbound } else { &self.all }
    }

    /// Asks all listeners to finish, or only those of inbound traffic.
    pub fn begin(&self, inbound_only: bool) {
        if inbound_only { self.inbound.begin() } else { self.all.begin() }
    }

    /// Returns how far the end of those has come that are nearest to it.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.inbound.phase()
    }
}

/// Wakes one task when the phase of a [`Drain`] changes.
#[derive(Debug)]
pub struct DrainWatch {
    drain: Drain,
    registered: Option<(usize, Waker)>,
}

impl DrainWatch {
    /// Returns the present phase; the task is woken when it changes.
    pub fn poll(&mut self, cx: &Context<'_>) -> Phase {
        if !self.registered.as_ref().is_some_and(|(_, waker)| waker.will_wake(cx.waker())) {
            self.forget();
            let key = lock(&self.drain.0.waiting).insert(cx.waker().clone());
            self.registered = Some((key, cx.waker().clone()));
        }
        self.drain.phase()
    }

    fn forget(&mut self) {
        if let Some((key, _)) = self.registered.take() {
            lock(&self.drain.0.waiting).remove(key);
        }
    }
}

impl Drop for DrainWatch {
    fn drop(&mut self) {
        self.forget();
    }
}

/// How long a client that has just connected has to come so far that it is served, while draining.
const MOMENT: Duration = Duration::from_secs(1);
const SERVING: u8 = 0;
const DRAINING: u8 = 1;
const CLOSING: u8 = 2;

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    #[test]
    fn wakes_who_waits_for_the_phase() {
        let drain = Drain::new();
        let mut draining = task::spawn(drain.reached(Phase::Draining));
        let mut closing = task::spawn(drain.reached(Phase::Closing));
        assert_pending!(draining.poll());
        assert_pending!(closing.poll());
        drain.begin();
        assert!(draining.is_woken());
        assert_ready!(draining.poll());
        assert_pending!(closing.poll());
        drain.close();
        assert_ready!(closing.poll());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_is_left_after_a_moment_or_at_the_end() {
        let drain = Drain::new();
        let mut leaves = task::spawn(drain.leaves_silent());
        assert_pending!(leaves.poll());
        drain.begin();
        assert_pending!(leaves.poll());
        tokio::time::advance(MOMENT).await;
        assert_ready!(leaves.poll());
        let mut leaves = task::spawn(drain.leaves_silent());
        assert_pending!(leaves.poll());
        drain.close();
        assert_ready!(leaves.poll());
    }

    #[test]
    fn a_part_ends_with_the_whole_and_by_itself() {
        let whole = Drain::new();
        let (first, second) = (whole.part(), whole.part());
        let mut draining = task::spawn(second.reached(Phase::Draining));
        assert_pending!(draining.poll());
        first.close();
        assert_eq!((whole.phase(), second.phase()), (Phase::Serving, Phase::Serving));
        whole.begin();
        assert!(draining.is_woken());
        assert_eq!((first.phase(), second.phase()), (Phase::Closing, Phase::Draining));
        assert_eq!(whole.part().phase(), Phase::Draining);
        drop(draining);
        drop((first, second));
        let _part = whole.part();
        assert_eq!(lock(&whole.0.parts).len(), 1);
    }

    #[test]
    fn never_goes_back_and_forgets_who_is_gone() {
        let drain = Drain::new();
        drain.close();
        drain.begin();
        assert_eq!(drain.phase(), Phase::Closing);
        assert_ready!(task::spawn(drain.reached(Phase::Draining)).poll());
        assert!(lock(&drain.0.waiting).is_empty());
    }
}
