//! Two connections of which each gets the bytes of the other.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use aeraki_codec::Wanted;
use tokio::{
    io::AsyncWrite,
    time::{Instant, timeout},
};

use super::record::{End, Recording};
use crate::{
    io::{Buffers, Inbox, Io},
    server::{DrainWatch, Phase, alarm::Alarm},
};

/// Passes bytes both ways until both directions have ended, or something ends them.
pub(super) struct Relay<'a> {
    client: &'a mut Box<dyn Io>,
    server: &'a mut Box<dyn Io>,
    up: Direction,
    down: Direction,
    bounds: Bounds,
    moved_at: Instant,
    /// When it is looked again whether a side is gone of which nothing is read at present.
    look_at: Option<Instant>,
    drain: DrainWatch,
    alarm: Alarm,
}

/// How long a connection may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Without a byte either way.
    pub(super) idle: Option<Duration>,
    /// When it ends at the latest.
    pub(super) until: Option<Instant>,
}

impl<'a> Relay<'a> {
    /// Goes on with what `up` has read from the client before the server was there.
    pub(super) fn new(
        (client, up): (&'a mut Box<dyn Io>, Direction),
        server: &'a mut Box<dyn Io>,
        buffers: &Buffers,
        bounds: Bounds,
        drain: DrainWatch,
    ) -> Self {
        let down = Direction::new(buffers);
        let (moved_at, alarm) = (Instant::now(), Alarm::default());
        Self { client, server, up, down, bounds, moved_at, look_at: None, drain, alarm }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, recording: &mut Recording) -> Poll<End> {
        let up = self.up.poll(self.client, self.server, cx);
        let down = self.down.poll(self.server, self.client, cx);
        if self.up.has_moved() | self.down.has_moved() {
            self.moved_at = Instant::now();
            recording.count(self.up.read, self.down.written);
        }
        match (up, down) {
            (Poll::Ready(Err(Failed::Reading)), _) | (_, Poll::Ready(Err(Failed::Writing))) => Poll::Ready(End::Client),
            (_, Poll::Ready(Err(Failed::Reading))) => Poll::Ready(End::Server),
            // a server that listens no more may still have something to say
            (Poll::Ready(Err(Failed::Writing)), Poll::Ready(Ok(()))) => Poll::Ready(End::Server),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(End::Finished),
            _ => match self.poll_gone(cx) {
                Some(end) => Poll::Ready(end),
                None => self.poll_bounds(cx),
            },
        }
    }

    /// Finds out whether a side is gone of which nothing is read because the other one takes nothing: reading would say
    /// so.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Option<End> {
        if !(self.up.is_blocked() || self.down.is_blocked()) {
            self.look_at = None;
            return None;
        }
        let look_at = *self.look_at.get_or_insert_with(|| Instant::now() + LOOK);
        if !self.alarm.poll(cx, look_at) {
            return None;
        }
        let next = Instant::now() + LOOK;
        self.look_at = Some(next);
        self.alarm.poll(cx, next);
        if self.up.is_blocked() && self.down.is_gone(self.client, cx) {
            return Some(End::Client);
        }
        (self.down.is_blocked() && self.up.is_gone(self.server, cx)).then_some(End::Server)
    }

    fn poll_bounds(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.drain.poll(cx) >= Phase::Closing {
            return Poll::Ready(End::Cut);
        }
        let idle = self.bounds.idle.map(|idle| (self.moved_at + idle, End::Idle));
        let until = self.bounds.until.map(|until| (until, End::MaxDuration));
        match idle.into_iter().chain(until).min_by_key(|(at, _)| *at) {
            Some((at, end)) if self.alarm.poll(cx, at) => Poll::Ready(end),
            _ => Poll::Pending,
        }
    }
}

/// Which side of a direction has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failed {
    Reading,
    Writing,
}

/// One direction: what was read is written before more is read.
#[derive(Debug)]
pub(super) struct Direction {
    inbox: Inbox,
    /// Bytes of the inbox that are written already.
    offset: usize,
    state: State,
    /// Bytes that were ever read.
    pub(super) read: u64,
    /// Bytes that were ever written.
    written: u64,
    /// The sum of both when it was last asked for.
    seen: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The source has finished; the sink has still to be told.
    Ending,
    Ended(Result<(), Failed>),
}

impl Direction {
    pub(super) fn new(buffers: &Buffers) -> Self {
        let (offset, read, written, seen) = Default::default();
        Self { inbox: Inbox::new(buffers.clone()), offset, state: State::Open, read, written, seen }
    }

    /// Reads while there is nobody to write to yet, as much as one buffer holds; ends when the source is gone: it has
    /// failed, or closed without a byte.
    pub(super) async fn watch(&mut self, from: &mut Box<dyn Io>) {
        while timeout(LOOK, poll_fn(|cx| self.poll_gone(from, cx))).await.is_err() {
            // reading would not say so any more once the buffer is full
            if poll_fn(|cx| Poll::Ready(is_gone(from, cx))).await {
                return;
            }
        }
    }

    fn poll_gone(&mut self, from: &mut Box<dyn Io>, cx: &mut Context<'_>) -> Poll<()> {
        while self.state == State::Open && self.inbox.bytes().len() < Inbox::CHUNK / 2 {
            let wanted = Wanted::AtLeast(self.inbox.bytes().len() + 1);
            match ready!(self.inbox.poll_fill(from, cx, wanted)) {
                Ok(0) if !self.inbox.is_empty() => self.state = State::Ending,
                Ok(count @ 1..) => self.read += count as u64,
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Tells whether bytes were read or written since this was last asked.
    const fn has_moved(&mut self) -> bool {
        let before = self.seen;
        self.seen = self.read + self.written;
        self.seen > before
    }

    fn poll(&mut self, from: &mut Box<dyn Io>, to: &mut Box<dyn Io>, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        if let State::Ended(result) = self.state {
            return Poll::Ready(result);
        }
        let result = ready!(self.poll_open(from, to, cx));
        self.state = State::Ended(result);
        Poll::Ready(result)
    }

    fn poll_open(
        &mut self,
        from: &mut Box<dyn Io>,
        to: &mut Box<dyn Io>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        loop {
            ready!(self.poll_write(to, cx))?;
            if self.state != State::Open {
                break;
            }
            match self.inbox.poll_fill(from, cx, Wanted::AtLeast(1)) {
                Poll::Ready(Ok(0)) => self.state = State::Ending,
                Poll::Ready(Ok(count)) => self.read += count as u64,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Failed::Reading)),
                // what TLS holds back is not to wait for more
                Poll::Pending => match Pin::new(to).poll_flush(cx) {
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Failed::Writing)),
                    _ => return Poll::Pending,
                },
            }
        }
        Pin::new(to).poll_shutdown(cx).map_err(|_| Failed::Writing)
    }

    /// Tells whether nothing is read because what was read is not taken.
    fn is_blocked(&self) -> bool {
        self.state == State::Open && !self.inbox.is_empty()
    }

    /// Tells whether the sink, which has not been told that nothing more comes, is gone.
    fn is_gone(&self, to: &mut Box<dyn Io>, cx: &mut Context<'_>) -> bool {
        self.state == State::Open && is_gone(to, cx)
    }

    /// Writes all that was read.
    fn poll_write(&mut self, to: &mut Box<dyn Io>, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        let bytes = self.inbox.bytes();
        while let Some(rest) = bytes.get(self.offset..).filter(|rest| !rest.is_empty()) {
            let Ok(count @ 1..) = ready!(Pin::new(&mut *to).poll_write(cx, rest)) else {
                return Poll::Ready(Err(Failed::Writing));
            };
            self.offset += count;
            self.written += count as u64;
        }
        bytes.clear();
        self.offset = 0;
        Poll::Ready(Ok(()))
    }
}

/// Tells whether nobody is there to write to: who is gone would not even take nothing.
fn is_gone(to: &mut Box<dyn Io>, cx: &mut Context<'_>) -> bool {
    matches!(Pin::new(to).poll_write(cx, &[]), Poll::Ready(Err(_)))
}

/// How often it is looked whether a side is gone of which nothing is read.
const LOOK: Duration = Duration::from_secs(1);
