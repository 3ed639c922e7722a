//! Takes connections as they come, and as long as there is room for them.

#[cfg(test)]
mod tests;

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::TcpListener,
    task::{JoinSet, yield_now},
    time::timeout,
};

use super::{Accepted, Drain, Phase, ProcessLimit, Serve};
use crate::{io::Io, observe::ListenerStats, socket::original_dst};

/// Where connections come from.
pub(crate) trait Accept {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Io>, Accepted)>>;
}

/// Connections over TCP.
pub(crate) struct TcpAccept {
    pub(crate) socket: TcpListener,
    /// Whether the system is asked where they were meant to go.
    pub(crate) original_dst: bool,
}

impl Accept for TcpAccept {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Io>, Accepted)>> {
        let (stream, peer) = ready!(self.socket.poll_accept(cx))?;
        let local = stream.local_addr().or_else(|_| self.socket.local_addr())?;
        let mut accepted = Accepted::new(peer, local);
        if let Some(original) = self.original_dst.then(|| original_dst(&SockRef::from(&stream), local)).flatten() {
            accepted = accepted.with_original_dst(original);
        }
        Poll::Ready(Ok((Box::new(stream), accepted)))
    }
}

/// What becomes of the connections of a listener.
pub(super) struct Reception {
    pub(super) serve: Arc<dyn Serve>,
    pub(super) stats: Arc<ListenerStats>,
    pub(super) limit: ProcessLimit,
    pub(super) drain: Drain,
}

impl Reception {
    /// Accepts connections until the drain begins, then waits for those that are open.
    pub(super) async fn run(self, acceptor: impl Accept) {
        let mut connections = JoinSet::new();
        let mut draining = pin!(self.drain.reached(Phase::Draining));
        let mut accepted_in_turn = 0;
        loop {
            tokio::select! {
                biased;
                () = &mut draining => break,
                Some(_) = connections.join_next() => continue,
                accepted = poll_fn(|cx| acceptor.poll_accept(cx)) => match accepted {
                    Ok((io, accepted)) => self.receive(io, accepted, &mut connections),
                    Err(error) => {
                        self.stats.connections.downstream_cx_error.inc();
                        tracing::warn!(%error, "a connection could not be accepted");
                        if let Some(pause) = pause_after(&error) && timeout(pause, &mut draining).await.is_ok() {
                            break;
                        }
                    }
                },
            }
            accepted_in_turn += 1;
            if accepted_in_turn == MOST_IN_TURN {
                accepted_in_turn = 0;
                yield_now().await;
            }
        }
        drop(acceptor);
        while connections.try_join_next().is_some() {}
        self.stats.connections.downstream_cx_drain_close.add(connections.len() as u64);
        while connections.join_next().await.is_some() {}
    }

    fn receive(&self, io: Box<dyn Io>, accepted: Accepted, connections: &mut JoinSet<()>) {
        let Some(place) = self.limit.take() else {
            self.stats.connections.downstream_global_cx_overflow.inc();
            return;
        };
        let served = self.serve.serve(io, accepted, self.drain.clone());
        let counted = counted(served, Arc::clone(&self.stats));
        connections.spawn(async move {
            let _place = place;
            counted.await;
        });
    }
}

async fn counted(served: impl Future<Output = ()>, stats: Arc<ListenerStats>) {
    stats.connections.downstream_cx_total.inc();
    let _open = stats.connections.downstream_cx_active.enter();
    served.await;
}

/// Returns how long to wait before the next connection is accepted; none where the error was about one connection.
pub(crate) fn pause_after(error: &io::Error) -> Option<Duration> {
    let is_about_one_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    );
    (!is_about_one_connection).then_some(BACK_OFF)
}

/// How long to wait when the system has no room for another connection, such as too many open files.
const BACK_OFF: Duration = Duration::from_millis(100);
/// Connections that are accepted before those that are open have their turn.
const MOST_IN_TURN: u32 = 32;
