//! When a connection ends.

use std::{convert::Infallible, task::Context, time::Duration};

use tokio::time::Instant;
use tower_service::Service;

use super::{
    connection::{Connection, End, Intake},
    drain::Phase,
};
use crate::stack::{Request, Response};

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

    /// Gives memory back that only many requests at a time need, once there have been none for longer than a load pauses.
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

    /// Tells whether the rest of a frame has stayed away for too long. Where the proxy does not read, it is not the client
    /// who is waited for.
    fn poll_unfinished(&mut self, cx: &mut Context<'_>, busy: bool) -> bool {
        let limit = self.bounds.unfinished.filter(|_| self.unfinished && !busy);
        limit.is_some_and(|limit| self.alarm.poll(cx, self.batch.moved_at + limit))
    }

    /// Tells whether the client has neither taken its answers nor sent the rest of a frame for long, while the budget
    /// of all connections has no room.
    fn poll_stuck(&mut self, cx: &mut Context<'_>, busy: bool) -> bool {
        let holds = !self.answers.are_written() || (!busy && !self.inbox.is_empty());
        if !holds || !self.alarm.poll(cx, self.batch.moved_at + STUCK) {
            return false;
        }
        // nobody says when the room goes: it is looked for now and then
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
/// How long a connection may hold a part of a frame, or answers that its client does not take, while the budget of all
/// connections has no room.
const STUCK: Duration = Duration::from_secs(10);
/// How long an idle connection keeps memory that only many requests at a time need.
const KEPT: Duration = Duration::from_secs(1);
/// How long a client may leave its last answers unread, once no more requests are taken from it.
const UNREAD: Duration = Duration::from_secs(60);
