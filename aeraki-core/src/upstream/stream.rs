//! Streams as the connections of clients have them: a handle on each, and who is told of what arrives.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::Waker,
};

use aeraki_codec::{LocalReply, Message, Reason};
use aeraki_route::config::StreamTimeouts;
use tokio::time::Instant;

use super::{
    endpoint::Active,
    pool::{Member, Pool},
    shared::Admitted,
};
use crate::sync::lock;

/// A stream that is open at a server, in the hands of the client's connection; dropped before its end, it is reset.
pub struct StreamHandle {
    pool: Arc<Pool>,
    member: Arc<Member>,
    share: u32,
    slot: u32,
    /// Whether the server need not be told that it has ended.
    finished: bool,
    timeouts: StreamTimeouts,
    /// Counts the stream as a request under way.
    place: Option<(Active, Admitted)>,
}

impl StreamHandle {
    pub(super) fn new(pool: Arc<Pool>, member: Arc<Member>, share: u32, slot: u32) -> Self {
        Self { pool, member, share, slot, finished: false, timeouts: StreamTimeouts::default(), place: None }
    }

    /// Keeps what counts the stream as under way.
    pub(super) fn keep(&mut self, place: Option<(Active, Admitted)>) {
        self.place = place;
    }

    /// Returns how long the stream may last, as its route says.
    #[must_use]
    pub const fn timeouts(&self) -> StreamTimeouts {
        self.timeouts
    }

    /// Sets how long the stream may last.
    pub const fn set_timeouts(&mut self, timeouts: StreamTimeouts) {
        self.timeouts = timeouts;
    }

    /// Has `arrivals` told of all that comes, under `key`; more than `bound` bytes may not wait in either direction.
    pub(crate) fn attach(&self, arrivals: Arc<Arrivals>, key: u64, bound: usize) {
        self.member.link.attach_reader(self.slot, arrivals, key, bound);
    }

    /// Sends a frame to the server, under the stream's id there; tells whether more waits now than may.
    pub(crate) fn send(&self, message: Box<Message>) -> bool {
        self.member.link.send_frame(self.slot, message)
    }

    /// Takes what has arrived.
    pub(crate) fn take(&self) -> Arrival {
        self.member.link.take_frame(self.slot)
    }

    /// Tells whether more waits for the server than may; the reader is told when that is over.
    pub(crate) fn is_full(&self) -> bool {
        self.member.link.is_full(self.slot)
    }

    /// Returns since when so much waits here that the server's connection is not read; none where it is.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.member.link.stalled_since(self.slot)
    }

    /// Gives the stream back, of whose end the server knows or will be told by what was sent.
    pub(crate) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        let reset = (!self.finished).then(|| LocalReply::new(Reason::Unspecified, "the stream was given up"));
        self.member.link.end_stream(self.slot, reset);
        self.pool.release(&self.member, self.share);
    }
}

impl fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamHandle").field("server", &self.pool.address).finish_non_exhaustive()
    }
}

/// What a stream has for its reader.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A frame of the server.
    Frame(Box<Message>),
    /// The stream has ended without a word of the server.
    Failed(LocalReply),
    /// Nothing until the reader is told again.
    Nothing,
}

/// Which streams of one downstream connection have something for it, and what they hold together.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    state: Mutex<Told>,
    held: AtomicUsize,
    /// Whether the task is to be told when any frame has been written.
    awaited: AtomicBool,
}

#[derive(Debug, Default)]
struct Told {
    keys: Vec<u64>,
    task: Option<Waker>,
}

impl Arrivals {
    /// Notes that a stream has something, and returns the task where it has to be woken for that.
    pub(crate) fn put(&self, key: u64) -> Option<Waker> {
        let mut told = lock(&self.state);
        told.keys.push(key);
        told.task.clone()
    }

    /// Adds the streams that have something since the last call; the task is woken when more have.
    pub(crate) fn gather(&self, task: &Waker, ready: &mut VecDeque<u64>) {
        let mut told = lock(&self.state);
        ready.extend(told.keys.drain(..));
        match &mut told.task {
            Some(known) => known.clone_from(task),
            None => told.task = Some(task.clone()),
        }
    }

    pub(super) fn charge(&self, weight: usize) {
        self.held.fetch_add(weight, SeqCst);
    }

    pub(super) fn discharge(&self, weight: usize) {
        self.held.fetch_sub(weight, SeqCst);
    }

    /// Has the task woken when less is held than now.
    pub(crate) fn await_room(&self) {
        self.awaited.store(true, SeqCst);
    }

    pub(super) fn take_awaited(&self) -> bool {
        self.awaited.swap(false, SeqCst)
    }

    /// Returns what waits in either direction, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.held.load(SeqCst)
    }
}

/// Frames that wait in one direction of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backlog {
    frames: usize,
    bytes: usize,
}

impl Backlog {
    pub(crate) const NONE: Self = Self { frames: 0, bytes: 0 };

    pub(crate) fn add(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes;
    }

    pub(crate) fn remove(&mut self, bytes: usize) {
        self.frames -= 1;
        self.bytes -= bytes;
    }

    /// Tells whether it has more than `bound` bytes, or more frames than are worth that memory.
    pub(crate) const fn exceeds(&self, bound: usize) -> bool {
        self.bytes > bound || self.frames > bound / LEAST
    }

    /// Returns about what it takes, in bytes.
    pub(crate) const fn weight(&self) -> usize {
        self.bytes + self.frames * size_of::<Message>()
    }
}

/// Returns about what a frame of so many bytes takes while it waits.
pub(super) const fn weigh(bytes: usize) -> usize {
    bytes + size_of::<Message>()
}

/// Bytes that a frame counts for at least in the end: windows of protocols count bytes, and small frames may fill them.
const LEAST: usize = 64;
