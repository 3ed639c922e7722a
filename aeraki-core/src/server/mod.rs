//! Downstream: listeners, connections, and what runs on them.
//!
//! A connection cuts frames, hands requests to its stack and writes their answers; `pump` carries the frames of the streams
//! that it has open.

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
mod inspect;
mod listener;
mod pending;
mod proxy_protocol;
mod pump;
mod rpc;
mod streams;
#[cfg(test)]
mod tests;

use std::{fmt, net::SocketAddr, sync::Arc};

pub(crate) use self::inspect::{Inspection, Looked, Seen};
pub use self::{
    budget::Budget,
    connection_limit::{ConnectionLimit, ProcessLimit},
    drain::{Drain, DrainWatch, Phase},
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
    /// Address of the peer.
    pub peer: SocketAddr,
    /// Our own address.
    pub local: SocketAddr,
    /// Identity of the peer as in its certificate, without `spiffe://`; none where it has shown none.
    pub principal: Option<Arc<str>>,
}

impl Accepted {
    /// Describes a connection.
    #[must_use]
    pub const fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        Self { peer, local, principal: None }
    }

    /// Returns the address that the client wanted to connect to.
    #[must_use]
    pub const fn destination(&self) -> SocketAddr {
        self.local
    }
}
