//! One stream of a connection: frames of the server wait here for their reader, within a bound.

use std::{
    collections::VecDeque,
    mem,
    sync::Arc,
    task::{Poll, Waker},
};

use aeraki_codec::{Id, Kind, LocalReply, Message, Receipt};
use tokio::time::Instant;

use super::{
    super::stream::{Arrival, Arrivals, Backlog, weigh},
    Outcome,
};

/// A stream, from the moment its opening is queued.
#[derive(Debug)]
pub(super) struct Stream {
    /// The id that the client gave it.
    pub(super) original: Id,
    /// What a reset needs; it has the id of the upstream connection.
    pub(super) receipt: Receipt,
    phase: Phase,
    /// Frames of the server that nobody has taken yet.
    incoming: VecDeque<Box<Message>>,
    /// What is in `incoming`.
    held: Backlog,
    /// Frames of the client that are not written yet.
    outgoing: Backlog,
    /// Since when the reader has been so far behind that the connection is not read.
    stalled: Option<Instant>,
    /// What may be held, or wait to be written, before the other side is not read any more.
    bound: usize,
    /// Whether the server has ended its direction.
    finished: bool,
    /// Why no more frames come, where that is not the server's own end.
    failure: Option<LocalReply>,
    listener: Listener,
}

#[derive(Debug)]
enum Phase {
    Opening,
    /// The server has not taken it for a stream.
    Refused(Outcome),
    Open,
}

/// Who is told of what happens to a stream.
#[derive(Debug)]
enum Listener {
    Nobody,
    /// Who waits for it to be open.
    Opener(Waker),
    Reader {
        arrivals: Arc<Arrivals>,
        key: u64,
        /// Whether it has been told since it last looked.
        told: bool,
    },
}

/// How an opening ended.
#[derive(Debug)]
pub(super) enum Opened {
    /// The stream is open; with the frame by which the server says so, where there is one.
    Yes(Option<Box<Message>>),
    /// The server has answered it like a request, or not at all.
    No(Outcome),
}

impl Stream {
    pub(super) const fn new(original: Id, receipt: Receipt) -> Self {
        Self {
            original,
            receipt,
            phase: Phase::Opening,
            incoming: VecDeque::new(),
            held: Backlog::NONE,
            outgoing: Backlog::NONE,
            stalled: None,
            bound: DEFAULT_BOUND,
            finished: false,
            failure: None,
            listener: Listener::Nobody,
        }
    }

    /// Waits for the stream to be open.
    pub(super) fn poll_opened(&mut self, waker: &Waker) -> Poll<Opened> {
        match mem::replace(&mut self.phase, Phase::Open) {
            Phase::Refused(outcome) => Poll::Ready(Opened::No(outcome)),
            Phase::Open => Poll::Ready(Opened::Yes(self.take_answer())),
            Phase::Opening => {
                self.phase = Phase::Opening;
                self.listener = Listener::Opener(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Takes the first frame, unless it ends the stream as well.
    fn take_answer(&mut self) -> Option<Box<Message>> {
        match self.incoming.front()?.kind() {
            Kind::StreamOpen | Kind::StreamData => self.take_frame(),
            _ => None,
        }
    }

    /// Takes it for open, where the server does not say so.
    pub(super) fn accept(&mut self) -> Option<Waker> {
        if !matches!(self.phase, Phase::Opening) {
            return None;
        }
        self.phase = Phase::Open;
        self.tell()
    }

    /// Takes an answer that is no frame of a stream; the error has it back where the stream is open already.
    pub(super) fn refuse(&mut self, outcome: Outcome) -> Result<Option<Waker>, Outcome> {
        if !matches!(self.phase, Phase::Opening) {
            return Err(outcome);
        }
        self.phase = Phase::Refused(outcome);
        Ok(self.tell())
    }

    /// Ends it without a word of the server.
    pub(super) fn fail(&mut self, reply: &LocalReply) -> Option<Waker> {
        match self.phase {
            Phase::Opening => self.phase = Phase::Refused(Err(reply.clone())),
            _ => self.failure = Some(reply.clone()),
        }
        self.tell()
    }

    /// Takes a frame of the server; behind its end only a reset may come.
    pub(super) fn receive(&mut self, message: Box<Message>) -> Option<Waker> {
        let reset = message.kind() == Kind::StreamReset;
        if (self.finished && !reset) || matches!(self.phase, Phase::Refused(_)) {
            return None;
        }
        self.finished |= reset || message.kind() == Kind::StreamEnd;
        self.held.add(message.len());
        self.charge(message.len());
        self.incoming.push_back(message);
        if self.held.exceeds(self.bound) {
            self.stalled.get_or_insert_with(Instant::now);
        }
        if matches!(self.phase, Phase::Opening) {
            self.phase = Phase::Open;
        }
        self.tell()
    }

    /// Takes what there is for the reader.
    pub(super) fn take(&mut self) -> Arrival {
        if let Some(message) = self.take_frame() {
            return Arrival::Frame(message);
        }
        if let Listener::Reader { told, .. } = &mut self.listener {
            *told = false;
        }
        self.failure.take().map_or(Arrival::Nothing, Arrival::Failed)
    }

    fn take_frame(&mut self) -> Option<Box<Message>> {
        let message = self.incoming.pop_front()?;
        self.held.remove(message.len());
        self.discharge(weigh(message.len()));
        // not before there is room for more than a frame: a reader that is slow for long must not slow all others down
        if !self.held.exceeds(self.bound / 2) {
            self.stalled = None;
        }
        Some(message)
    }

    /// Counts a frame that is queued for the server.
    pub(super) fn queue(&mut self, bytes: usize) {
        self.outgoing.add(bytes);
        self.charge(bytes);
    }

    /// Counts a frame that was written to the server; whoever waits for that is told.
    pub(super) fn written(&mut self, bytes: usize) -> Option<Waker> {
        let was_full = self.is_full();
        self.outgoing.remove(bytes);
        self.discharge(weigh(bytes));
        let awaited = matches!(&self.listener, Listener::Reader { arrivals, .. } if arrivals.take_awaited());
        if awaited || (was_full && !self.is_full()) { self.tell() } else { None }
    }

    /// Tells whether more waits to be written to the server than may.
    pub(super) const fn is_full(&self) -> bool {
        self.outgoing.exceeds(self.bound)
    }

    /// Returns since when the connection is not read because of this stream.
    pub(super) const fn stalled_since(&self) -> Option<Instant> {
        self.stalled
    }

    /// Has `arrivals` told of all that comes, under `key`.
    pub(super) fn attach(&mut self, arrivals: Arc<Arrivals>, key: u64, bound: usize) {
        arrivals.charge(self.held.weight() + self.outgoing.weight());
        self.bound = bound;
        self.listener = Listener::Reader { arrivals, key, told: false };
    }

    /// Returns who waits for it to be open.
    pub(super) fn into_opener(mut self) -> Option<Waker> {
        self.tell()
    }

    /// Says who is to be woken, if anybody waits.
    fn tell(&mut self) -> Option<Waker> {
        match &mut self.listener {
            Listener::Reader { arrivals, key, told } => {
                if mem::replace(told, true) {
                    return None;
                }
                arrivals.put(*key)
            }
            _ => match mem::replace(&mut self.listener, Listener::Nobody) {
                Listener::Opener(waker) => Some(waker),
                _ => None,
            },
        }
    }

    fn charge(&self, bytes: usize) {
        if let Listener::Reader { arrivals, .. } = &self.listener {
            arrivals.charge(weigh(bytes));
        }
    }

    fn discharge(&self, weight: usize) {
        if let Listener::Reader { arrivals, .. } = &self.listener {
            arrivals.discharge(weight);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.discharge(self.held.weight() + self.outgoing.weight());
    }
}

/// What a stream may hold before its reader says otherwise, in bytes.
const DEFAULT_BOUND: usize = 256 * 1024;
