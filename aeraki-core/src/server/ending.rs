//! When a connection ends.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{io::AsyncWrite, time::Instant};
use tower_service::Service;

use super::{
    connection::{Connection, End, Intake},
    drain::Phase,
};
use crate::{
    io::Inbox,
    stack::{Request, Response},
};

impl<S> Connection<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    /// Tells how the connection ends, if it does now.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>, phase: Phase) -> Option<End> {
        if phase == Phase::Closing {
            return Some(self.cut(End::Cut));
        }
        let busy = !self.pending.is_empty() || !self.streams.is_empty();
        self.poll_release(cx, busy);
        if let Intake::Closed { eof } = self.intake
            && !busy
            && self.answers.are_written()
        {
            return Some(End::Finished { eof });
        }
        if self.poll_gone(cx) {
            return Some(self.gone());
        }
        if self.floods() {
            self.metrics.counters.outbound_flood.inc();
            return Some(self.cut(End::Cut));
        }
        if self.poll_unread(cx) {
            self.metrics.counters.tx_flush_timeout.inc();
            return Some(self.cut(End::Cut));
        }
        if self.poll_stuck(cx, busy) {
            self.metrics.counters.idle_timeout.inc();
            return Some(self.cut(End::Idle));
        }
        if self.poll_unfinished(cx, busy) {
            self.metrics.counters.unfinished_frame_timeout.inc();
            return Some(self.cut(End::Idle));
        }
        let quiet = self.quiet_limit().filter(|_| !busy)?;
        if !self.alarm.poll(cx, self.batch.moved_at + quiet) {
            return None;
        }
        if matches!(self.intake, Intake::UntilQuiet { .. }) {
            return self.answers.are_written().then_some(End::Finished { eof: false });
        }
        self.metrics.counters.idle_timeout.inc();
        Some(self.cut(End::Idle))
    }

    /// Gives memory back that only many requests at a time need, once there have been none for longer than a load
    /// pauses.
    fn poll_release(&mut self, cx: &mut Context<'_>, busy: bool) {
        if !busy && self.pending.keeps_more() && self.alarm.poll(cx, self.batch.moved_at + KEPT) {
            self.pending.release();
            self.answers.forget_kept();
        }
    }

    /// Returns how long nothing may move while no request is under way.
    fn quiet_limit(&self) -> Option<Duration> {
        match self.intake {
            Intake::UntilQuiet { .. } => Some(QUIET),
            Intake::Closed { .. } => Some(UNREAD.min(self.bounds.idle.unwrap_or(UNREAD))),
            _ => self.bounds.idle,
        }
    }

    /// Tells whether a frame has taken for too long: a large one has time as long as it comes at a [least
    /// rate](LEAST_RATE). Where the proxy does not read, it is not the client who is waited for.
    fn poll_unfinished(&mut self, cx: &mut Context<'_>, busy: bool) -> bool {
        let (Some(begun), Some(limit)) = (self.begun, self.bounds.unfinished) else { return false };
        if busy || !self.unfinished {
            self.awaited = None;
            return false;
        }
        let since = begun.max(*self.awaited.get_or_insert(self.batch.moved_at));
        let limit = limit + Duration::from_secs((self.inbox.bytes().len() / LEAST_RATE) as u64);
        self.alarm.poll(cx, since + limit)
    }

    /// Tells whether a client is gone of whom nothing is read at present, for reading would say so: who is gone would
    /// not even take nothing.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> bool {
        let reads = !self.paused && !matches!(self.intake, Intake::Closed { .. });
        if reads || !self.answers.are_written() || !self.alarm.poll(cx, self.batch.moved_at + LOOK) {
            return false;
        }
        self.alarm.poll(cx, Instant::now() + LOOK);
        matches!(Pin::new(&mut self.io).poll_write(cx, &[]), Poll::Ready(Err(_)))
    }

    /// Tells whether the client holds too much for the memory that is left: beyond its bound one large answer may wait,
    /// and nothing when there is no memory at all. Whoever shares the connections to servers with it cannot wait for
    /// it. Where answers have an order it cannot take those that wait for an earlier one, and then many fall due at
    /// once: it has [time](Self::poll_unread) as long as there is any memory.
    fn floods(&self) -> bool {
        let (unread, bound) = (self.answers.unread(), self.bounds.bytes);
        let many = || !self.answers.is_in_order() && unread > bound + self.answers.largest_unread();
        self.charge.is_over() && unread + self.streams.held() > bound && (self.charge.is_far_over() || many())
    }

    /// Tells whether the client has not taken what was there long before: where there is room, only what is beyond its
    /// bound; while there is none, anything, and the more it holds, the sooner.
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(since) = self.answers.behind_since() else { return false };
        let held = self.answers.unread() + self.streams.held();
        let patience = (STUCK / u32::try_from(held / LITTLE).unwrap_or(u32::MAX).max(1)).max(LOOK);
        if self.alarm.poll(cx, since + patience) {
            // nobody says when the room goes: it is looked for now and then
            if self.charge.is_over() || self.alarm.poll(cx, Instant::now() + patience) {
                return true;
            }
        }
        held > self.bounds.bytes && self.alarm.poll(cx, self.batch.moved_at + UNREAD)
    }

    /// Tells whether a frame has taken for long, however it came, while the budget of all connections has no room; the
    /// rest of a small one may wait for the requests that are under way.
    fn poll_stuck(&mut self, cx: &mut Context<'_>, busy: bool) -> bool {
        let little = if busy { Inbox::CHUNK } else { 0 };
        let holds = self.inbox.bytes().len() > little;
        if !holds || !self.alarm.poll(cx, self.begun.unwrap_or(self.batch.moved_at) + STUCK) {
            return false;
        }
        self.charge.is_over() || self.alarm.poll(cx, Instant::now() + STUCK)
    }

    fn cut(&self, end: End) -> End {
        self.metrics.counters.cx_destroy_local_with_active_rq.add(self.under_way());
        end
    }

    pub(super) fn gone(&self) -> End {
        self.metrics.counters.cx_destroy_remote_with_active_rq.add(self.under_way());
        End::Gone
    }

    /// Returns the number of requests that have not ended, open streams included.
    fn under_way(&self) -> u64 {
        (self.answers.unfinished() + self.streams.open()) as u64
    }
}

/// How long a client must have been quiet before the connection is closed that the proxy wants to end.
const QUIET: Duration = Duration::from_millis(100);
/// How long a connection may hold a part of a frame, or a [`little`](LITTLE) that its client does not take, while the
/// budget of all connections has no room.
const STUCK: Duration = Duration::from_secs(10);
/// Bytes a second: for each that many that have come, a frame has a second more.
const LEAST_RATE: usize = 64 * 1024;
/// How long it may hold much of it. How often it is looked for room, too, and for the client.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes for which a client has all that time.
const LITTLE: usize = 64 * 1024;
/// How long an idle connection keeps memory that only many requests at a time need.
const KEPT: Duration = Duration::from_secs(1);
/// How long a client may take nothing of its last answers, or of more than its bound.
const UNREAD: Duration = Duration::from_secs(60);
