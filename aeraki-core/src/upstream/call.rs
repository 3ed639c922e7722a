//! One request on a connection of a pool.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use aeraki_codec::{Affinity, LocalReply, Message, Reason};

use super::{
    link::{Abandoned, Outcome, Refused},
    pool::{Checkout, Member, Pool},
};

impl Pool {
    /// Sends a request on the best connection and waits for its end.
    ///
    /// A request that a connection gives back unsent, because it was just ending, goes to another one.
    pub(super) async fn call(self: Arc<Self>, mut message: Message) -> Outcome {
        let mut end = None;
        let share = self.share(message.head().affinity() == Affinity::Exclusive);
        for _ in 0..ATTEMPTS {
            let member = match self.checkout(share)? {
                Checkout::Granted(member) => member,
                Checkout::Queued(ticket) => Turn { pool: &self, ticket: Some(ticket) }.await?,
            };
            let call = Call { pool: &self, member, share, stage: Stage::Unsent(message) };
            message = match call.await {
                Ok(outcome) => return outcome,
                Err(refused) => match *refused {
                    Refused { end: Some(reply), .. } if reply.reason() == Reason::ConnectFailure => return Err(reply),
                    Refused { message, end: reply } => {
                        end = reply;
                        message
                    }
                },
            };
        }
        Err(end.unwrap_or_else(|| {
            let text = format!("connections to {} end before they can be used", self.address);
            LocalReply::new(Reason::UpstreamClosed, text)
        }))
    }
}

/// Waits in the queue of a pool; leaves it when dropped.
struct Turn<'a> {
    pool: &'a Pool,
    ticket: Option<usize>,
}

impl Future for Turn<'_> {
    type Output = Result<Arc<Member>, LocalReply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(ticket) = self.ticket else { return Poll::Pending };
        let turn = ready!(self.pool.poll_granted(ticket, cx));
        self.ticket = None;
        Poll::Ready(turn)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.pool.leave(ticket);
        }
    }
}

/// Holds a share of a connection from the request to its end; gives the request up when dropped before.
struct Call<'a> {
    pool: &'a Pool,
    member: Arc<Member>,
    share: u32,
    stage: Stage,
}

#[expect(clippy::large_enum_variant, reason = "moved once, into the queue")]
enum Stage {
    Unsent(Message),
    Sent(u32),
    Ended,
}

impl Future for Call<'_> {
    type Output = Result<Outcome, Box<Refused>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Stage::Sent(slot) = self.stage {
            let outcome = ready!(self.member.link.poll_outcome(slot, cx));
            self.stage = Stage::Ended;
            return Poll::Ready(outcome);
        }
        if let Stage::Unsent(message) = mem::replace(&mut self.stage, Stage::Ended) {
            self.stage = Stage::Sent(self.member.link.submit(message, cx.waker())?);
        }
        Poll::Pending
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        match self.stage {
            Stage::Sent(slot) if self.member.link.abandon(slot) == Abandoned::Buried => {
                self.pool.bury(&self.member, self.share);
            }
            _ => self.pool.release(&self.member, self.share),
        }
    }
}

/// Connections that a request tries before it is given up, none of which sent it.
const ATTEMPTS: usize = 3;
