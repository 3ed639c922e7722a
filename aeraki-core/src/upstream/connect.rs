//! How a connection to an endpoint is made.

use std::{fmt, io, net::SocketAddr};

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::config::TcpKeepalive;
use socket2::SockRef;
use tokio::{net::TcpStream, time::timeout};

use super::shared::Shared;
use crate::{io::Io, socket::set_keepalive, stack::BoxFuture};

/// Makes connections to endpoints; [`Tcp`] unless told otherwise.
pub trait Connector: Send + Sync + fmt::Debug + 'static {
    /// Connects to `address`; the caller bounds the time.
    fn connect(&self, address: SocketAddr) -> BoxFuture<io::Result<Box<dyn Io>>>;
}

/// Makes plain TCP connections without delay (`TCP_NODELAY`).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Tcp {
    /// Has the system ask silent servers whether they are there; default: it does not ask.
    pub keepalive: Option<TcpKeepalive>,
}

impl Tcp {
    /// Has the system ask silent servers whether they are there.
    #[must_use]
    pub const fn with_keepalive(mut self, keepalive: Option<TcpKeepalive>) -> Self {
        self.keepalive = keepalive;
        self
    }
}

impl Connector for Tcp {
    fn connect(&self, address: SocketAddr) -> BoxFuture<io::Result<Box<dyn Io>>> {
        let keepalive = self.keepalive;
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            if keepalive.is_some() {
                set_keepalive(SockRef::from(&stream), keepalive.as_ref())?;
            }
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}

/// Makes a connection in the time of the cluster.
pub(super) async fn connect(
    address: SocketAddr,
    connector: &dyn Connector,
    shared: &Shared,
) -> Result<Box<dyn Io>, LocalReply> {
    let limit = shared.config.connect_timeout;
    let text = match timeout(limit, connector.connect(address)).await {
        Ok(Ok(io)) => return Ok(io),
        Ok(Err(error)) => format!("cannot connect to {address}: {error}"),
        Err(_) => {
            shared.stats.upstream_cx_connect_timeout.inc();
            format!("cannot connect to {address} within {limit:?}")
        }
    };
    shared.stats.upstream_cx_connect_fail.inc();
    Err(LocalReply::new(Reason::ConnectFailure, text))
}
