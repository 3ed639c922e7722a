//! How a connection to an endpoint is made.

use std::{fmt, io, net::SocketAddr, path::PathBuf, time::Duration};

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::config::{Pipe, SocketAddress, TcpKeepalive};
use socket2::SockRef;
use tokio::{
    net::{TcpStream, UnixStream},
    time::{sleep, timeout},
};

use super::shared::Shared;
use crate::{io::Io, socket::set_keepalive, stack::BoxFuture};

/// Makes connections to endpoints; [`Plain`] unless told otherwise.
pub trait Connector: Send + Sync + fmt::Debug + 'static {
    /// Connects to `address`; the caller bounds the time.
    fn connect(&self, address: &SocketAddress) -> BoxFuture<io::Result<Box<dyn Io>>>;
}

/// Makes connections as they are: over TCP without delay (`TCP_NODELAY`), or to Unix sockets.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Plain {
    /// Has the system ask silent servers whether they are there, over TCP; default: it does not ask.
    pub keepalive: Option<TcpKeepalive>,
}

impl Plain {
    /// Has the system ask silent servers whether they are there.
    #[must_use]
    pub const fn with_keepalive(mut self, keepalive: Option<TcpKeepalive>) -> Self {
        self.keepalive = keepalive;
        self
    }
}

impl Connector for Plain {
    fn connect(&self, address: &SocketAddress) -> BoxFuture<io::Result<Box<dyn Io>>> {
        let (address, keepalive) = (address.clone(), self.keepalive);
        Box::pin(async move {
            match address {
                SocketAddress::Ip(address) => {
                    Ok(Box::new(connect_tcp(address, keepalive.as_ref()).await?) as Box<dyn Io>)
                }
                SocketAddress::Pipe(pipe) => Ok(Box::new(connect_pipe(&pipe).await?) as _),
                other => Err(io::Error::other(format!("{other} is of a kind that this proxy does not know"))),
            }
        })
    }
}

async fn connect_tcp(address: SocketAddr, keepalive: Option<&TcpKeepalive>) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    if keepalive.is_some() {
        set_keepalive(SockRef::from(&stream), keepalive)?;
    }
    Ok(stream)
}

/// Connects to a Unix socket. The system refuses at once where the queue of the server is full, and does not say when
/// there is room again.
async fn connect_pipe(pipe: &Pipe) -> io::Result<UnixStream> {
    let name = pipe.path.strip_prefix('@').map(|name| format!("\0{name}"));
    let path = PathBuf::from(name.as_deref().unwrap_or(&pipe.path));
    loop {
        match UnixStream::connect(&path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(FULL).await,
            connected => return connected,
        }
    }
}

/// Makes a connection in the time of the cluster.
pub(super) async fn connect(
    address: &SocketAddress,
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

/// How long a server whose queue is full is left alone.
const FULL: Duration = Duration::from_millis(10);
