//! What a driver writes: requests and frames of streams as they were queued, and the ends of streams.

use std::{
    mem,
    task::{Context, Poll},
};

use aeraki_codec::{Answer, EncodeError, Kind, LocalReply, Message, Opening, Reason};

use super::{
    super::link::{Delivered, Outcome, Work},
    Driver,
};
use crate::io::poll_drain;

impl Driver<'_> {
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LocalReply>> {
        loop {
            if self.writing {
                match poll_drain(&mut self.io, cx, &mut self.out) {
                    Poll::Ready(drained) => drained.map_err(|error| self.failed(&error))?,
                    // nobody waits for what a peer that does not read would have to take first
                    Poll::Pending if self.frames.is_empty() && self.link().is_finished() => return Poll::Ready(Ok(())),
                    Poll::Pending => return Poll::Pending,
                }
                self.writing = false;
                self.chatter = 0;
                self.note_written();
            }
            match self.link().work(self.yielded && !self.hold, &mut self.batch) {
                Work::None => return Poll::Pending,
                Work::Requests if self.hold => return Poll::Pending,
                Work::Finish => return Poll::Ready(Ok(())),
                Work::Requests if !mem::replace(&mut self.yielded, true) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Work::Requests => self.encode(),
            }
        }
    }

    fn encode(&mut self) {
        self.yielded = self.link().depth == 1;
        self.writing = true;
        self.activity.used = true;
        let mut requests = 0;
        while let Some((slot, message)) = self.batch.messages.pop_front() {
            let encoded = self.framer.codec().encode(&message, &mut self.out);
            if message.kind().is_stream_frame() {
                self.note_frame(&message, encoded);
            } else {
                requests += 1;
                match encoded {
                    Ok(()) => self.note_request(slot, message.kind()),
                    Err(error) => self.complete(slot, Err(unwritable(error))),
                }
            }
            self.boxes.empty(message);
            if self.out.len() > OUTPUT {
                // what is not written can still be given up by whoever asked for it
                self.link().take_back(&mut self.batch);
            }
        }
        self.stats().upstream_rq_total.add(requests);
        self.reset_streams();
    }

    fn note_request(&mut self, slot: u32, kind: Kind) {
        match kind {
            Kind::Oneway => self.oneways.push(slot),
            Kind::StreamOpen if self.pool.protocol.wire().opening == Opening::Silent => self.link().accept(slot),
            _ => {}
        }
    }

    fn note_frame(&mut self, message: &Message, encoded: Result<(), EncodeError>) {
        match encoded {
            Ok(()) => self.frames.push((message.id(), message.len())),
            Err(error) => self.link().fail_stream(message.id(), &unwritable(error)),
        }
    }

    /// Tells the server which streams the proxy has ended; where the protocol cannot say it, the connection serves
    /// nobody else any more.
    fn reset_streams(&mut self) {
        while let Some((receipt, reply)) = self.batch.resets.pop() {
            if self.framer.codec().reply(&receipt, &reply, &mut self.out) != Ok(Answer::Written) {
                self.pool.retire(self.member);
            }
        }
    }

    fn note_written(&mut self) {
        while let Some(slot) = self.oneways.pop() {
            self.complete(slot, Ok(None));
        }
        for (id, bytes) in self.frames.drain(..) {
            self.member.link.written(id, bytes);
        }
    }

    fn complete(&self, slot: u32, outcome: Outcome) {
        if self.link().complete(slot, outcome) == Delivered::Late {
            self.pool.exhume(self.member);
        }
    }
}

fn unwritable(error: EncodeError) -> LocalReply {
    let reason = match error {
        EncodeError::TooLarge | EncodeError::Foreign | EncodeError::NotOneMessage => Reason::BadRequest,
        EncodeError::Overflow => Reason::Overflow,
        _ => Reason::Unspecified,
    };
    LocalReply::new(reason, error.to_string())
}

/// Bytes that are written at a time, and a message more.
const OUTPUT: usize = 1 << 20;
