//! The connections to one endpoint in one dialect of a protocol for requests of one priority, and who may use which.

mod state;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use aeraki_codec::{LocalReply, Protocol, Reason, Serving};
use aeraki_route::config::{Decimal, RoutingPriority, SocketAddress};

pub(super) use self::state::Member;
use self::state::{State, Waiter};
use super::{
    connect::Connector, driver, endpoint::Endpoint, health::Host, link::Link, shared::Shared, slots, spare::Spares,
    stats::Budget,
};
use crate::sync::lock;

/// Lends connections to requests: the least loaded first, a new one before anybody waits.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) address: SocketAddress,
    pub(super) host: Arc<Host>,
    pub(super) protocol: Arc<dyn Protocol>,
    pub(super) dialect: u32,
    priority: RoutingPriority,
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
    /// For how many requests there are connections, in relation to those that there are; none: no more than these.
    ahead: Option<f64>,
    spares: Arc<Spares>,
    state: Mutex<State>,
}

/// What tells the pools of an endpoint apart.
#[derive(Clone, Copy)]
pub(super) struct PoolKind<'a> {
    pub(super) protocol: &'a Arc<dyn Protocol>,
    pub(super) dialect: u32,
    pub(super) priority: RoutingPriority,
}

/// What a request gets of a pool.
#[derive(Debug)]
pub(super) enum Checkout {
    Granted(Arc<Member>),
    /// All are busy: [`Pool::poll_granted`] says when it is this one's turn.
    Queued(usize),
}

impl Pool {
    pub(super) fn new(endpoint: &Endpoint, kind: &PoolKind<'_>) -> Self {
        let Endpoint { address, host, spares, shared, .. } = endpoint;
        let PoolKind { protocol, dialect, priority } = *kind;
        let wire = protocol.wire();
        let serial = !shared.config.concurrent.unwrap_or(wire.server == Serving::Concurrent);
        let default = if serial { 1 } else { DEPTH };
        let depth = shared.config.depth.unwrap_or(default).min(slots::max_depth(wire.id));
        let most = shared.config.limits.max_requests_per_connection;
        let ratio = shared.config.preconnect.per_upstream_ratio;
        Self {
            address: address.clone(),
            protocol: Arc::clone(protocol),
            dialect,
            priority,
            shared: Arc::clone(shared),
            connector: Arc::clone(&shared.connector),
            depth,
            most,
            private: false,
            one: false,
            ahead: (ratio > Decimal::ONE).then(|| ratio.value()),
            host: Arc::clone(host),
            spares: Arc::clone(spares),
            state: Mutex::default(),
        }
    }

    /// Tells whether it is of this kind. Protocols are told apart by identity: two of one name may be set up
    /// differently.
    pub(super) fn is(&self, kind: &PoolKind<'_>) -> bool {
        let same = std::ptr::addr_eq(Arc::as_ptr(&self.protocol), Arc::as_ptr(kind.protocol));
        same && (self.dialect, self.priority) == (kind.dialect, kind.priority)
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
        let checkout = self.lend_or_queue(&mut state, share)?;
        if let Some(ratio) = self.ahead {
            self.open_ahead(&mut state, ratio);
        }
        Ok(checkout)
    }

    fn lend_or_queue(self: &Arc<Self>, state: &mut State, share: u32) -> Result<Checkout, LocalReply> {
        if state.waiting.is_empty() {
            if let Some(member) = self.lend(state, share) {
                return Ok(Checkout::Granted(member));
            }
            if self.open(state)
                && let Some(member) = self.lend(state, share)
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
        self.queue(state, share)
    }

    /// Opens a few connections before they are needed, unless the endpoint is ill.
    fn open_ahead(self: &Arc<Self>, state: &mut State, ratio: f64) {
        for _ in 0..OPENED_AHEAD {
            let enough = f64::from(state.demand()) * ratio <= f64::from(state.capacity());
            if enough || !self.host.is_well() || !self.open(state) {
                return;
            }
        }
    }

    /// Lends a share of a connection, which ends with this request if it has taken as many as it may.
    #[inline]
    fn lend(&self, state: &mut State, share: u32) -> Option<Arc<Member>> {
        let member = state.take(share)?;
        if let Some(most) = self.most
            && member.lend() >= most
            && state.retire(&member)
        {
            self.shared.stats.upstream_cx_max_requests.inc();
        }
        Some(member)
    }

    fn queue(&self, state: &mut State, share: u32) -> Result<Checkout, LocalReply> {
        let Shared { config, stats, .. } = &*self.shared;
        stats.upstream_cx_overflow.inc();
        if !self.budget().wait(config.limits.of(self.priority).max_pending_requests) {
            stats.upstream_rq_pending_overflow.inc();
            let text = format!("cluster {:?} has no connection free and too many requests wait for one", config.name);
            return Err(LocalReply::new(Reason::Overflow, text));
        }
        stats.upstream_rq_pending_active.inc();
        Ok(Checkout::Queued(state.queue(share)))
    }

    fn budget(&self) -> &Budget {
        self.shared.usage.of(self.priority)
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
        state.unqueue(ticket);
        let waiter = self.stop_waiting(&mut state, ticket);
        if let Some(Ok(member)) = waiter.turn {
            state.give_back(&member, waiter.share);
        }
        self.proceed(state);
    }

    fn stop_waiting(&self, state: &mut State, ticket: usize) -> Waiter {
        self.budget().stop_waiting();
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
            if member.bury(share) > (self.depth / 2).cast_signed() {
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
            member.exhume();
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
        self.budget().disconnect();
        self.shared.stats.upstream_cx_active.dec();
        self.host.connections.dec();
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

    /// Begins a connection, a spare one or one more if the cluster's limit allows, and always a first one of a pool
    /// that is shared: who waits must have something to wait for.
    fn open(self: &Arc<Self>, state: &mut State) -> bool {
        if self.one && (state.ended || !state.members.is_empty()) {
            return false;
        }
        let takes_spares = !self.private && self.priority == RoutingPriority::Default;
        let spare = if takes_spares { self.spares.take() } else { None };
        if spare.is_none() && !self.count_one_more(state) {
            return false;
        }
        let member = Arc::new(Member::new(Link::new(self.protocol.wire().id, self.depth)));
        tokio::spawn(driver::run(Arc::clone(self), Arc::clone(&member), spare));
        state.add(member);
        true
    }

    fn count_one_more(&self, state: &State) -> bool {
        let first = state.members.is_empty() && !self.private;
        let most = if first { u32::MAX } else { self.shared.config.limits.of(self.priority).max_connections };
        let may = self.budget().connect(most);
        if may {
            self.shared.stats.upstream_cx_total.inc();
            self.shared.stats.upstream_cx_active.inc();
            self.host.connections.inc();
        }
        may
    }
}

/// Connections that are opened ahead with one request, as in Envoy.
const OPENED_AHEAD: usize = 3;
/// Requests that a connection takes at a time where its servers work on several and the cluster does not say.
const DEPTH: u32 = 256;
