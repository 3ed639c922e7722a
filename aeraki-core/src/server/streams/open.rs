//! One stream that is open, and how long it may last.

use std::time::Duration;

use aeraki_codec::{Kind, Message, Receipt};
use aeraki_route::config::StreamTimeouts;
use tokio::time::Instant;

use super::super::answers::Opened;
use crate::{observe::Recording, upstream::StreamHandle};

/// A stream that is open.
#[derive(Debug)]
pub(in super::super) struct Open {
    pub(in super::super) handle: Box<StreamHandle>,
    pub(in super::super) receipt: Receipt,
    pub(in super::super) recording: Recording,
    /// Whether the server has ended its direction.
    pub(super) finished: bool,
    moved_at: Instant,
    idle: Option<Duration>,
    total: Option<Duration>,
    opened_at: Instant,
}

/// Which time of a stream is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Overdue {
    Idle(Duration),
    Total(Duration),
}

impl Open {
    pub(super) fn new(opened: Opened, default: StreamTimeouts, now: Instant) -> Self {
        let Opened { receipt, recording, handle } = opened;
        let timeouts = handle.timeouts().or(default);
        let opened_at = recording.facts().note(|record| record.started);
        Self {
            handle,
            receipt,
            recording,
            finished: false,
            moved_at: now,
            idle: timeouts.idle_limit(),
            total: timeouts.total_limit(),
            opened_at,
        }
    }

    /// Sends a frame of the client on; tells whether more waits for the server now than may.
    pub(super) fn send(&mut self, message: Box<Message>, now: Instant) -> bool {
        self.moved_at = now;
        let bytes = message.len() as u64;
        self.recording.facts().note(|record| {
            if let Some(traffic) = &mut record.stream {
                traffic.frames_received += 1;
                traffic.bytes_received += bytes;
            }
        });
        self.handle.send(message)
    }

    /// Notes a frame of the server that goes to the client.
    pub(super) fn note_sent(&mut self, kind: Kind, bytes: u64, now: Instant) {
        self.moved_at = now;
        self.finished = kind != Kind::StreamData && kind != Kind::StreamOpen;
        self.recording.facts().note(|record| {
            if let Some(traffic) = &mut record.stream {
                traffic.frames_sent += 1;
                traffic.bytes_sent += bytes;
            }
        });
    }

    /// Returns when its time is up, if nothing moves until then.
    pub(super) fn due(&self) -> Option<Instant> {
        let idle = self.idle.map(|idle| self.moved_at + idle);
        let total = self.total.map(|total| self.opened_at + total);
        idle.into_iter().chain(total).min()
    }

    pub(super) fn overdue(&self, now: Instant) -> Option<Overdue> {
        let is_up = |since: Instant| move |limit: &Duration| since + *limit <= now;
        let total = self.total.filter(is_up(self.opened_at)).map(Overdue::Total);
        total.or_else(|| self.idle.filter(is_up(self.moved_at)).map(Overdue::Idle))
    }
}
