//! What the callers of one upstream connection share with its driver: a queue of requests and a slot for every answer.

mod queue;
mod stream;
mod streams;

use std::{
    mem,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use aeraki_codec::{Id, IdSpace, Kind, LocalReply, Message, Reason};

pub(super) use self::queue::Queue;
use self::stream::Stream;
use super::slots::{Found, Slots};
use crate::sync::lock;

/// How a request on a connection ended: its answer, nothing (one-way), or why there is none.
pub(super) type Outcome = Result<Option<Box<Message>>, LocalReply>;

/// One upstream connection, as callers and driver see it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) depth: u32,
    /// Bytes of answers that nobody has taken yet; changed under the lock only.
    held: AtomicUsize,
    /// Streams that hold more than they may; changed under the lock only.
    stalled: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    slots: Slots<Slot>,
    queue: Queue,
    driver: Option<Waker>,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// Nobody uses the connection any more: the driver closes it.
    Finished,
    Closed(LocalReply),
}

#[derive(Debug)]
enum Slot {
    Waiting {
        original: Id,
        oneway: bool,
        /// None before it has asked for the outcome.
        caller: Option<Waker>,
    },
    Done(Outcome),
    Stream(Box<Stream>),
    /// The connection ended before the request was written.
    Returned(Refused),
    /// The caller has gone; the answer is still to come, or a one-way request to be written.
    Tombstone {
        oneway: bool,
    },
}

/// Why a connection does not take a request.
#[derive(Debug)]
pub(super) struct Refused {
    /// The request, unsent.
    pub(super) message: Box<Message>,
    /// Why the connection ended; nothing where it only was not needed any more.
    pub(super) end: Option<LocalReply>,
}

/// How waiting for an outcome ended.
#[derive(Debug)]
pub(super) enum Ended {
    With(Outcome),
    /// A stream is open, with the server's first frame where there is one; it keeps its slot.
    Opened(Option<Box<Message>>),
    /// The connection ended before the request was written.
    Unsent(Refused),
}

/// What became of a request whose caller has gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Abandoned {
    /// Its slot is free again.
    Freed,
    /// Its slot waits for the late answer.
    Buried,
}

/// What became of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// Its caller has it.
    Yes,
    /// Its caller had gone; the slot is free again.
    Late,
    /// It belongs to an earlier use of its slot.
    Stale,
    /// Its id was never given, or to a one-way request.
    Unknown,
}

/// What a driver has to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Nothing until it is woken.
    None,
    /// Requests wait.
    Requests,
    /// The connection is not needed any more.
    Finish,
}

impl Link {
    pub(super) fn new(ids: IdSpace, depth: u32) -> Self {
        let state = State { phase: Phase::Open, slots: Slots::new(ids, depth), queue: Queue::default(), driver: None };
        Self { depth, held: AtomicUsize::new(0), stalled: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    /// Queues a request, waking the driver if it is the first, and returns its slot.
    pub(super) fn submit(&self, mut message: Box<Message>) -> Result<u32, Refused> {
        let mut state = lock(&self.state);
        match &state.phase {
            Phase::Open => {}
            Phase::Finished => return Err(Refused { message, end: None }),
            Phase::Closed(reply) => return Err(Refused { message, end: Some(reply.clone()) }),
        }
        let (original, kind) = (message.id(), message.kind());
        let waiting = Slot::Waiting { original, oneway: kind == Kind::Oneway, caller: None };
        let (slot, id) = state.slots.insert(waiting);
        if let Some(id) = id {
            message.set_id(id);
        }
        if kind == Kind::StreamOpen
            && let Some(place) = state.slots.get_mut(slot)
        {
            *place = Slot::Stream(Box::new(Stream::new(original, message.receipt())));
        }
        let driver = state.push(slot, message);
        drop(state);
        wake(driver);
        Ok(slot)
    }

    /// Takes the outcome, or the unwritten request, out of a slot, or notes who is to be woken.
    #[inline]
    pub(super) fn poll_outcome(&self, slot: u32, cx: &Context<'_>) -> Poll<Ended> {
        let mut state = lock(&self.state);
        let outcome = match state.slots.get_mut(slot) {
            Some(Slot::Waiting { caller, .. }) => {
                note(caller, cx.waker());
                return Poll::Pending;
            }
            Some(Slot::Done(outcome)) => mem::replace(outcome, Ok(None)),
            Some(Slot::Stream(_)) => return self.poll_opened(state, slot, cx),
            _ => return Poll::Ready(state.take_unsent(slot)),
        };
        state.slots.free(slot);
        let driver = self.unhold(&state, &outcome);
        drop(state);
        wake(driver);
        Poll::Ready(Ended::With(outcome))
    }

    /// Gives up a slot: a request that still waits is not sent, an answer that is there is dropped.
    pub(super) fn abandon(&self, slot: u32) -> Abandoned {
        let mut state = lock(&self.state);
        match state.slots.get_mut(slot) {
            Some(waiting @ Slot::Waiting { .. }) => {
                *waiting = Slot::Tombstone { oneway: waiting.is_oneway() };
                let Some(place) = state.queue.position(slot) else { return Abandoned::Buried };
                state.queue.messages.remove(place);
            }
            Some(Slot::Done(outcome)) => {
                let outcome = mem::replace(outcome, Ok(None));
                wake(self.unhold(&state, &outcome));
            }
            Some(Slot::Stream(_)) => {
                drop(state);
                self.end_stream(
                    slot,
                    Some(LocalReply::new(Reason::Unspecified, "nobody waits for the stream any more")),
                );
                return Abandoned::Freed;
            }
            _ => {}
        }
        state.slots.free(slot);
        Abandoned::Freed
    }

    /// Tells the driver that nobody uses the connection any more.
    pub(super) fn finish(&self) {
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Open) {
            state.phase = Phase::Finished;
        }
        let driver = state.driver.clone();
        drop(state);
        wake(driver);
    }

    /// Names the driver's task.
    pub(super) fn attach(&self, driver: &Waker) {
        lock(&self.state).driver = Some(driver.clone());
    }

    /// Says what there is to do, and hands over all requests that wait if `take`.
    pub(super) fn work(&self, take: bool, batch: &mut Queue) -> Work {
        let mut state = lock(&self.state);
        if !state.queue.is_empty() {
            if take {
                mem::swap(&mut state.queue, batch);
            }
            Work::Requests
        } else if matches!(state.phase, Phase::Finished) {
            Work::Finish
        } else {
            Work::None
        }
    }

    /// Tells whether the connection has served its purpose.
    pub(super) fn is_finished(&self) -> bool {
        matches!(lock(&self.state).phase, Phase::Finished)
    }

    /// Tells whether more answers wait for their callers than the connection may hold.
    pub(super) fn is_congested(&self) -> bool {
        self.held.load(Relaxed) > HELD || self.stalled.load(Relaxed) > 0
    }

    /// Hands an answer to the caller of the request with this id.
    #[inline]
    pub(super) fn answer(&self, id: Id, outcome: Outcome) -> Delivered {
        let mut state = lock(&self.state);
        match state.slots.find(id) {
            // its slot is free only once it is written
            Found::Live(slot) if state.slots.get_mut(slot).is_some_and(|slot| slot.is_oneway()) => Delivered::Unknown,
            Found::Live(slot) => self.settle(state, slot, outcome),
            Found::Stale => Delivered::Stale,
            Found::Unknown => Delivered::Unknown,
        }
    }

    /// Ends the request in this slot.
    pub(super) fn complete(&self, slot: u32, outcome: Outcome) -> Delivered {
        self.settle(lock(&self.state), slot, outcome)
    }

    #[inline]
    fn settle(&self, mut state: MutexGuard<'_, State>, slot: u32, mut outcome: Outcome) -> Delivered {
        let Some(place) = state.slots.get_mut(slot) else { return Delivered::Stale };
        let (original, caller) = match place {
            Slot::Waiting { original, caller, .. } => (original, caller),
            Slot::Stream(_) => return self.refuse_stream(state, slot, outcome),
            _ => return state.settle_unclaimed(slot),
        };
        if let (Ok(Some(message)), Id::Number(id)) = (&mut outcome, *original) {
            message.set_id(id);
        }
        self.held.fetch_add(held_by(&outcome), Relaxed);
        let caller = caller.take();
        *place = Slot::Done(outcome);
        drop(state);
        wake(caller);
        Delivered::Yes
    }

    /// Ends every request in flight with `reply`, once, and gives unwritten ones back; nothing is taken any more.
    ///
    /// Returns the number of requests that got no answer.
    pub(super) fn close(&self, reply: &LocalReply) -> usize {
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Closed(_)) {
            return 0;
        }
        state.phase = Phase::Closed(reply.clone());
        let mut callers = state.return_queue(reply);
        let before = callers.len();
        callers.extend(state.slots.iter_mut().filter_map(|slot| slot.fail(reply)));
        drop(state);
        let count = callers.len() - before;
        callers.into_iter().for_each(wake);
        count
    }

    /// Counts an answer as taken; returns the driver where it waited for that.
    fn unhold(&self, state: &State, outcome: &Outcome) -> Option<Waker> {
        let taken = held_by(outcome);
        let before = self.held.fetch_sub(taken, Relaxed);
        if before > HELD && before - taken <= HELD { state.driver.clone() } else { None }
    }
}

impl State {
    /// Gives the requests that were not written back to their callers.
    fn return_queue(&mut self, reply: &LocalReply) -> Vec<Option<Waker>> {
        let queue = mem::take(&mut self.queue).messages;
        let mut callers = Vec::with_capacity(queue.len());
        for (slot, mut message) in queue.into_iter().filter(|(_, message)| !message.kind().is_stream_frame()) {
            let Some(place) = self.slots.get_mut(slot) else { continue };
            if let Some(Id::Number(id)) = place.original() {
                message.set_id(id);
            }
            let refused = Refused { message, end: Some(reply.clone()) };
            callers.push(mem::replace(place, Slot::Returned(refused)).into_caller());
        }
        callers
    }

    /// Queues a message, and returns the driver where it has to be woken for that.
    fn push(&mut self, slot: u32, message: Box<Message>) -> Option<Waker> {
        let first = self.queue.is_empty();
        self.queue.messages.push_back((slot, message));
        if first { self.driver.clone() } else { None }
    }

    /// Gives the request of this slot back, which was not written.
    fn take_unsent(&mut self, slot: u32) -> Ended {
        match self.slots.remove(slot) {
            Some(Slot::Returned(refused)) => Ended::Unsent(refused),
            _ => Ended::With(Err(LocalReply::new(Reason::Unspecified, "the outcome of this request was taken before"))),
        }
    }

    /// Deals with a second answer, or one whose caller has gone.
    fn settle_unclaimed(&mut self, slot: u32) -> Delivered {
        if matches!(self.slots.get_mut(slot), Some(Slot::Tombstone { .. })) {
            self.slots.free(slot);
            Delivered::Late
        } else {
            Delivered::Stale
        }
    }
}

impl Slot {
    const fn is_oneway(&self) -> bool {
        matches!(self, Self::Waiting { oneway: true, .. } | Self::Tombstone { oneway: true })
    }

    const fn original(&self) -> Option<Id> {
        match self {
            Self::Waiting { original, .. } => Some(*original),
            Self::Stream(stream) => Some(stream.original),
            _ => None,
        }
    }

    fn into_caller(self) -> Option<Waker> {
        match self {
            Self::Waiting { caller, .. } => caller,
            Self::Stream(stream) => stream.into_opener(),
            _ => None,
        }
    }

    /// Ends what waits here for the server; returns who is to be woken, none where nobody waited.
    fn fail(&mut self, reply: &LocalReply) -> Option<Option<Waker>> {
        match self {
            Self::Waiting { .. } => Some(mem::replace(self, Self::Done(Err(reply.clone()))).into_caller()),
            Self::Stream(stream) => Some(stream.fail(reply)),
            _ => None,
        }
    }
}

fn held_by(outcome: &Outcome) -> usize {
    outcome.as_ref().ok().and_then(Option::as_ref).map_or(0, |message| message.len())
}

fn note(caller: &mut Option<Waker>, waker: &Waker) {
    match caller {
        Some(known) => known.clone_from(waker),
        None => *caller = Some(waker.clone()),
    }
}

fn wake(task: Option<Waker>) {
    if let Some(task) = task {
        task.wake();
    }
}

/// Bytes of answers that may wait for their callers before a connection stops reading.
const HELD: usize = 1 << 20;
