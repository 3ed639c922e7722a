//! Relays that mark the floor of a proxy: bytes copied, or frames found, routed and their ids rewritten.

use std::{collections::HashMap, net::SocketAddr, rc::Rc};

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use clap::ValueEnum;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    try_join,
};

use crate::protocol::Protocol;

/// What a relay does with the bytes between its two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Tokio's `copy_bidirectional`.
    Copy,
    /// Frame by frame: routing fields read, a look-up by hash, the id rewritten in place, one write for each read.
    Framed,
}

type Routes = HashMap<Vec<u8>, usize>;

/// Relays until the process is killed.
pub(crate) async fn run(protocol: Protocol, mode: Mode, listen: SocketAddr, to: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let routes = Rc::new(routes(protocol));
    loop {
        let (client, _) = listener.accept().await?;
        let routes = Rc::clone(&routes);
        // a broken pair is seen by the generator
        tokio::task::spawn_local(async move { relay(protocol, mode, client, to, &routes).await.unwrap_or_default() });
    }
}

/// A table of a thousand routes and the one that matches.
fn routes(protocol: Protocol) -> Routes {
    let others = (0..1000).map(|i| (format!("service{i}:method{i}").into_bytes(), i));
    others.chain([(protocol.echo_key(), 1000)]).collect()
}

async fn relay(protocol: Protocol, mode: Mode, mut client: TcpStream, to: SocketAddr, routes: &Routes) -> Result<()> {
    let mut server = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    if mode == Mode::Copy {
        copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    try_join!(
        frames(protocol, client_reads, server_writes, Some(routes)),
        frames(protocol, server_reads, client_writes, None),
    )?;
    Ok(())
}

/// Passes frames on in one direction; requests, which are routed, in the direction that has `routes`.
async fn frames(
    protocol: Protocol,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    routes: Option<&Routes>,
) -> Result<()> {
    let mut buffer = BytesMut::with_capacity(64 << 10);
    let mut key = Vec::new();
    while from.read_buf(&mut buffer).await? > 0 {
        let mut whole = 0;
        while let Some(len) = protocol.frame_len(&buffer[whole..]).filter(|&len| whole + len <= buffer.len()) {
            let frame = &mut buffer[whole..whole + len];
            if let Some(routes) = routes {
                protocol.routing_key(frame, &mut key).context("a request has a routing key")?;
                ensure!(routes.contains_key(key.as_slice()), "no route");
            }
            let at = protocol.id_at(frame).context("a frame has an id")?;
            let id = protocol.id(frame).context("a frame has an id")?;
            // the same value: each upstream connection serves one downstream only
            frame[at].copy_from_slice(&id.to_be_bytes());
            whole += len;
        }
        to.write_all(&buffer.split_to(whole)).await?;
        buffer.reserve(16 << 10);
    }
    Ok(to.shutdown().await?)
}
