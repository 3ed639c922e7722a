//! The streams of one connection: what their readers and the driver do with their slots.

use std::{
    sync::{Arc, MutexGuard, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
};

use aeraki_codec::{Id, Kind, LocalReply, Message};
use tokio::time::Instant;

use super::{
    super::{
        slots::Found,
        stream::{Arrival, Arrivals},
    },
    Delivered, Ended, Link, Outcome, Phase, Slot, State,
    stream::{Opened, Stream},
    wake,
};
use crate::sync::lock;

/// What readers do.
impl Link {
    pub(super) fn poll_opened(&self, mut state: MutexGuard<'_, State>, slot: u32, cx: &Context<'_>) -> Poll<Ended> {
        let opened = self.change(&mut state, slot, |stream| (stream.poll_opened(cx.waker()), None));
        let (opened, tasks) = opened.unwrap_or((Poll::Pending, Tasks::default()));
        let ended = match opened {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Opened::Yes(first)) => Poll::Ready(Ended::Opened(first)),
            Poll::Ready(Opened::No(outcome)) => {
                state.slots.free(slot);
                Poll::Ready(Ended::With(outcome))
            }
        };
        drop(state);
        tasks.wake();
        ended
    }

    /// Queues a frame for the server, unless the connection has ended; tells whether more waits now than may.
    pub(in super::super) fn send_frame(&self, slot: u32, mut message: Box<Message>) -> bool {
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Closed(_)) {
            return false;
        }
        let Some(Slot::Stream(stream)) = state.slots.get_mut(slot) else { return false };
        stream.queue(message.len());
        if let Id::Number(id) = stream.receipt.id() {
            message.set_id(id);
        }
        let full = stream.is_full();
        let driver = state.push(slot, message);
        drop(state);
        wake(driver);
        full
    }

    /// Takes what a stream has for its reader.
    pub(in super::super) fn take_frame(&self, slot: u32) -> Arrival {
        self.on_stream(slot, |stream| (stream.take(), None)).unwrap_or(Arrival::Nothing)
    }

    /// Tells whether more of a stream waits to be written than may.
    pub(in super::super) fn is_full(&self, slot: u32) -> bool {
        self.on_stream(slot, |stream| (stream.is_full(), None)).unwrap_or(false)
    }

    /// Returns since when a stream keeps the connection from being read; none where it does not.
    pub(in super::super) fn stalled_since(&self, slot: u32) -> Option<Instant> {
        self.on_stream(slot, |stream| (stream.stalled_since(), None)).flatten()
    }

    /// Has `arrivals` told of all that comes for a stream, under `key`.
    pub(in super::super) fn attach_reader(&self, slot: u32, arrivals: Arc<Arrivals>, key: u64, bound: usize) {
        self.on_stream(slot, |stream| (stream.attach(arrivals, key, bound), None));
    }

    /// Frees the slot of a stream. With `reset`, what is not written of it is dropped and the server is told.
    pub(in super::super) fn end_stream(&self, slot: u32, reset: Option<LocalReply>) {
        let mut state = lock(&self.state);
        let Some(Slot::Stream(stream)) = state.slots.remove(slot) else { return };
        let mut tasks = self.compare(&state, stream.stalled_since().is_some(), false);
        if let Some(reply) = reset {
            tasks.driver = state.reset(&stream, reply).or(tasks.driver);
        }
        drop((state, stream));
        tasks.wake();
    }
}

/// What the driver does.
impl Link {
    /// Hands a frame of the server to the stream with its id.
    pub(in super::super) fn receive_frame(&self, message: Box<Message>) -> Delivered {
        let found = lock(&self.state).slots.find(message.id());
        match found {
            Found::Live(slot) => {
                let received = self.on_stream(slot, |stream| ((), stream.receive(message)));
                received.map_or(Delivered::Unknown, |()| Delivered::Yes)
            }
            Found::Stale => Delivered::Stale,
            Found::Unknown => Delivered::Unknown,
        }
    }

    /// Takes a stream for open that was asked for, where servers do not say so.
    pub(in super::super) fn accept(&self, slot: u32) {
        self.on_stream(slot, |stream| ((), stream.accept()));
    }

    /// Ends the stream with this id, if there is one, without a word of the server.
    pub(in super::super) fn fail_stream(&self, id: Id, reply: &LocalReply) {
        let found = lock(&self.state).slots.find(id);
        if let Found::Live(slot) = found {
            self.on_stream(slot, |stream| ((), stream.fail(reply)));
        }
    }

    /// Takes note of a frame of the stream with this id, if there still is one, that was written.
    pub(in super::super) fn written(&self, id: Id, bytes: usize) {
        let found = lock(&self.state).slots.find(id);
        if let Found::Live(slot) = found {
            self.on_stream(slot, |stream| ((), stream.written(bytes)));
        }
    }

    /// Takes an answer that is no frame of the stream it is for.
    pub(super) fn refuse_stream(&self, mut state: MutexGuard<'_, State>, slot: u32, outcome: Outcome) -> Delivered {
        let refused = self.change(&mut state, slot, |stream| match stream.refuse(outcome) {
            Ok(waker) => (Delivered::Yes, waker),
            Err(_) => (Delivered::Stale, None),
        });
        drop(state);
        refused.map_or(Delivered::Stale, |(delivered, tasks)| {
            tasks.wake();
            delivered
        })
    }
}

impl Link {
    /// Changes a stream and wakes whom that concerns; none where there is no stream in this slot.
    fn on_stream<T>(&self, slot: u32, change: impl FnOnce(&mut Stream) -> (T, Option<Waker>)) -> Option<T> {
        let mut state = lock(&self.state);
        let (result, tasks) = self.change(&mut state, slot, change)?;
        drop(state);
        tasks.wake();
        Some(result)
    }

    fn change<T>(
        &self,
        state: &mut State,
        slot: u32,
        change: impl FnOnce(&mut Stream) -> (T, Option<Waker>),
    ) -> Option<(T, Tasks)> {
        let Some(Slot::Stream(stream)) = state.slots.get_mut(slot) else { return None };
        let before = stream.stalled_since().is_some();
        let (result, reader) = change(stream);
        let after = stream.stalled_since().is_some();
        Some((result, Tasks { reader, ..self.compare(state, before, after) }))
    }

    /// Counts the streams that keep the connection from being read; the driver is woken when the last one does no more.
    fn compare(&self, state: &State, before: bool, after: bool) -> Tasks {
        match (before, after) {
            (false, true) => _ = self.stalled.fetch_add(1, Relaxed),
            (true, false) if self.stalled.fetch_sub(1, Relaxed) == 1 => {
                return Tasks { driver: state.driver.clone(), reader: None };
            }
            _ => {}
        }
        Tasks::default()
    }
}

impl State {
    /// Has the driver tell the server that a stream has ended, unless it does not know of it yet.
    fn reset(&mut self, stream: &Stream, reply: LocalReply) -> Option<Waker> {
        let id = stream.receipt.id();
        let mut known = true;
        self.queue.messages.retain(|(_, message)| {
            let own = message.id() == id;
            known &= !(own && message.kind() == Kind::StreamOpen);
            !own
        });
        if !known || matches!(self.phase, Phase::Closed(_)) {
            return None;
        }
        self.queue.resets.push((stream.receipt.clone().into_opened(), reply));
        self.driver.clone()
    }
}

/// Who is to be woken.
#[derive(Default)]
struct Tasks {
    driver: Option<Waker>,
    reader: Option<Waker>,
}

impl Tasks {
    fn wake(self) {
        wake(self.driver);
        wake(self.reader);
    }
}
