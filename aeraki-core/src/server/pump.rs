//! Carries the frames of streams between a client and its servers, and ends streams.

use std::{convert::Infallible, task::Context, time::Duration};

use aeraki_codec::{Answer, Id, Kind, LocalReply, Message, Reason, Receipt};
use tokio::time::Instant;
use tower_service::Service;

use super::{
    answers::Opening,
    connection::{Connection, Intake},
    streams::{Overdue, Received, Removed},
};
use crate::{
    stack::{Request, Response},
    upstream::Arrival,
};

impl<S> Connection<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    /// Asks for a stream, unless it cannot be.
    pub(super) fn open_stream(&mut self, message: Box<Message>) {
        match self.streams.admit(message.id()) {
            Ok(id) => {
                let slot = self.call(message);
                self.streams.add(id, slot);
            }
            Err(reply) => self.refuse(&message, reply),
        }
    }

    /// Takes a frame of the client.
    pub(super) fn receive_frame(&mut self, message: Box<Message>) {
        let (kind, bytes) = (message.kind(), message.len() as u64);
        let counters = &self.metrics.counters;
        match self.streams.receive(message, self.batch.read_at) {
            Received::Dropped => return counters.stream_stray.inc(),
            Received::Unknown(message) => {
                counters.stream_stray.inc();
                return self.reset_unknown(&message);
            }
            Received::Last(removed) => {
                if kind == Kind::StreamReset {
                    counters.stream_reset_remote.inc();
                }
                self.finish(removed);
            }
            Received::Taken => {}
        }
        let counters = &self.metrics.counters;
        counters.stream_frames_received.inc();
        counters.stream_bytes_received.add(bytes);
    }

    /// Takes note of what became of openings that were answered.
    pub(super) fn take_opened(&mut self) {
        while let Some(opening) = self.answers.openings.pop() {
            match opening {
                Opening::Opened(opened) => self.streams.open_up(opened, Instant::now()),
                Opening::Refused { id, slot } => self.streams.refuse(id, slot),
            }
        }
    }

    /// Carries frames to the client as long as it takes them, and tells whether there were any.
    pub(super) fn poll_streams(&mut self, cx: &mut Context<'_>) -> bool {
        if self.streams.is_empty() {
            return false;
        }
        let mut any = self.end_streams(cx);
        self.streams.gather(cx);
        let now = Instant::now();
        while self.answers.output.len() < OUTPUT
            && let Some(id) = self.streams.next_ready()
        {
            any |= self.carry(id, now);
        }
        if self.streams.has_ready() {
            self.streams.behind.get_or_insert(now);
        } else {
            self.streams.behind = None;
        }
        any
    }

    /// Carries one frame to the client.
    fn carry(&mut self, id: u64, now: Instant) -> bool {
        let Some(open) = self.streams.get(id) else { return false };
        let mut message = match open.handle.take() {
            Arrival::Frame(message) => message,
            Arrival::Failed(reply) => {
                self.reset_stream(id, &reply);
                return true;
            }
            Arrival::Nothing => return false,
        };
        let kind = message.kind();
        message.set_id(id);
        let codec = self.framer.codec();
        let encoded = self.answers.put(|output| codec.encode(&message, output));
        if let Err(error) = encoded {
            let text = format!("a frame of the server cannot be written: {error}");
            self.reset_stream(id, &LocalReply::new(Reason::BadResponse, text));
            return true;
        }
        let bytes = message.len() as u64;
        self.answers.recycle(message);
        let counters = &self.metrics.counters;
        counters.stream_frames_sent.inc();
        counters.stream_bytes_sent.add(bytes);
        match self.streams.sent(id, kind, bytes, now) {
            Some(removed) => {
                if kind == Kind::StreamReset {
                    counters.stream_reset_remote.inc();
                }
                self.finish(removed);
            }
            None => self.streams.again(id),
        }
        true
    }

    /// Closes the record of a stream whose end both sides know or will hear of.
    fn finish(&mut self, removed: Removed) {
        match removed {
            Removed::Open(open) => open.handle.finish(),
            Removed::Opening(slot) => self.cancel(slot, Response::Oneway),
        }
    }

    /// Ends an opening that is under way.
    fn cancel(&mut self, slot: usize, response: Response) {
        self.pending.remove(slot);
        self.complete(slot, response);
    }

    /// Ends a stream in the proxy's own name, towards both sides.
    fn reset_stream(&mut self, id: u64, reply: &LocalReply) {
        match self.streams.remove(id) {
            Some(Removed::Opening(slot)) => self.cancel(slot, Response::Local(reply.clone())),
            Some(Removed::Open(open)) => {
                self.metrics.counters.stream_reset_local.inc();
                open.recording.facts().note(|record| record.reason = Some(reply.reason()));
                self.write_reset(&open.receipt, reply);
            }
            None => {}
        }
    }

    /// Ends the stream of a frame that cannot be understood, as far as it is known which one that is.
    pub(super) fn reset_unreadable(&mut self, message: &Message, reply: &LocalReply) {
        if let Id::Number(id) = message.id() {
            self.reset_stream(id, reply);
        }
    }

    fn reset_unknown(&mut self, message: &Message) {
        // a reset is not answered by a reset: that would never end
        if message.kind() != Kind::StreamReset {
            let reply = LocalReply::new(Reason::BadRequest, "there is no stream of this number");
            self.write_reset(&message.receipt(), &reply);
        }
    }

    fn write_reset(&mut self, receipt: &Receipt, reply: &LocalReply) {
        let codec = self.framer.codec();
        if self.answers.put(|output| codec.reply(receipt, reply, output)) != Ok(Answer::Written) {
            self.stop_reading();
        }
    }

    /// Ends the streams that cannot go on, and tells whether there were any.
    fn end_streams(&mut self, cx: &mut Context<'_>) -> bool {
        self.end_unreadable() | self.end_timed_out(cx) | self.end_blocked(cx) | self.end_behind(cx)
    }

    /// Ends the streams that need more of a client of whom nothing more is read.
    fn end_unreadable(&mut self) -> bool {
        if !matches!(self.intake, Intake::Closed { .. }) {
            return false;
        }
        let unfinished = self.streams.unfinished();
        for id in &unfinished {
            self.reset_stream(*id, &LocalReply::new(Reason::Unspecified, "nothing more is read of the client"));
        }
        !unfinished.is_empty()
    }

    fn end_timed_out(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.streams.due.is_some_and(|due| self.alarm.poll(cx, due)) {
            return false;
        }
        for (id, overdue) in self.streams.overdue(Instant::now()) {
            let counters = &self.metrics.counters;
            let (counter, text) = match overdue {
                Overdue::Idle(limit) => {
                    (&counters.stream_idle_timeout, format!("no frame of the stream within {limit:?}"))
                }
                Overdue::Total(limit) => (&counters.stream_total_timeout, format!("the stream has lasted {limit:?}")),
            };
            counter.inc();
            self.reset_stream(id, &LocalReply::new(Reason::Timeout, text));
        }
        true
    }

    /// Ends a stream whose server does not take what keeps the client's connection from being read.
    fn end_blocked(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((id, since)) = self.streams.blocked() else { return false };
        if !self.streams.is_blocked() || !self.alarm.poll(cx, since + STALLED) {
            return false;
        }
        self.end_stalled(id, "the server does not take the frames of the stream");
        true
    }

    /// Ends the streams whose client does not take what keeps the connection of their server from being read.
    fn end_behind(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Some(since) = self.streams.behind
            && self.alarm.poll(cx, since + LOOK)
        {
            let now = Instant::now();
            self.streams.behind = Some(now);
            for id in self.streams.stalled(STALLED, now) {
                any = true;
                self.end_stalled(id, "the client does not take the frames of the stream");
            }
        }
        any
    }

    fn end_stalled(&mut self, id: u64, text: &'static str) {
        self.metrics.counters.stream_stalled.inc();
        self.reset_stream(id, &LocalReply::new(Reason::Overflow, text));
    }
}

/// Bytes that wait for the client before frames of streams wait where they are.
const OUTPUT: usize = 64 * 1024;
/// How long one stream may keep others waiting because one side does not take what the other has sent.
const STALLED: Duration = Duration::from_secs(10);
/// How often it is looked for streams that do.
const LOOK: Duration = Duration::from_secs(1);
