//! The PROXY protocol: a load balancer in front says who the client is, before the client's first byte.

#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

use aeraki_route::config;
use tokio::time::timeout;

use super::{Accepted, Budget, Drain, Serve, prefixed::Prefixed};
use crate::{
    io::Io,
    observe::ListenerStats,
    proxy_protocol::{Addresses, LONGEST_BINARY, Parsed, parse},
    socket::{OwnAddresses, is_own},
    stack::BoxFuture,
};

/// Takes the header of the PROXY protocol off every connection, and serves what follows as another [`Serve`] does, with
/// the addresses of the header.
#[derive(Clone, Debug)]
pub struct ProxyProtocol {
    inner: Arc<dyn Serve>,
    config: config::ProxyProtocol,
    stats: Arc<ListenerStats>,
    budget: Budget,
    own: OwnAddresses,
}

impl ProxyProtocol {
    /// Serves connections by `inner` once their header has come.
    #[must_use]
    pub fn new(inner: Arc<dyn Serve>, config: config::ProxyProtocol, stats: Arc<ListenerStats>) -> Self {
        Self { inner, config, stats, budget: Budget::default(), own: OwnAddresses::default() }
    }

    /// Has the bytes of headers count towards a budget, over which no more are read; default: one of its own.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Has nobody sent to these addresses, nor to that of the listener.
    #[must_use]
    pub(crate) fn with_own(mut self, own: OwnAddresses) -> Self {
        self.own = own;
        self
    }

    /// Reads the header; none where the connection has none and need not have.
    async fn open(&self, io: &mut Prefixed) -> io::Result<Option<Addresses>> {
        let read = timeout(self.config.timeout, read(io)).await;
        let header = match read.unwrap_or(Ok(None))? {
            Some(addresses) => {
                self.stats.connections.proxy_protocol_found.inc();
                return Ok(addresses);
            }
            None => "there is no header of the PROXY protocol",
        };
        self.stats.connections.proxy_protocol_missing.inc();
        if self.config.allow_requests_without_proxy_protocol { Ok(None) } else { Err(io::Error::other(header)) }
    }
}

impl Serve for ProxyProtocol {
    fn serve(&self, io: Box<dyn Io>, accepted: Accepted, drain: Drain) -> BoxFuture<()> {
        let (this, mut io) = (self.clone(), Prefixed::new(io, &self.budget));
        Box::pin(async move {
            let mut accepted = accepted;
            let opened = tokio::select! {
                biased;
                () = drain.leaves_silent() => return,
                opened = this.open(&mut io) => opened,
            };
            match opened {
                Ok(addresses) => {
                    if let Some(Addresses { source, destination }) = addresses {
                        // nobody is sent to the proxy itself, which would send them there again, or on to another
                        // listener
                        let restored = !is_own(destination, accepted.local) && !this.own.include(destination);
                        accepted = Accepted { peer: source, local: destination, restored, ..accepted };
                    }
                    this.inner.serve(Box::new(io), accepted, drain).await;
                }
                Err(error) => {
                    this.stats.connections.proxy_protocol_error.inc();
                    tracing::debug!(peer = %accepted.peer, %error, "a connection is refused");
                }
            }
        })
    }
}

/// Takes the header off the stream; none where it begins otherwise, with nothing taken.
async fn read(io: &mut Prefixed) -> io::Result<Option<Option<Addresses>>> {
    loop {
        match parse(io.prefix()) {
            Parsed::Partial if io.read_more(LONGEST_BINARY).await? => {}
            Parsed::Header(len, addresses) => {
                io.take_prefix(len);
                return Ok(Some(addresses));
            }
            Parsed::Partial | Parsed::Absent => return Ok(None),
            Parsed::Invalid(reason) => return Err(io::Error::new(io::ErrorKind::InvalidData, reason)),
        }
    }
}
