//! The answers of one connection: put in order, written by its codec, recorded when their last byte is gone.

use std::{
    collections::VecDeque,
    io::Result as IoResult,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use aeraki_codec::{Answer, Codec, Id, Kind, LocalReply, Message, Output, Reason, Receipt, Replies};
use bytes::Buf;
use slab::Slab;
use tokio::time::Instant;

use crate::{
    boxes::Boxes,
    io::{self, Io},
    observe::{Facts, Recording},
    stack::Response,
    sync::lock,
    upstream::StreamHandle,
};

/// Keeps what every answer needs of its request, and writes answers in the order that clients expect.
#[derive(Debug)]
pub(super) struct Answers {
    /// What waits to be written to the client; owns no memory while nothing does.
    pub(super) output: Output,
    outputs: Outputs,
    in_order: bool,
    open: Slab<Open>,
    /// Slots in the order of their requests; empty where any order will do.
    order: VecDeque<usize>,
    /// Bytes of requests under way.
    held: usize,
    /// Bytes of answers that wait for an earlier one.
    kept: usize,
    /// Whether the stream may hold bytes that are no longer in `output`, as TLS does.
    unflushed: bool,
    /// Bytes that were ever put into `output`.
    put: u64,
    /// Bytes that were ever written to the client.
    written: u64,
    /// What the client has not taken yet, though it was there long before.
    behind: Option<Behind>,
    /// Requests whose answer is not all written.
    leaving: VecDeque<Leaving>,
    /// What became of streams whose opening was answered.
    pub(super) openings: Vec<Opening>,
    /// Boxes of answers that were written, for the next requests.
    boxes: Boxes,
    /// Facts of requests that have ended, for the next ones.
    facts: Vec<Facts>,
}

/// A request whose answer is not in the output yet.
#[derive(Debug)]
struct Open {
    receipt: Receipt,
    recording: Recording,
    held: usize,
    /// The answer, while an earlier one is missing.
    done: Option<Box<Response>>,
}

/// A request whose answer is in the output.
#[derive(Debug)]
struct Leaving {
    recording: Recording,
    /// The value of `put` behind the answer.
    end: u64,
    /// Length of the answer in bytes.
    len: u64,
}

/// What was in the output at some moment, and is not all taken yet.
#[derive(Clone, Copy, Debug)]
struct Behind {
    /// The value of `put` at that moment.
    end: u64,
    since: Instant,
}

/// What became of a stream whose opening was answered.
#[derive(Debug)]
pub(super) enum Opening {
    Opened(Opened),
    /// It was answered like a request.
    Refused {
        id: u64,
        slot: usize,
    },
}

/// A stream that is open.
#[derive(Debug)]
pub(super) struct Opened {
    /// What a reset needs.
    pub(super) receipt: Receipt,
    pub(super) recording: Recording,
    pub(super) handle: Box<StreamHandle>,
}

/// An answer that the protocol cannot express: the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inexpressible;

/// The write buffers of one listener and worker while nobody uses them; a handle, cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Outputs(Arc<Mutex<Vec<Output>>>);

impl Outputs {
    fn lend(&self) -> Output {
        lock(&self.0).pop().unwrap_or_default()
    }

    fn give_back(&self, output: Output) {
        let mut kept = lock(&self.0);
        if kept.len() < KEPT_OUTPUTS && output.capacity() > 0 {
            kept.push(output);
        }
    }
}

impl Answers {
    pub(super) fn new(replies: Replies, outputs: Outputs) -> Self {
        Self {
            output: Output::new(),
            outputs,
            in_order: replies == Replies::InOrder,
            open: Slab::new(),
            order: VecDeque::new(),
            held: 0,
            kept: 0,
            unflushed: false,
            put: 0,
            written: 0,
            behind: None,
            leaving: VecDeque::new(),
            openings: Vec::new(),
            boxes: Boxes::new(KEPT_SLOTS),
            facts: Vec::new(),
        }
    }

    /// Puts a request into the box of an earlier one.
    #[inline]
    pub(super) fn boxed(&mut self, message: Message) -> Box<Message> {
        self.boxes.fill(message)
    }

    /// Makes the facts of a request, in the memory of an earlier one's.
    pub(super) fn facts(&mut self, started: Instant, message: &Message) -> Facts {
        let (kind, bytes) = (message.kind(), message.len() as u64);
        match self.facts.pop() {
            Some(facts) => facts.renew(started, kind, bytes),
            None => Facts::new(started, kind, bytes),
        }
    }

    /// Opens the slot of a request.
    pub(super) fn open(&mut self, message: &Message, recording: Recording) -> usize {
        let open = Open { receipt: message.receipt(), recording, held: message.len(), done: None };
        self.held += open.held;
        let slot = self.open.insert(open);
        if self.in_order {
            self.order.push_back(slot);
        }
        slot
    }

    /// Takes the answer of a request and writes every answer whose turn has come.
    ///
    /// # Errors
    /// When an answer cannot be expressed; where order matters, no later one is written either.
    pub(super) fn complete(
        &mut self,
        slot: usize,
        response: Response,
        codec: &mut dyn Codec,
    ) -> Result<(), Inexpressible> {
        if self.in_order && self.order.front() != Some(&slot) {
            self.keep(slot, response);
            return Ok(());
        }
        let mut turn = Some((slot, response));
        while let Some((slot, response)) = turn {
            self.order.pop_front();
            self.write(slot, response, codec)?;
            turn = self.take_next();
        }
        Ok(())
    }

    /// Takes the answer whose turn has come, where it waits for that.
    fn take_next(&mut self) -> Option<(usize, Response)> {
        let next = *self.order.front()?;
        let response = self.open.get_mut(next)?.done.take()?;
        self.kept -= len_of(&response);
        Some((next, *response))
    }

    /// Drops all requests whose answer is not in the output yet.
    pub(super) fn abandon(&mut self) {
        self.open.clear();
        self.order.clear();
        (self.held, self.kept) = (0, 0);
    }

    /// Tells whether answers leave in the order of their requests.
    pub(super) const fn is_in_order(&self) -> bool {
        self.in_order
    }

    /// Returns the number of requests whose answer is not in the output yet, those included that wait for an earlier
    /// one.
    pub(super) fn open_requests(&self) -> usize {
        self.open.len()
    }

    /// Returns the number of requests whose answer is not all written.
    pub(super) fn unfinished(&self) -> usize {
        self.open.len() + self.leaving.len()
    }

    /// Returns the number of bytes that wait here; what is kept of an answer may be more than the answer.
    pub(super) fn held(&self) -> usize {
        self.held + self.kept + self.output.len() + self.leaving.len() * RECORD
    }

    /// Returns the number of bytes of answers that the client has not taken yet, or not to their end, those included
    /// that wait for an earlier one.
    pub(super) fn unread(&self) -> usize {
        self.kept + self.output.len() + self.begun()
    }

    /// Returns the number of bytes that the client has taken of an answer: its memory is freed as a whole.
    pub(super) fn begun(&self) -> usize {
        let begun = self.leaving.front().map_or(0, |first| self.written.saturating_sub(first.end - first.len));
        usize::try_from(begun).unwrap_or(usize::MAX)
    }

    /// Returns the length of the largest answer that the client could have taken and has not, in bytes.
    pub(super) fn largest_unread(&self) -> usize {
        self.leaving.iter().map(|it| usize::try_from(it.len).unwrap_or(usize::MAX)).max().unwrap_or(0)
    }

    /// Returns since when something has been there that the client has not taken; none where nothing waits for it.
    pub(super) fn behind_since(&self) -> Option<Instant> {
        self.behind.map(|behind| behind.since)
    }

    /// Writes what waits.
    pub(super) fn poll_drain(&mut self, io: &mut Box<dyn Io>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        let drained = io::poll_drain(io, cx, &mut self.output);
        self.unflushed = drained.is_pending();
        drained
    }

    /// Tells whether nothing waits to be written.
    pub(super) fn are_written(&self) -> bool {
        self.output.is_empty() && !self.unflushed
    }

    /// Takes note of what [`output`](Self::output) has lost to the client until `now`, and closes the records of
    /// finished requests.
    pub(super) fn note_written(&mut self, now: Instant) -> bool {
        let before = self.written;
        self.written = self.put - self.output.remaining() as u64;
        while let Some(Leaving { recording, len, .. }) = self.leaving.pop_front_if(|it| it.end <= self.written) {
            let facts = recording.end(len, now);
            if self.facts.len() < KEPT_SLOTS {
                self.facts.push(facts);
            }
        }
        if self.output.is_empty() {
            self.release();
        }
        if self.are_written() {
            self.behind = None;
        } else if self.behind.is_none_or(|it| it.end <= self.written && it.end < self.put) {
            self.behind = Some(Behind { end: self.put, since: now });
        }
        self.written != before
    }

    /// Gives memory back that is not needed before the next request.
    fn release(&mut self) {
        self.outputs.give_back(std::mem::take(&mut self.output));
        if self.unfinished() == 0 && self.open.capacity() > KEPT_SLOTS {
            self.open = Slab::new();
            self.order = VecDeque::new();
            self.leaving = VecDeque::new();
        }
    }

    /// Gives back what is kept for the next requests.
    pub(super) fn forget_kept(&mut self) {
        self.boxes.release();
        self.facts = Vec::new();
    }

    /// Runs `write` and accounts for what it put into the output.
    pub(super) fn put<T>(&mut self, write: impl FnOnce(&mut Output) -> T) -> T {
        if self.output.capacity() == 0 {
            self.output = self.outputs.lend();
        }
        let before = self.output.len();
        let result = write(&mut self.output);
        self.put += (self.output.len() - before) as u64;
        result
    }

    /// Keeps the box of a message that was written.
    pub(super) fn recycle(&mut self, message: Box<Message>) {
        self.boxes.empty(message);
    }

    fn keep(&mut self, slot: usize, response: Response) {
        if let Some(open) = self.open.get_mut(slot) {
            self.held -= std::mem::take(&mut open.held);
            self.kept += len_of(&response);
            open.done = Some(Box::new(response));
        }
    }

    fn write(&mut self, slot: usize, mut response: Response, codec: &mut dyn Codec) -> Result<(), Inexpressible> {
        let before = self.put;
        let Open { receipt, recording, held, .. } = self.open.remove(slot);
        self.held -= held;
        let result = self.put(|output| write(&receipt, &recording, &mut response, codec, output));
        let len = self.put - before;
        match response {
            Response::Stream(message, handle) => {
                message.into_iter().for_each(|message| self.boxes.empty(message));
                recording.opened(len);
                self.openings.push(Opening::Opened(Opened { receipt: receipt.into_opened(), recording, handle }));
                return result;
            }
            _ if receipt.kind() == Kind::StreamOpen => {
                self.openings.push(Opening::Refused { id: receipt.id().number(), slot });
            }
            Response::Message(message) => self.boxes.empty(message),
            _ => {}
        }
        if len > 0 {
            self.leaving.push_back(Leaving { recording, end: self.put, len });
        }
        result
    }
}

fn len_of(response: &Response) -> usize {
    response.message().map_or(0, Message::len)
}

fn write(
    receipt: &Receipt,
    recording: &Recording,
    response: &mut Response,
    codec: &mut dyn Codec,
    output: &mut Output,
) -> Result<(), Inexpressible> {
    if !receipt.wants_answer() {
        return Ok(());
    }
    if let Some(message) = response.message_mut() {
        if let Id::Number(id) = receipt.id() {
            message.set_id(id);
        }
        let Err(error) = codec.encode(message, output) else { return Ok(()) };
        let text = format!("the response cannot be written: {error}");
        *response = Response::Local(LocalReply::new(Reason::BadResponse, text));
    }
    let Response::Local(local) = response else { return Ok(()) };
    recording.facts().note(|record| record.reason = Some(local.reason()));
    match codec.reply(receipt, local, output) {
        Ok(Answer::Written) => Ok(()),
        Ok(_) => Err(Inexpressible),
        Err(_) => {
            recording.metrics().counters.local_response_error.inc();
            Err(Inexpressible)
        }
    }
}

/// About what the record of one request takes, in bytes.
const RECORD: usize = 256;
/// Requests whose memory a connection keeps while it is idle.
const KEPT_SLOTS: usize = 32;
/// Buffers that are kept for all connections of a listener.
const KEPT_OUTPUTS: usize = 64;
