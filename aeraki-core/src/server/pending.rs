//! The futures of the requests of one connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::group::Group;

/// Polls the requests of one connection: the first one in place, further ones when they were woken.
pub(super) struct Pending<F> {
    /// Its memory is made once and used by one request after the other.
    first: Pin<Box<Option<F>>>,
    /// The slot of the first request.
    slot: usize,
    more: Vec<Group<F>>,
}

impl<F: Future> Pending<F> {
    pub(super) fn new() -> Self {
        Self { first: Box::pin(None), slot: 0, more: Vec::new() }
    }

    #[inline]
    pub(super) fn push(&mut self, slot: usize, future: F) {
        if self.first.is_none() {
            self.first.set(Some(future));
            self.slot = slot;
            return;
        }
        let place = self.more.iter().position(|group| !group.is_full()).unwrap_or_else(|| {
            self.more.push(Group::new());
            self.more.len() - 1
        });
        self.more[place].push(slot, future);
    }

    /// Drops a request that is under way.
    pub(super) fn remove(&mut self, slot: usize) {
        if self.slot == slot && self.first.is_some() {
            self.first.set(None);
        } else {
            self.more.iter_mut().any(|group| group.remove(slot));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.iter().all(Group::is_empty)
    }

    /// Drops all requests that are under way.
    pub(super) fn clear(&mut self) {
        self.first.set(None);
        self.more.clear();
    }

    /// Returns the next request that has ended, by its slot.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<(usize, F::Output)> {
        if let Some(first) = self.first.as_mut().as_pin_mut()
            && let Poll::Ready(output) = first.poll(cx)
        {
            self.first.set(None);
            return Some((self.slot, output));
        }
        let done = self.more.iter_mut().find_map(|group| group.poll_next(cx.waker()));
        if done.is_none() && self.more.len() > 1 && self.is_empty() {
            self.more.truncate(1);
        }
        done
    }

    /// Tells whether memory is kept that only several requests at a time need.
    pub(super) const fn keeps_more(&self) -> bool {
        self.more.capacity() > 0
    }

    /// Gives that memory back, unless requests are under way.
    pub(super) fn release(&mut self) {
        if self.is_empty() {
            self.more = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::BTreeSet, rc::Rc, time::Duration};

    use futures_util::task::noop_waker;
    use proptest::{collection::vec, prelude::*};
    use tokio::sync::oneshot;
    use tokio_test::task;

    use super::*;

    type Answer = oneshot::Receiver<u32>;

    /// Polls until nothing more has ended.
    fn ended(pending: &mut task::Spawn<Pending<Answer>>) -> BTreeSet<usize> {
        pending.enter(|cx, mut pending| std::iter::from_fn(|| pending.poll_next(cx)).map(|(slot, _)| slot).collect())
    }

    #[test]
    fn whoever_wakes_wakes_the_task_that_polled_last() {
        let mut pending = task::spawn(Pending::new());
        let (answers, requests): (Vec<_>, Vec<Answer>) = (0..3).map(|_| oneshot::channel()).unzip();
        requests.into_iter().enumerate().for_each(|(slot, request)| pending.push(slot, request));
        assert!(pending.poll_next(&mut Context::from_waker(&noop_waker())).is_none());
        assert!(ended(&mut pending).is_empty());
        for (slot, answer) in answers.into_iter().enumerate().rev() {
            assert!(!pending.is_woken());
            answer.send(0).expect("it waits");
            assert!(pending.is_woken(), "{slot}");
            assert_eq!(ended(&mut pending), BTreeSet::from([slot]));
        }
    }

    #[test]
    fn polls_only_what_was_woken() {
        let mut pending = task::spawn(Pending::new());
        let polls = Rc::new(Cell::new(0));
        let mut answers = Vec::new();
        for slot in 0..100 {
            let ((answer, mut request), polls) = (oneshot::channel::<()>(), Rc::clone(&polls));
            answers.push(answer);
            let counted = std::future::poll_fn(move |cx| {
                polls.set(polls.get() + 1);
                Pin::new(&mut request).poll(cx)
            });
            pending.push(slot, counted);
        }
        let mut turn = || pending.enter(|cx, mut pending| pending.poll_next(cx).map(|(slot, _)| slot));
        assert_eq!((turn(), polls.replace(0)), (None, 100));
        answers.swap_remove(70).send(()).expect("it waits");
        // the first is polled in every turn
        assert_eq!((turn(), polls.replace(0)), (Some(70), 2));
    }

    #[test]
    fn a_future_that_wakes_itself_does_not_keep_the_task_from_others() {
        let mut pending = task::spawn(Pending::new());
        for slot in 0..2 {
            let eager = std::future::poll_fn(|cx: &mut Context<'_>| {
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            });
            pending.push(slot, eager);
        }
        assert!(pending.enter(|cx, mut pending| pending.poll_next(cx)).is_none());
        assert!(pending.is_woken());
    }

    #[tokio::test]
    async fn no_answer_from_another_thread_is_missed() {
        for _ in 0..200 {
            let mut pending = Pending::new();
            let (answers, requests): (Vec<_>, Vec<Answer>) = (0..50).map(|_| oneshot::channel()).unzip();
            requests.into_iter().enumerate().for_each(|(slot, request)| pending.push(slot, request));
            let server = std::thread::spawn(|| answers.into_iter().all(|answer| answer.send(0).is_ok()));
            let all = std::future::poll_fn(|cx| {
                while pending.poll_next(cx).is_some() {}
                if pending.is_empty() { Poll::Ready(()) } else { Poll::Pending }
            });
            tokio::time::timeout(Duration::from_secs(10), all).await.expect("each answer wakes the task");
            assert!(server.join().expect("no panic"));
        }
    }

    #[test]
    fn gives_back_what_only_a_crowd_needs() {
        let mut pending = task::spawn(Pending::new());
        (0..1000).for_each(|slot| pending.push(slot, std::future::ready(0)));
        let ended = |pending: &mut task::Spawn<Pending<_>>| {
            pending.enter(|cx, mut pending| std::iter::from_fn(|| pending.poll_next(cx)).count())
        };
        assert_eq!((ended(&mut pending), pending.is_empty(), pending.more.len()), (1000, true, 1));
        pending.push(0, std::future::ready(0));
        pending.release();
        assert!(pending.keeps_more(), "one is under way");
        assert_eq!(ended(&mut pending), 1);
        pending.release();
        assert!(!pending.keeps_more());
    }

    proptest! {
        /// Requests come and are answered in any order; nothing is lost and nothing comes twice.
        #[test]
        fn agrees_with_a_set(steps in vec((any::<bool>(), any::<prop::sample::Index>()), 1..400)) {
            let mut pending = task::spawn(Pending::new());
            let mut waiting = Vec::new();
            let mut answered = BTreeSet::new();
            for (slot, (ask, which)) in steps.into_iter().enumerate() {
                if ask || waiting.is_empty() {
                    let (answer, request) = oneshot::channel();
                    pending.push(slot, request);
                    waiting.push((slot, answer));
                } else {
                    let (slot, answer) = waiting.swap_remove(which.index(waiting.len()));
                    answer.send(0).expect("it waits");
                    answered.insert(slot);
                }
                if which.index(3) == 0 {
                    prop_assert_eq!(ended(&mut pending), std::mem::take(&mut answered));
                    prop_assert_eq!(pending.is_empty(), waiting.is_empty());
                }
            }
        }
    }
}
