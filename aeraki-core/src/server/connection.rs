//! One downstream connection: frames in, answers out, and everything that bounds it.

use std::{
    convert::Infallible,
    io,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use aeraki_codec::{
    Control, DecodeError, DecodeErrorKind, Decoded, Flow, Framer, Id, IdSpace, Kind, LocalReply, Message, Reason,
};
use aeraki_route::{Rules, RulesReader};
use tokio::time::Instant;
use tower_service::Service;

use super::{
    alarm::Alarm,
    answers::{Answers, Inexpressible},
    budget::Charge,
    drain::{DrainWatch, Phase},
    pending::Pending,
    streams::Streams,
};
use crate::{
    io::{Inbox, Io},
    observe::{Metrics, Recording},
    stack::{ConnInfo, Request, Response},
};

/// Serves one connection; polled by its task until it [`End`]s.
pub(super) struct Connection<S: Service<Request>> {
    pub(super) io: Box<dyn Io>,
    pub(super) conn: Arc<ConnInfo>,
    pub(super) framer: Framer,
    pub(super) inbox: Inbox,
    pub(super) rules: RulesReader,
    pub(super) stack: S,
    pub(super) pending: Pending<S::Future>,
    pub(super) answers: Answers,
    pub(super) streams: Streams,
    pub(super) intake: Intake,
    pub(super) batch: Batch,
    pub(super) bounds: Bounds,
    pub(super) charge: Charge,
    /// Whether a bound was reached when a request was last asked for.
    pub(super) paused: bool,
    /// Whether the rest of a frame was missing when the stream was last read.
    pub(super) unfinished: bool,
    /// When the frame began whose rest was missing last; none: it has come.
    pub(super) begun: Option<Instant>,
    /// Since when nothing but the rest of a frame is waited for; none: since it has begun.
    pub(super) awaited: Option<Instant>,
    pub(super) drain: DrainWatch,
    pub(super) alarm: Alarm,
    pub(super) metrics: Arc<Metrics>,
}

/// What one connection may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) requests: usize,
    pub(super) bytes: usize,
    pub(super) idle: Option<Duration>,
    /// How long a small frame may take.
    pub(super) unfinished: Option<Duration>,
}

/// What is the same for all requests of one read.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) rules: Arc<Rules>,
    pub(super) read_at: Instant,
    /// When bytes last moved, either way.
    pub(super) moved_at: Instant,
}

/// Whether further requests are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intake {
    /// All that come.
    Open,
    /// All that come, until the client has been quiet for a moment: whoever closes then takes hardly a request with the
    /// connection.
    UntilQuiet {
        /// When it is left all the same: its protocol has no goodbye, or it does not understand that.
        end: Instant,
    },
    /// Only what has come already: the client has finished, or is to be left.
    WhatIsHere {
        /// Whether the client has closed its direction.
        eof: bool,
    },
    /// None; what is under way is finished.
    Closed {
        /// Whether the client has closed its direction.
        eof: bool,
    },
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Everything was answered.
    Finished {
        /// Whether the client has closed its direction.
        eof: bool,
    },
    /// Nothing moved for too long.
    Idle,
    /// The time to drain was up, or the client did not take its answers.
    Cut,
    /// The client is gone.
    Gone,
}

impl<S> Connection<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    /// Tells the codec that the connection is open.
    pub(super) fn open(&mut self) {
        self.control(Control::Open);
    }

    /// Gives up everything but the stream.
    pub(super) fn into_io(self) -> Box<dyn Io> {
        self.io
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let phase = self.watch_drain(cx);
        let mut turn = TURN;
        loop {
            let Ok(()) = self.poll_requests(cx, &mut turn) else { return Poll::Ready(self.gone()) };
            let answered = self.poll_answers(cx);
            let carried = self.poll_streams(cx);
            let Ok(written) = self.poll_write(cx) else { return Poll::Ready(self.gone()) };
            self.recharge();
            if let Some(end) = self.poll_end(cx, phase) {
                return Poll::Ready(end);
            }
            if turn == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // only a bound makes another turn worth while: else the stream has said that nothing more is there
            let room = (self.paused && (answered || written)) || (written && self.streams.has_ready());
            if !(room || carried || self.streams.is_released()) {
                return Poll::Pending;
            }
        }
    }

    fn watch_drain(&mut self, cx: &mut Context<'_>) -> Phase {
        let phase = self.drain.poll(cx);
        if phase >= Phase::Draining && self.intake == Intake::Open {
            self.control(Control::Goodbye);
            if self.intake == Intake::Open {
                let now = Instant::now();
                self.intake = Intake::UntilQuiet { end: now + HEED };
                self.batch.moved_at = now;
            }
        }
        if let Intake::UntilQuiet { end } = self.intake
            && self.alarm.poll(cx, end)
        {
            self.intake = Intake::WhatIsHere { eof: false };
        }
        phase
    }

    /// Takes the answers of requests that have ended, and tells whether there were any.
    fn poll_answers(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Some((slot, Ok(response))) = self.pending.poll_next(cx) {
            any = true;
            self.complete(slot, response);
        }
        any
    }

    pub(super) fn complete(&mut self, slot: usize, response: Response) {
        if self.answers.complete(slot, response, self.framer.codec()) == Err(Inexpressible) {
            self.stop_reading();
            if self.answers.is_in_order() {
                self.pending.clear();
                self.answers.abandon();
                self.streams.clear();
            }
        }
        self.take_opened();
    }

    /// Takes requests as long as the bounds allow, there are any, and others need not wait for their turn.
    fn poll_requests(&mut self, cx: &mut Context<'_>, turn: &mut usize) -> io::Result<()> {
        self.unfinished = false;
        while *turn > 0 && self.may_take(cx) {
            match self.framer.decode(self.inbox.bytes(), self.batch.rules.demand()) {
                Ok(Decoded::Partial) => {
                    let begun = self.begun.unwrap_or(self.batch.read_at);
                    self.begun = (!self.inbox.is_empty()).then_some(begun);
                    match self.poll_fill(cx) {
                        Poll::Ready(filled) => filled?,
                        Poll::Pending => {
                            self.unfinished = !self.inbox.is_empty();
                            break;
                        }
                    }
                }
                Ok(Decoded::Message(message)) => {
                    self.begun = None;
                    *turn = turn.saturating_sub(message.len().max(TURN / FRAMES));
                    let message = self.answers.boxed(message);
                    self.receive(message);
                }
                Ok(Decoded::Invalid(message, error)) => {
                    self.begun = None;
                    *turn = turn.saturating_sub(message.len().max(TURN / FRAMES));
                    self.reject(&message, error);
                }
                Ok(_) => self.malformed(DecodeErrorKind::OutOfPlace),
                Err(error) => self.malformed(error.kind()),
            }
        }
        Ok(())
    }

    /// Tells whether one more request may be taken; where not, something that is under way will wake the task.
    fn may_take(&mut self, cx: &mut Context<'_>) -> bool {
        if matches!(self.intake, Intake::Closed { .. }) {
            return false;
        }
        let mut room = self.has_room(cx);
        if !room && !self.streams.is_empty() {
            // what waits for servers is written by other tasks, which say so when they are asked to
            self.streams.await_room();
            self.recharge();
            room = self.has_room(cx);
        }
        if !room && !self.paused {
            self.metrics.counters.read_paused.inc();
        }
        self.paused = !room;
        room && matches!(self.stack.poll_ready(cx), Poll::Ready(Ok(())))
    }

    fn has_room(&mut self, cx: &Context<'_>) -> bool {
        self.answers.open_requests() < self.bounds.requests
            && self.answers.held() + self.streams.held() < self.bounds.bytes
            && !self.streams.is_blocked()
            && self.charge.poll_room(cx).is_ready()
    }

    /// Reads once, where anything more is to come.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.intake == (Intake::WhatIsHere { eof: true }) {
            if !self.inbox.is_empty() {
                self.metrics.decode_error(DecodeErrorKind::Incomplete);
            }
            self.intake = Intake::Closed { eof: true };
            return Poll::Ready(Ok(()));
        }
        let filled = self.inbox.poll_fill(&mut self.io, cx, self.framer.wanted());
        // streams that are open go on, and need what is still to come
        if filled.is_pending() && self.intake == (Intake::WhatIsHere { eof: false }) && self.streams.is_empty() {
            self.intake = Intake::Closed { eof: false };
        }
        if ready!(filled)? == 0 {
            self.intake = Intake::WhatIsHere { eof: true };
            return Poll::Ready(Ok(()));
        }
        let now = Instant::now();
        self.batch = Batch { rules: Arc::clone(self.rules.load()), read_at: now, moved_at: now };
        self.recharge();
        Poll::Ready(Ok(()))
    }

    /// Has the budget know what is held for this connection.
    fn recharge(&mut self) {
        self.charge.set(self.answers.held() + self.answers.begun() + self.streams.held() + self.inbox.held());
    }

    fn receive(&mut self, message: Box<Message>) {
        self.metrics.counters.request_decoding_success.inc();
        match message.kind() {
            Kind::StreamOpen => self.open_stream(message),
            kind if kind.is_request() => _ = self.call(message),
            kind if kind.is_stream_frame() => self.receive_frame(message),
            Kind::Heartbeat | Kind::Event => {
                self.metrics.counters.request_event.inc();
                self.control(Control::Frame(&message));
            }
            _ => self.metrics.counters.request_stray.inc(),
        }
    }

    /// Hands a request to the stack, and returns its slot.
    pub(super) fn call(&mut self, message: Box<Message>) -> usize {
        let recording = self.record(&message);
        let facts = recording.facts().clone();
        let slot = self.answers.open(&message, recording);
        let request = Request::new(message, Arc::clone(&self.conn), Arc::clone(&self.batch.rules), facts);
        self.pending.push(slot, self.stack.call(request));
        slot
    }

    /// Answers a message that cannot be understood; one whose id is not known cannot be answered.
    fn reject(&mut self, message: &Message, error: DecodeError) {
        self.metrics.decode_error(error.kind());
        let reply = LocalReply::new(Reason::BadRequest, error.to_string());
        if message.kind().is_stream_frame() {
            return self.reset_unreadable(message, &reply);
        }
        if !message.kind().is_request() {
            return;
        }
        let nameless = message.id() == Id::None && self.conn.protocol.wire().id != IdSpace::None;
        self.refuse(message, reply);
        if nameless {
            self.stop_reading();
        }
    }

    /// Answers a request that the stack does not see.
    pub(super) fn refuse(&mut self, message: &Message, reply: LocalReply) {
        let recording = self.record(message);
        recording.facts().note(|record| record.reason = Some(reply.reason()));
        let slot = self.answers.open(message, recording);
        self.complete(slot, Response::Local(reply));
    }

    fn record(&mut self, message: &Message) -> Recording {
        let facts = self.answers.facts(self.batch.read_at, message);
        Recording::begin(facts, Arc::clone(&self.metrics))
    }

    /// Gives up reading: where the next frame begins is not known.
    fn malformed(&mut self, kind: DecodeErrorKind) {
        self.metrics.decode_error(kind);
        self.stop_reading();
    }

    pub(super) fn stop_reading(&mut self) {
        let eof = matches!(self.intake, Intake::WhatIsHere { eof: true } | Intake::Closed { eof: true });
        self.intake = Intake::Closed { eof };
    }

    /// Tells the codec what concerns the connection.
    fn control(&mut self, event: Control<'_>) {
        let codec = self.framer.codec();
        if matches!(self.answers.put(|output| codec.control(event, output)), Ok(Flow::Close) | Err(_)) {
            self.stop_reading();
        }
    }

    /// Writes what waits, and tells whether any of it went.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if self.answers.are_written() {
            return Ok(false);
        }
        if let Poll::Ready(Err(error)) = self.answers.poll_drain(&mut self.io, cx) {
            return Err(error);
        }
        let now = Instant::now();
        let written = self.answers.note_written(now);
        if written {
            self.batch.moved_at = now;
        }
        Ok(written)
    }
}

/// How long a client may go on with further requests while the listener drains, before it is left between two of them.
const HEED: Duration = Duration::from_secs(5);
/// Bytes of requests that are taken before other connections have their turn.
const TURN: usize = 256 * 1024;
/// Requests that are taken at most, however small.
const FRAMES: usize = 256;
