//! What a pool has of connections and of requests that wait; changed under its lock only.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::Waker,
};

use aeraki_codec::LocalReply;
use slab::Slab;

use crate::upstream::link::Link;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) members: Vec<Arc<Member>>,
    /// Members that take another request.
    free: Vec<Arc<Member>>,
    /// Keys of `waiters`, first come first served.
    pub(super) waiting: VecDeque<usize>,
    pub(super) waiters: Slab<Waiter>,
    /// Whether the endpoint is gone, so that a connection ends with its last request.
    pub(super) draining: bool,
    /// Whether the only connection there may be has ended.
    pub(super) ended: bool,
}

/// One connection and what is lent of it; changed under the pool's lock only.
#[derive(Debug)]
pub(in crate::upstream) struct Member {
    pub(in crate::upstream) link: Link,
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
pub(super) struct Waiter {
    pub(super) share: u32,
    pub(super) task: Option<Waker>,
    pub(super) turn: Option<Result<Arc<Member>, LocalReply>>,
}

impl State {
    pub(super) fn add(&mut self, member: Arc<Member>) {
        self.members.push(Arc::clone(&member));
        self.free.push(member);
    }

    /// Lends a share of the member that has the least to do and that much left.
    #[inline]
    pub(super) fn take(&mut self, share: u32) -> Option<Arc<Member>> {
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

    pub(super) fn give_back(&mut self, member: &Arc<Member>, share: u32) {
        let load = member.load.load(Relaxed);
        member.load.store(load - share, Relaxed);
        if member.is_retired() {
            member.finish_if_unused();
        } else if load == member.link.depth {
            self.free.push(Arc::clone(member));
        }
    }

    pub(super) fn retire(&mut self, member: &Arc<Member>) -> bool {
        if member.retired.swap(true, Relaxed) {
            return false;
        }
        member.load.fetch_sub(member.buried.swap(0, Relaxed), Relaxed);
        self.free.retain(|other| !Arc::ptr_eq(other, member));
        member.finish_if_unused();
        true
    }

    /// Returns what is lent and what is waited for.
    pub(super) fn demand(&self) -> u32 {
        let lent: u32 = self.members.iter().map(|member| member.load()).sum();
        let waited: u32 = self.waiting.iter().map(|ticket| self.waiters[*ticket].share).sum();
        lent.saturating_add(waited)
    }

    /// Returns how much can be lent at a time.
    pub(super) fn capacity(&self) -> u32 {
        let lendable = self.members.iter().filter(|member| !member.is_retired());
        lendable.map(|member| member.link.depth).fold(0, u32::saturating_add)
    }

    pub(super) fn retire_all(&mut self) {
        for member in self.members.clone() {
            self.retire(&member);
        }
    }

    /// Lets a request wait for a share.
    pub(super) fn queue(&mut self, share: u32) -> usize {
        let ticket = self.waiters.insert(Waiter { share, task: None, turn: None });
        self.waiting.push_back(ticket);
        ticket
    }

    pub(super) fn unqueue(&mut self, ticket: usize) {
        self.waiting.retain(|waiting| *waiting != ticket);
    }

    pub(super) fn fail_waiting(&mut self, reply: &LocalReply) {
        for ticket in self.waiting.drain(..) {
            self.waiters[ticket].end(Err(reply.clone()));
        }
    }
}

impl Waiter {
    pub(super) fn end(&mut self, turn: Result<Arc<Member>, LocalReply>) {
        self.turn = Some(turn);
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

impl Member {
    pub(super) const fn new(link: Link) -> Self {
        Self {
            link,
            load: AtomicU32::new(0),
            buried: AtomicU32::new(0),
            lent: AtomicU32::new(0),
            retired: AtomicBool::new(false),
        }
    }

    /// Counts a request that it is lent to; returns how many there were.
    pub(super) fn lend(&self) -> u32 {
        let lent = self.lent.load(Relaxed).saturating_add(1);
        self.lent.store(lent, Relaxed);
        lent
    }

    /// Counts a share that waits for a late answer; returns how much does. On several threads the answer may be exhumed
    /// first, and the count is below zero for a moment.
    pub(super) fn bury(&self, share: u32) -> i32 {
        let buried = self.buried.load(Relaxed).wrapping_add(share);
        self.buried.store(buried, Relaxed);
        buried.cast_signed()
    }

    pub(super) fn exhume(&self) {
        self.buried.fetch_sub(1, Relaxed);
    }

    /// Returns the requests that it was lent to, given up ones included.
    pub(in crate::upstream) fn load(&self) -> u32 {
        self.load.load(Relaxed)
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    pub(super) fn finish_if_unused(&self) {
        if self.load() == 0 {
            self.link.finish();
        }
    }
}
