//! Futures that are polled only when they were woken, in memory that is used again and again.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use crate::sync::lock;

/// Up to 32 futures; the sets of them are bits of a word.
pub(super) struct Group<F> {
    /// Made when first needed.
    places: Vec<Place<F>>,
    taken: u32,
    /// Those that have to be polled.
    due: u32,
    woken: Arc<Woken>,
    /// The task that is woken, as `woken` knows it.
    task: Waker,
}

/// Memory and waker of one future after the other.
struct Place<F> {
    slot: usize,
    future: Pin<Box<Option<F>>>,
    waker: Waker,
}

/// Those that were woken since the task last looked.
struct Woken {
    places: AtomicU32,
    task: Mutex<Waker>,
}

/// Wakes one place.
struct Bell {
    place: u32,
    woken: Arc<Woken>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // the first one wakes the task, which then looks for all of them
        if self.woken.places.fetch_or(self.place, Ordering::AcqRel) == 0 {
            let task = lock(&self.woken.task).clone();
            task.wake();
        }
    }
}

impl<F: Future> Group<F> {
    pub(super) fn new() -> Self {
        let task = Waker::noop().clone();
        let woken = Woken { places: AtomicU32::new(0), task: Mutex::new(task.clone()) };
        Self { places: Vec::new(), taken: 0, due: 0, woken: Arc::new(woken), task }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.taken == 0
    }

    pub(super) const fn is_full(&self) -> bool {
        self.taken == u32::MAX
    }

    /// Takes one more future, unless it is full.
    #[inline]
    pub(super) fn push(&mut self, slot: usize, future: F) {
        let index = self.taken.trailing_ones();
        let bit = 1 << index;
        match self.places.get_mut(index as usize) {
            Some(place) => {
                place.slot = slot;
                place.future.set(Some(future));
            }
            None => {
                let bell = Bell { place: bit, woken: Arc::clone(&self.woken) };
                self.places.push(Place { slot, future: Box::pin(Some(future)), waker: Arc::new(bell).into() });
            }
        }
        self.taken |= bit;
        self.due |= bit;
    }

    /// Drops a future before its end; tells whether it was here.
    pub(super) fn remove(&mut self, slot: usize) -> bool {
        let here = |(index, place): &(usize, &mut Place<F>)| self.taken & (1 << index) != 0 && place.slot == slot;
        let Some((index, place)) = self.places.iter_mut().enumerate().find(here) else { return false };
        place.future.set(None);
        self.taken &= !(1 << index);
        true
    }

    /// Returns the next one that has ended, by its slot; without any, `task` is woken when it is worth another look.
    #[inline]
    pub(super) fn poll_next(&mut self, task: &Waker) -> Option<(usize, F::Output)> {
        if !self.task.will_wake(task) {
            self.task.clone_from(task);
            lock(&self.woken.task).clone_from(task);
        }
        // whoever is woken from now on wakes the task again
        self.due |= self.woken.places.swap(0, Ordering::AcqRel);
        self.due &= self.taken;
        while self.due != 0 {
            let index = self.due.trailing_zeros();
            let bit = 1 << index;
            self.due &= !bit;
            let place = self.places.get_mut(index as usize)?;
            if let Some(output) = place.poll() {
                self.taken &= !bit;
                return Some((place.slot, output));
            }
        }
        None
    }
}

impl<F: Future> Place<F> {
    #[inline]
    fn poll(&mut self) -> Option<F::Output> {
        let future = self.future.as_mut().as_pin_mut()?;
        let Poll::Ready(output) = future.poll(&mut Context::from_waker(&self.waker)) else { return None };
        self.future.set(None);
        Some(output)
    }
}
