//! The connections to one endpoint in one dialect of a protocol, and who may use which.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use aeraki_codec::{LocalReply, Protocol, Reason, Serving};
use slab::Slab;

use super::{cluster::Shared, connect::Connector, driver, link::Link, slots};
use crate::sync::lock;

/// Lends connections to requests: the least loaded first, a new one before anybody waits.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) address: SocketAddr,
    pub(super) protocol: Arc<dyn Protocol>,
    pub(super) dialect: u32,
    pub(super) shared: Arc<Shared>,
    /// Makes its connections.
    pub(super) connector: Arc<dyn Connector>,
    /// Requests that one connection takes at a time.
    depth: u32,
    /// Requests that one connection takes before it ends, if not any number.
    most: Option<u32>,
    /// Whether one client alone uses it.
    private: bool,
    /// Whether there is one connection only, and none after it.
    one: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    members: Vec<Arc<Member>>,
    /// Members that take another request.
    free: Vec<Arc<Member>>,
    /// Keys of `waiters`, first come first served.
    waiting: VecDeque<usize>,
    waiters: Slab<Waiter>,
    /// Whether the endpoint is gone, so that a connection ends with its last request.
    draining: bool,
    /// Whether the only connection there may be has ended.
    ended: bool,
}

/// One connection and what is lent of it; changed under the pool's lock only.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) link: Link,
    load: AtomicU32,
    /// The part of `load` that waits for late answers.
    buried: AtomicU32,
    /// Requests that it was lent to since it was made.
    lent: AtomicU32,
    /// Whether it is lent no more, and ends with its last request.
    retired: AtomicBool,
}

/// A request that waits for its turn.
#[derive(Debug)]
struct Waiter {
    share: u32,
    task: Option<Waker>,
    turn: Option<Result<Arc<Member>, LocalReply>>,
}

/// What a request gets of a pool.
#[derive(Debug)]
pub(super) enum Checkout {
    Granted(Arc<Member>),
    /// All are busy: [`Pool::poll_granted`] says when it is this one's turn.
    Queued(usize),
}

impl Pool {
    pub(super) fn new(address: SocketAddr, protocol: Arc<dyn Protocol>, dialect: u32, shared: Arc<Shared>) -> Self {
        let wire = protocol.wire();
        let serial = !shared.config.concurrent.unwrap_or(wire.server == Serving::Concurrent);
        let default = if serial { 1 } else { DEPTH };
        let depth = shared.config.depth.unwrap_or(default).min(slots::max_depth(wire.id));
        let connector = Arc::clone(&shared.connector);
        let most = shared.config.limits.max_requests_per_connection;
        let (private, one, state) = Default::default();
        Self { address, protocol, dialect, shared, connector, depth, most, private, one, state }
    }

    /// Makes it a pool of one client, which needs connections of another kind.
    pub(super) fn of_client(mut self, connector: Arc<dyn Connector>) -> Self {
        (self.private, self.connector) = (true, connector);
        self
    }

    /// Makes it a pool of a single connection, whose end ends the pool: what the server knows of it would be lost.
    pub(super) fn of_one(mut self) -> Self {
        (self.private, self.one, self.most) = (true, true, None);
        self
    }

    /// Returns the share of a connection that a request takes: all of it if it must be alone.
    pub(super) const fn share(&self, exclusive: bool) -> u32 {
        if exclusive { self.depth } else { 1 }
    }

    /// Lends a connection, or queues for one.
    pub(super) fn checkout(self: &Arc<Self>, share: u32) -> Result<Checkout, LocalReply> {
        let mut state = lock(&self.state);
        if state.waiting.is_empty() {
            if let Some(member) = self.lend(&mut state, share) {
                return Ok(Checkout::Granted(member));
            }
            if self.open(&mut state)
                && let Some(member) = self.lend(&mut state, share)
            {
                return Ok(Checkout::Granted(member));
            }
        }
        if state.ended {
            return Err(self.gone());
        }
        if self.private && state.members.is_empty() {
            return Err(self.no_room());
        }
        self.queue(&mut state, share)
    }

    /// Lends a share of a connection, which ends with this request if it has taken as many as it may.
    #[inline]
    fn lend(&self, state: &mut State, share: u32) -> Option<Arc<Member>> {
        let member = state.take(share)?;
        if let Some(most) = self.most {
            let lent = member.lent.load(Relaxed).saturating_add(1);
            member.lent.store(lent, Relaxed);
            if lent >= most && state.retire(&member) {
                self.shared.stats.upstream_cx_max_requests.inc();
            }
        }
        Some(member)
    }

    fn queue(&self, state: &mut State, share: u32) -> Result<Checkout, LocalReply> {
        let Shared { config, stats, usage, .. } = &*self.shared;
        stats.upstream_cx_overflow.inc();
        if !usage.wait(config.limits.max_pending_requests) {
            stats.upstream_rq_pending_overflow.inc();
            let text = format!("cluster {:?} has no connection free and too many requests wait for one", config.name);
            return Err(LocalReply::new(Reason::Overflow, text));
        }
        stats.upstream_rq_pending_active.inc();
        let ticket = state.waiters.insert(Waiter { share, task: None, turn: None });
        state.waiting.push_back(ticket);
        Ok(Checkout::Queued(ticket))
    }

    fn no_room(&self) -> LocalReply {
        self.shared.stats.upstream_cx_overflow.inc();
        let text = format!("cluster {:?} has no room for a connection of the client's own", self.shared.name);
        LocalReply::new(Reason::Overflow, text)
    }

    fn gone(&self) -> LocalReply {
        let text = format!("the connection to {} that belonged to this client has ended", self.address);
        LocalReply::new(Reason::UpstreamClosed, text)
    }

    /// Waits for the turn of a queued request.
    pub(super) fn poll_granted(&self, ticket: usize, cx: &Context<'_>) -> Poll<Result<Arc<Member>, LocalReply>> {
        let mut state = lock(&self.state);
        let waiter = &mut state.waiters[ticket];
        let Some(turn) = waiter.turn.take() else {
            waiter.task = Some(cx.waker().clone());
            return Poll::Pending;
        };
        self.stop_waiting(&mut state, ticket);
        Poll::Ready(turn)
    }

    /// Gives up a place in the queue.
    pub(super) fn leave(&self, ticket: usize) {
        let mut state = lock(&self.state);
        state.waiting.retain(|waiting| *waiting != ticket);
        let waiter = self.stop_waiting(&mut state, ticket);
        if let Some(Ok(member)) = waiter.turn {
            state.give_back(&member, waiter.share);
        }
        self.proceed(state);
    }

    fn stop_waiting(&self, state: &mut State, ticket: usize) -> Waiter {
        self.shared.usage.stop_waiting();
        self.shared.stats.upstream_rq_pending_active.dec();
        state.waiters.remove(ticket)
    }

    /// Takes back what was lent of a connection.
    #[inline]
    pub(super) fn release(&self, member: &Arc<Member>, share: u32) {
        let mut state = lock(&self.state);
        state.give_back(member, share);
        self.proceed(state);
    }

    /// Notes that a share of a connection waits for a late answer; too many retire it.
    pub(super) fn bury(&self, member: &Arc<Member>, share: u32) {
        self.shared.stats.upstream_rq_cancelled.inc();
        let mut state = lock(&self.state);
        if member.is_retired() {
            state.give_back(member, share);
        } else {
            // on several threads the late answer may be exhumed first, and the count is below zero for a moment
            let buried = member.buried.load(Relaxed).wrapping_add(share);
            member.buried.store(buried, Relaxed);
            if buried.cast_signed() > (self.depth / 2).cast_signed() {
                self.shared.stats.upstream_cx_retired.inc();
                state.retire(member);
            }
        }
        self.proceed(state);
    }

    /// Takes back a share whose late answer has come.
    pub(super) fn exhume(&self, member: &Arc<Member>) {
        let mut state = lock(&self.state);
        if !member.is_retired() {
            member.buried.fetch_sub(1, Relaxed);
            state.give_back(member, 1);
        }
        self.proceed(state);
    }

    /// Lends a connection no more; it ends with its last request. Tells whether it was lent until now.
    pub(super) fn retire(&self, member: &Arc<Member>) -> bool {
        lock(&self.state).retire(member)
    }

    /// Forgets a connection that has ended, with `failure` where it was never made.
    pub(super) fn remove(self: &Arc<Self>, member: &Arc<Member>, failure: Option<&LocalReply>) {
        self.shared.usage.disconnect();
        self.shared.stats.upstream_cx_active.dec();
        let mut state = lock(&self.state);
        state.retire(member);
        state.members.retain(|other| !Arc::ptr_eq(other, member));
        state.ended = self.one;
        match failure {
            Some(reply) if state.members.is_empty() => state.fail_waiting(reply),
            _ if state.ended => state.fail_waiting(&self.gone()),
            _ if state.waiting.is_empty() || self.open(&mut state) || !state.members.is_empty() => {}
            _ => state.fail_waiting(&self.no_room()),
        }
        self.proceed(state);
    }

    /// Ends all connections, each with its last request; who waits still gets one.
    pub(super) fn drain(&self) {
        let mut state = lock(&self.state);
        state.draining = true;
        self.proceed(state);
    }

    /// Serves who waits; without anybody, a draining pool retires its connections.
    #[inline]
    fn proceed(&self, mut state: MutexGuard<'_, State>) {
        if !state.waiting.is_empty() {
            self.grant(&mut state);
        }
        if state.draining && state.waiting.is_empty() {
            state.retire_all();
        }
    }

    /// Lends what is free to those who wait, in their order.
    fn grant(&self, state: &mut State) {
        while let Some(&ticket) = state.waiting.front() {
            let Some(member) = self.lend(state, state.waiters[ticket].share) else { return };
            state.waiting.pop_front();
            state.waiters[ticket].end(Ok(member));
        }
    }

    /// Begins a connection if the cluster's limit allows, and always a first one of a pool that is shared: who waits
    /// must have something to wait for.
    fn open(self: &Arc<Self>, state: &mut State) -> bool {
        if self.one && (state.ended || !state.members.is_empty()) {
            return false;
        }
        let first = state.members.is_empty() && !self.private;
        let most = if first { u32::MAX } else { self.shared.config.limits.max_connections };
        if !self.shared.usage.connect(most) {
            return false;
        }
        let stats = &self.shared.stats;
        stats.upstream_cx_total.inc();
        stats.upstream_cx_active.inc();
        let member = Arc::new(Member {
            link: Link::new(self.protocol.wire().id, self.depth),
            load: AtomicU32::new(0),
            buried: AtomicU32::new(0),
            lent: AtomicU32::new(0),
            retired: AtomicBool::new(false),
        });
        tokio::spawn(driver::run(Arc::clone(self), Arc::clone(&member)));
        state.members.push(Arc::clone(&member));
        state.free.push(member);
        true
    }
}

impl State {
    /// Lends a share of the member that has the least to do and that much left.
    #[inline]
    fn take(&mut self, share: u32) -> Option<Arc<Member>> {
        let mut best: Option<(usize, u32)> = None;
        for (place, member) in self.free.iter().enumerate().rev() {
            let load = member.load.load(Relaxed);
            if load + share <= member.link.depth && best.is_none_or(|(_, least)| load < least) {
                best = Some((place, load));
            }
            if load == 0 {
                break;
            }
        }
        let (place, load) = best?;
        let member = Arc::clone(&self.free[place]);
        member.load.store(load + share, Relaxed);
        if load + share == member.link.depth {
            self.free.swap_remove(place);
        }
        Some(member)
    }

    fn give_back(&mut self, member: &Arc<Member>, share: u32) {
        let load = member.load.load(Relaxed);
        member.load.store(load - share, Relaxed);
        if member.is_retired() {
            member.finish_if_unused();
        } else if load == member.link.depth {
            self.free.push(Arc::clone(member));
        }
    }

    fn retire(&mut self, member: &Arc<Member>) -> bool {
        if member.retired.swap(true, Relaxed) {
            return false;
        }
        member.load.fetch_sub(member.buried.swap(0, Relaxed), Relaxed);
        self.free.retain(|other| !Arc::ptr_eq(other, member));
        member.finish_if_unused();
        true
    }

    fn retire_all(&mut self) {
        for member in self.members.clone() {
            self.retire(&member);
        }
    }

    fn fail_waiting(&mut self, reply: &LocalReply) {
        for ticket in self.waiting.drain(..) {
            self.waiters[ticket].end(Err(reply.clone()));
        }
    }
}

impl Waiter {
    fn end(&mut self, turn: Result<Arc<Member>, LocalReply>) {
        self.turn = Some(turn);
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

impl Member {
    /// Returns the requests that it was lent to, given up ones included.
    pub(super) fn load(&self) -> u32 {
        self.load.load(Relaxed)
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    fn finish_if_unused(&self) {
        if self.load() == 0 {
            self.link.finish();
        }
    }
}

/// Requests that a connection takes at a time where its servers work on several and the cluster does not say.
const DEPTH: u32 = 256;
