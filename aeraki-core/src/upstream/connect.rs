//! How a connection to an endpoint is made.

use std::{fmt, io, net::SocketAddr};

use tokio::net::TcpStream;

use crate::{io::Io, stack::BoxFuture};

/// Makes connections to endpoints; [`Tcp`] unless told otherwise.
pub trait Connector: Send + Sync + fmt::Debug + 'static {
    /// Connects to `address`; the caller bounds the time.
    fn connect(&self, address: SocketAddr) -> BoxFuture<io::Result<Box<dyn Io>>>;
}

/// Makes plain TCP connections without delay (`TCP_NODELAY`).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Tcp;

impl Connector for Tcp {
    fn connect(&self, address: SocketAddr) -> BoxFuture<io::Result<Box<dyn Io>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}
