//! The services of the demonstration: one listener a version, which answers with its version.

use std::net::SocketAddr;

use aeraki_codec::{Kind, Role};
use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};

use crate::{socket::Socket, wire::Wire};

/// Starts version `version` of a service on a free port of the loopback interface and returns its address.
pub(crate) async fn start(wire: Wire, version: &'static str) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, wire, version));
        }
    });
    Ok(address)
}

async fn serve(stream: TcpStream, wire: Wire, version: &'static str) -> Result<()> {
    let mut socket = Socket::new(stream, wire, Role::Server)?;
    while let Some(call) = socket.next().await? {
        if call.kind() == Kind::Request {
            socket.send(&wire.answer(&call, version)).await?;
        }
    }
    Ok(())
}
