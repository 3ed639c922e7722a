//! Telling servers whose connection it is.

use std::{io, sync::Arc};

use aeraki_route::config::{ProxyProtocolVersion, SocketAddress};
use tokio::io::AsyncWriteExt;

use super::Connector;
use crate::{
    io::Io,
    proxy_protocol::{Addresses, header},
    stack::BoxFuture,
};

/// Begins the connections that another connector makes with a header of the PROXY protocol.
#[derive(Debug)]
pub(super) struct Announcing {
    inner: Arc<dyn Connector>,
    header: Arc<[u8]>,
}

impl Announcing {
    /// Makes a connector for one client, or for connections on behalf of nobody, such as health checks.
    pub(super) fn new(inner: Arc<dyn Connector>, version: ProxyProtocolVersion, client: Option<Addresses>) -> Self {
        // who comes over a Unix socket has no address
        let client = client.filter(|client| !client.source.ip().is_unspecified());
        Self { inner, header: header(version, client).into() }
    }
}

impl Connector for Announcing {
    fn connect(&self, address: &SocketAddress) -> BoxFuture<io::Result<Box<dyn Io>>> {
        let (connection, header) = (self.inner.connect(address), Arc::clone(&self.header));
        Box::pin(async move {
            let mut io = connection.await?;
            io.write_all(&header).await?;
            Ok(io)
        })
    }
}
