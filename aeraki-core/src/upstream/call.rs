//! One request on a connection of a pool.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use aeraki_codec::{Affinity, IdSpace, Kind, LocalReply, Message, Reason};

use super::{
    link::{Abandoned, Ended, Refused},
    pool::{Checkout, Member, Pool},
    stream::StreamHandle,
};
use crate::stack::{BoxFuture, Response};

/// How a request ended, or why it has no answer.
pub(super) type Exchanged = Result<Response, LocalReply>;

impl Pool {
    /// Sends a request on the best connection: at once where there is one, else when its turn comes.
    ///
    /// A request that a connection gives back unsent, because it was just ending, goes to another one.
    pub(super) fn call(self: &Arc<Self>, message: Box<Message>) -> Exchange {
        let share = self.share(message.head().affinity() == Affinity::Exclusive);
        if message.kind() == Kind::StreamOpen && !matches!(self.protocol.wire().id, IdSpace::Bits(_)) {
            let reply = LocalReply::new(Reason::Unspecified, "streams need a protocol whose ids are numbers");
            return Exchange { share, stage: Stage::Failed(Some(reply)) };
        }
        let stage = match self.checkout(share) {
            Ok(Checkout::Granted(member)) => match Call::begin(self, member, share, message) {
                Ok(call) => Stage::Sent(call),
                Err(refused) => Stage::later(self, share, refused, None),
            },
            Ok(Checkout::Queued(ticket)) => {
                let turn = Turn { pool: Arc::clone(self), ticket: Some(ticket) };
                Stage::later(self, share, Refused { message, end: None }, Some(turn))
            }
            Err(reply) => Stage::Failed(Some(reply)),
        };
        Exchange { share, stage }
    }

    async fn call_later(self: Arc<Self>, share: u32, mut unsent: Refused, mut turn: Option<Turn>) -> Exchanged {
        for _ in 0..ATTEMPTS {
            if let Some(failure) = unsent.end.take_if(|end| end.reason() == Reason::ConnectFailure) {
                return Err(failure);
            }
            let member = match turn.take() {
                Some(turn) => turn.await?,
                None => match self.checkout(share)? {
                    Checkout::Granted(member) => member,
                    Checkout::Queued(ticket) => Turn { pool: Arc::clone(&self), ticket: Some(ticket) }.await?,
                },
            };
            unsent = match Call::begin(&self, member, share, unsent.message) {
                Ok(call) => match call.await {
                    Ok(outcome) => return outcome,
                    Err(refused) => refused,
                },
                Err(refused) => refused,
            };
        }
        Err(unsent.end.unwrap_or_else(|| {
            let text = format!("connections to {} end before they can be used", self.address);
            LocalReply::new(Reason::UpstreamClosed, text)
        }))
    }
}

/// The way of one request through a pool; small as long as the first connection takes it.
pub(super) struct Exchange {
    share: u32,
    stage: Stage,
}

enum Stage {
    Sent(Call),
    Later(BoxFuture<Exchanged>),
    Failed(Option<LocalReply>),
}

impl Stage {
    fn later(pool: &Arc<Pool>, share: u32, unsent: Refused, turn: Option<Turn>) -> Self {
        Self::Later(Box::pin(Arc::clone(pool).call_later(share, unsent, turn)))
    }
}

impl Future for Exchange {
    type Output = Exchanged;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Exchanged> {
        loop {
            let share = self.share;
            match &mut self.stage {
                Stage::Sent(call) => match ready!(Pin::new(&mut *call).poll(cx)) {
                    Ok(outcome) => return Poll::Ready(outcome),
                    Err(refused) => self.stage = Stage::later(&Arc::clone(&call.pool), share, refused, None),
                },
                Stage::Later(later) => return later.as_mut().poll(cx),
                Stage::Failed(reply) => return reply.take().map_or(Poll::Pending, |reply| Poll::Ready(Err(reply))),
            }
        }
    }
}

/// Waits in the queue of a pool; leaves it when dropped.
struct Turn {
    pool: Arc<Pool>,
    ticket: Option<usize>,
}

impl Future for Turn {
    type Output = Result<Arc<Member>, LocalReply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(ticket) = self.ticket else { return Poll::Pending };
        let turn = ready!(self.pool.poll_granted(ticket, cx));
        self.ticket = None;
        Poll::Ready(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.pool.leave(ticket);
        }
    }
}

/// Holds a share of a connection from the request to its end; gives the request up when dropped before.
struct Call {
    pool: Arc<Pool>,
    member: Arc<Member>,
    /// Zero once a stream has taken it over.
    share: u32,
    slot: Option<u32>,
}

impl Call {
    #[inline]
    fn begin(pool: &Arc<Pool>, member: Arc<Member>, share: u32, message: Box<Message>) -> Result<Self, Refused> {
        let mut call = Self { pool: Arc::clone(pool), member, share, slot: None };
        call.slot = Some(call.member.link.submit(message)?);
        Ok(call)
    }
}

impl Future for Call {
    type Output = Result<Exchanged, Refused>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(slot) = self.slot else { return Poll::Pending };
        let ended = ready!(self.member.link.poll_outcome(slot, cx));
        self.slot = None;
        Poll::Ready(match ended {
            Ended::With(Ok(answer)) => Ok(Ok(answer.map_or(Response::Oneway, Response::Message))),
            Ended::With(Err(reply)) => Ok(Err(reply)),
            Ended::Unsent(refused) => Err(refused),
            Ended::Opened(first) => {
                let share = mem::take(&mut self.share);
                let handle = StreamHandle::new(Arc::clone(&self.pool), Arc::clone(&self.member), share, slot);
                Ok(Ok(Response::Stream(first, Box::new(handle))))
            }
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        match self.slot {
            Some(slot) if self.member.link.abandon(slot) == Abandoned::Buried => {
                self.pool.bury(&self.member, self.share);
            }
            _ if self.share == 0 => {}
            _ => self.pool.release(&self.member, self.share),
        }
    }
}

/// Connections that a request tries before it is given up, none of which sent it.
const ATTEMPTS: usize = 3;
