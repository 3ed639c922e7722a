//! A server that answers every request at once with the same reply, one write for each read.

use std::{net::SocketAddr, rc::Rc};

use anyhow::{Context, Result};
use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::protocol::{Protocol, Template};

/// Serves until the process is killed.
pub(crate) async fn run(protocol: Protocol, listen: SocketAddr, size: usize) -> Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let reply = Rc::new(protocol.reply(size));
    loop {
        let (stream, _) = listener.accept().await?;
        let reply = Rc::clone(&reply);
        // the end of a connection is no event here: the generator counts what it misses
        tokio::task::spawn_local(async move { answer(protocol, stream, &reply).await.unwrap_or_default() });
    }
}

async fn answer(protocol: Protocol, mut stream: TcpStream, reply: &Template) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BytesMut::with_capacity(BUFFER);
    let mut output = Vec::with_capacity(BUFFER);
    while stream.read_buf(&mut input).await? > 0 {
        while let Some(len) = protocol.frame_len(&input).filter(|&len| len <= input.len()) {
            reply.write(protocol.id(&input[..len]).context("a request has an id")?, &mut output);
            input.advance(len);
        }
        stream.write_all(&output).await?;
        output.clear();
        input.reserve(BUFFER);
    }
    Ok(())
}

const BUFFER: usize = 64 << 10;
