//! The streams of one connection, by the ids that its client gave them.

mod open;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    task::Context,
    time::Duration,
};

use aeraki_codec::{Id, Kind, LocalReply, Message, Reason};
use aeraki_route::config::StreamTimeouts;
use foldhash::fast::RandomState;
use tokio::time::Instant;

pub(super) use self::open::{Open, Overdue};
use super::answers::Opened;
use crate::upstream::{Arrivals, Backlog};

/// Knows every stream from its opening to its end; none is there under two ids, and an id names one at a time.
#[derive(Debug)]
pub(super) struct Streams {
    table: HashMap<u64, Stream, RandomState>,
    bounds: StreamBounds,
    arrivals: Arc<Arrivals>,
    /// Streams that may have something for the client.
    ready: VecDeque<u64>,
    /// Streams whose end the client may not know yet, the latest last.
    ended: VecDeque<u64>,
    /// The stream whose frames cannot be taken at present, and since when: the connection is not read.
    blocked: Option<(u64, Instant)>,
    /// Since when the client has been behind, or when it was last looked at.
    pub(super) behind: Option<Instant>,
    /// No stream is overdue before.
    pub(super) due: Option<Instant>,
    /// Frames of all streams that came before their stream was open; they may be as many as those of one.
    early: Backlog,
}

/// What the streams of one connection may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamBounds {
    pub(super) streams: usize,
    /// Bytes of one stream that may wait in either direction.
    pub(super) bytes: usize,
    pub(super) timeouts: StreamTimeouts,
}

#[derive(Debug)]
struct Stream {
    /// Whether the client has ended its direction.
    finished: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Opening {
        /// The slot of the request.
        slot: usize,
        /// Frames that came early.
        early: VecDeque<Box<Message>>,
    },
    Open(Box<Open>),
}

/// What was taken out of the table.
#[derive(Debug)]
pub(super) enum Removed {
    /// Its opening is still under way in this slot.
    Opening(usize),
    Open(Box<Open>),
}

/// What became of a frame of the client.
#[derive(Debug)]
pub(super) enum Received {
    /// It is on its way.
    Taken,
    /// It was the last one of its stream.
    Last(Removed),
    /// It came too late, or behind the end of its direction.
    Dropped,
    /// No stream has its id.
    Unknown(Box<Message>),
}

impl Streams {
    pub(super) fn new(bounds: StreamBounds) -> Self {
        Self {
            table: HashMap::default(),
            bounds,
            arrivals: Arc::default(),
            ready: VecDeque::new(),
            ended: VecDeque::new(),
            blocked: None,
            behind: None,
            due: None,
            early: Backlog::NONE,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Returns the number of streams that are open, those not counted whose opening is under way.
    pub(super) fn open(&self) -> usize {
        self.table.values().filter(|stream| matches!(stream.stage, Stage::Open(_))).count()
    }

    /// Returns what waits in either direction, in bytes.
    pub(super) fn held(&self) -> usize {
        self.early.weight() + self.arrivals.held()
    }

    /// Has the task woken when less waits for servers.
    pub(super) fn await_room(&self) {
        self.arrivals.await_room();
    }

    /// Returns the id of a stream that may be opened, or why it may not.
    pub(super) fn admit(&self, id: Id) -> Result<u64, LocalReply> {
        let Id::Number(id) = id else {
            return Err(LocalReply::new(Reason::BadRequest, "the stream has no number"));
        };
        if self.table.contains_key(&id) {
            return Err(LocalReply::new(Reason::BadRequest, "there is a stream of this number already"));
        }
        if self.table.len() >= self.bounds.streams {
            return Err(LocalReply::new(Reason::Shed, "the connection has as many streams as it may"));
        }
        Ok(id)
    }

    /// Adds a stream whose opening is under way in `slot`.
    pub(super) fn add(&mut self, id: u64, slot: usize) {
        self.ended.retain(|ended| *ended != id);
        let stage = Stage::Opening { slot, early: VecDeque::new() };
        self.table.insert(id, Stream { finished: false, stage });
    }

    /// Forgets a stream whose opening in `slot` was answered like a request.
    pub(super) fn refuse(&mut self, id: u64, slot: usize) {
        let stage = self.table.get(&id).map(|stream| &stream.stage);
        if matches!(stage, Some(Stage::Opening { slot: opening, .. }) if *opening == slot) {
            self.remove(id);
        }
    }

    /// Gives up all streams.
    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.early = Backlog::NONE;
        self.rest();
    }

    /// Forgets what was of streams that are gone, and memory that only many need.
    fn rest(&mut self) {
        self.ready.clear();
        (self.blocked, self.behind, self.due) = (None, None, None);
        if self.table.capacity() > KEPT {
            (self.table, self.ready) = Default::default();
        }
    }

    /// Takes a stream for open and sends on what came early.
    pub(super) fn open_up(&mut self, opened: Opened, now: Instant) {
        let id = opened.receipt.id().number();
        let Some(stream) = self.table.get_mut(&id) else { return };
        let Stage::Opening { early, .. } = &mut stream.stage else { return };
        opened.handle.attach(Arc::clone(&self.arrivals), id, self.bounds.bytes);
        let mut open = Open::new(opened, self.bounds.timeouts, now);
        for message in early.drain(..) {
            self.early.remove(message.len());
            open.send(message, now);
        }
        self.due = self.due.into_iter().chain(open.due()).min();
        self.ready.push_back(id);
        stream.stage = Stage::Open(Box::new(open));
    }

    /// Takes a frame of the client.
    pub(super) fn receive(&mut self, message: Box<Message>, now: Instant) -> Received {
        let Id::Number(id) = message.id() else { return Received::Unknown(message) };
        let kind = message.kind();
        let Some(stream) = self.table.get_mut(&id) else {
            let known = self.ended.contains(&id);
            if kind != Kind::StreamData {
                self.ended.retain(|ended| *ended != id);
            }
            return if known { Received::Dropped } else { Received::Unknown(message) };
        };
        if stream.finished && kind != Kind::StreamReset {
            return Received::Dropped;
        }
        stream.finished = kind != Kind::StreamData;
        let (last, full) = match &mut stream.stage {
            Stage::Opening { early, .. } => {
                self.early.add(message.len());
                early.push_back(message);
                (kind == Kind::StreamReset, self.early.exceeds(self.bounds.bytes))
            }
            Stage::Open(open) => {
                let full = open.send(message, now);
                (kind == Kind::StreamReset || (stream.finished && open.finished), full)
            }
        };
        if last {
            return self.remove(id).map_or(Received::Taken, Received::Last);
        }
        if full {
            self.blocked = Some((id, now));
        }
        Received::Taken
    }

    /// Takes a stream out; frames of the client that are still on their way are expected.
    pub(super) fn remove(&mut self, id: u64) -> Option<Removed> {
        let Stream { finished, stage } = self.table.remove(&id)?;
        if self.table.is_empty() {
            self.rest();
        }
        if !finished {
            self.ended.push_back(id);
            if self.ended.len() > ENDED {
                self.ended.pop_front();
            }
        }
        Some(match stage {
            Stage::Opening { slot, early } => {
                early.iter().for_each(|message| self.early.remove(message.len()));
                Removed::Opening(slot)
            }
            Stage::Open(open) => Removed::Open(open),
        })
    }

    /// Returns a stream that is open.
    pub(super) fn get(&mut self, id: u64) -> Option<&mut Open> {
        match &mut self.table.get_mut(&id)?.stage {
            Stage::Open(open) => Some(open),
            Stage::Opening { .. } => None,
        }
    }

    /// Notes a frame of the server that goes to the client; returns the stream when it was the last one.
    pub(super) fn sent(&mut self, id: u64, kind: Kind, bytes: u64, now: Instant) -> Option<Removed> {
        let stream = self.table.get_mut(&id)?;
        let Stage::Open(open) = &mut stream.stage else { return None };
        open.note_sent(kind, bytes, now);
        let last = kind == Kind::StreamReset || (open.finished && stream.finished);
        if last { self.remove(id) } else { None }
    }

    /// Tells whether the frames of a stream cannot be taken, so that the connection is not to be read.
    pub(super) fn is_blocked(&mut self) -> bool {
        let full = self.blocked.is_some_and(|(id, _)| match self.table.get(&id).map(|stream| &stream.stage) {
            Some(Stage::Opening { .. }) => self.early.exceeds(self.bounds.bytes),
            Some(Stage::Open(open)) => open.handle.is_full(),
            None => false,
        });
        if !full {
            self.blocked = None;
        }
        full
    }

    /// Tells whether the connection is to be read again that was not.
    pub(super) fn is_released(&mut self) -> bool {
        self.blocked.is_some() && !self.is_blocked()
    }

    /// Returns the stream whose frames cannot be taken, and since when.
    pub(super) const fn blocked(&self) -> Option<(u64, Instant)> {
        self.blocked
    }

    /// Finds out which streams have something; the task is woken when more have.
    pub(super) fn gather(&mut self, cx: &Context<'_>) {
        self.arrivals.gather(cx.waker(), &mut self.ready);
        // of a client that reads nothing, streams may come and go without end
        if self.ready.len() > 2 * self.table.len() {
            let mut seen = HashSet::new();
            self.ready.retain(|id| self.table.contains_key(id) && seen.insert(*id));
        }
    }

    /// Returns the next stream that may have something.
    pub(super) fn next_ready(&mut self) -> Option<u64> {
        self.ready.pop_front()
    }

    /// Has a stream looked at again, after the others.
    pub(super) fn again(&mut self, id: u64) {
        self.ready.push_back(id);
    }

    /// Tells whether any stream may have something.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Lists the streams that have kept the connection of their server from being read for as long as `limit`.
    pub(super) fn stalled(&self, limit: Duration, now: Instant) -> Vec<u64> {
        self.list(|stream| match &stream.stage {
            Stage::Open(open) => open.handle.stalled_since().is_some_and(|since| since + limit <= now),
            Stage::Opening { .. } => false,
        })
    }

    /// Lists the streams whose direction the client has not ended.
    pub(super) fn unfinished(&self) -> Vec<u64> {
        self.list(|stream| !stream.finished)
    }

    fn list(&self, is: impl Fn(&Stream) -> bool) -> Vec<u64> {
        self.table.iter().filter(|(_, stream)| is(stream)).map(|(id, _)| *id).collect()
    }

    /// Lists the streams whose time is up at `now`, and notes when the next one's is.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<(u64, Overdue)> {
        let mut overdue = Vec::new();
        self.due = None;
        for (id, stream) in &self.table {
            let Stage::Open(open) = &stream.stage else { continue };
            match open.overdue(now) {
                Some(time) => overdue.push((*id, time)),
                None => self.due = self.due.into_iter().chain(open.due()).min(),
            }
        }
        overdue
    }
}

/// Streams for which memory is kept while there are none.
const KEPT: usize = 16;
/// Streams of which late frames of the client are expected, at most.
const ENDED: usize = 64;

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker;

    use super::*;

    #[test]
    fn nothing_is_kept_of_streams_that_were_gone_before_the_client_read() {
        let bounds = StreamBounds { streams: 10, bytes: 1, timeouts: StreamTimeouts::default() };
        let mut streams = Streams::new(bounds);
        streams.add(0, 0);
        for id in 1..100 {
            streams.add(id, 1);
            streams.arrivals.put(id);
            streams.arrivals.put(0);
            streams.remove(id);
            streams.gather(&Context::from_waker(&noop_waker()));
            assert!(streams.ready.len() <= 2, "{:?}", streams.ready);
        }
        assert!(streams.ready.contains(&0));
    }
}
