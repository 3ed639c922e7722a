//! Downstream: listeners, connections, and what runs on them.
//!
//! A connection cuts frames, hands requests to its stack and writes their answers; `pump` carries the frames of the
//! streams that it has open.

mod accept;
pub(crate) mod alarm;
mod answers;
mod budget;
pub(crate) mod closing;
mod connection;
mod connection_limit;
mod drain;
mod ending;
mod filter_chains;
mod group;
mod hello;
mod inspect;
mod listener;
mod pending;
mod pipe;
mod prefixed;
mod proxy_protocol;
mod pump;
mod rpc;
mod streams;
#[cfg(test)]
mod tests;

use std::{fmt, net::SocketAddr, sync::Arc};

#[cfg(feature = "admin")]
pub(crate) use self::accept::{Accept, TcpAccept, pause_after};
pub(crate) use self::inspect::Inspection;
pub use self::{
    budget::Budget,
    connection_limit::{ConnectionLimit, ProcessLimit},
    drain::{Drain, DrainWatch, ListenerDrains, Phase},
    filter_chains::FilterChains,
    listener::{Listener, ListenerOptions},
    proxy_protocol::ProxyProtocol,
    rpc::Rpc,
};
use crate::{io::Io, stack::BoxFuture};

/// Runs on the connections of a listener.
pub trait Serve: Send + Sync + fmt::Debug + 'static {
    /// Serves one connection until it ends; `drain` tells when it should.
    fn serve(&self, io: Box<dyn Io>, accepted: Accepted, drain: Drain) -> BoxFuture<()>;
}

/// What is known of a connection before its first request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Accepted {
    /// Address of the peer; over a Unix socket, where there is none, `[::]:0`, as is `local`.
    pub peer: SocketAddr,
    /// The address that the peer has connected to: our own, unless it is [restored](Self::restored).
    pub local: SocketAddr,
    /// Whether `local` is the address that the peer meant before its connection came to be ours: the system or a load
    /// balancer says so.
    pub restored: bool,
    /// Identity of the peer as in its certificate, without `spiffe://`; none where it has shown none.
    pub principal: Option<Arc<str>>,
}

impl Accepted {
    /// Describes a connection.
    #[must_use]
    pub const fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        Self { peer, local, restored: false, principal: None }
    }

    /// Sets the address that the peer meant.
    #[must_use]
    pub const fn with_original_dst(mut self, address: SocketAddr) -> Self {
        (self.local, self.restored) = (address, true);
        self
    }

    /// Returns the address that the peer meant before its connection came to be ours, where that is known.
    #[must_use]
    pub fn original_dst(&self) -> Option<SocketAddr> {
        self.restored.then_some(self.local)
    }
}
