//! The futures of the requests of one connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use pin_project_lite::pin_project;

/// Polls the requests of one connection: the first one in place, further ones in a set of their own.
pub(super) struct Pending<F> {
    /// Its memory is made once and used by one request after the other.
    first: Pin<Box<Option<Tagged<F>>>>,
    more: FuturesUnordered<Tagged<F>>,
}

impl<F: Future> Pending<F> {
    pub(super) fn new() -> Self {
        Self { first: Box::pin(None), more: FuturesUnordered::new() }
    }

    #[inline]
    pub(super) fn push(&mut self, slot: usize, future: F) {
        let tagged = Tagged { slot, future };
        if self.first.is_none() {
            self.first.set(Some(tagged));
        } else {
            self.more.push(tagged);
        }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    /// Drops all requests that are under way.
    pub(super) fn clear(&mut self) {
        self.first.set(None);
        self.more.clear();
    }

    /// Returns the next request that has ended, by its slot.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<(usize, F::Output)> {
        if let Some(first) = self.first.as_mut().as_pin_mut()
            && let Poll::Ready(done) = first.poll(cx)
        {
            self.first.set(None);
            return Some(done);
        }
        if self.more.is_empty() {
            return None;
        }
        match self.more.poll_next_unpin(cx) {
            Poll::Ready(done) => done,
            Poll::Pending => None,
        }
    }
}

pin_project! {
    /// A future and the slot of its request.
    struct Tagged<F> {
        slot: usize,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Tagged<F> {
    type Output = (usize, F::Output);

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let tagged = self.project();
        tagged.future.poll(cx).map(|output| (*tagged.slot, output))
    }
}
