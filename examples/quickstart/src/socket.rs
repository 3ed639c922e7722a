//! Whole messages over a socket, for callers and services.

use aeraki_codec::{Decoded, Demand, Framer, Limits, Message, Role};
use anyhow::{Result, bail};
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::wire::Wire;

/// A connection that reads and writes whole messages.
pub(crate) struct Socket {
    stream: TcpStream,
    framer: Framer,
    received: BytesMut,
    demand: Demand,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, wire: Wire, role: Role) -> Result<Self> {
        stream.set_nodelay(true)?;
        let framer = Framer::new(wire.protocol().codec(role, &Limits::default()));
        Ok(Self { stream, framer, received: BytesMut::new(), demand: Wire::demand() })
    }

    /// Waits for the next message; `None` once the peer has closed.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>> {
        loop {
            match self.framer.decode(&mut self.received, &self.demand)? {
                Decoded::Message(message) => return Ok(Some(message)),
                Decoded::Partial => {}
                other => bail!("not a message: {other:?}"),
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Ok(None);
            }
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }
}
