//! Thousands of clients that are connected and quiet, and what they cost the target in memory.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use anyhow::{Result, ensure};
use bytes::BytesMut;
use clap::Args;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};

use crate::{
    cost::{connections, resident_kib},
    protocol::{Protocol, Template},
};

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Crowd {
    #[arg(long)]
    target: SocketAddr,
    #[arg(long)]
    clients: usize,
    /// Bytes of payload, both ways.
    #[arg(long)]
    size: usize,
    /// The process that is measured.
    #[arg(long)]
    pid: u32,
    /// The port of the server behind it.
    #[arg(long)]
    upstream_port: u16,
}

/// Connects all, some at a time, has each ask once and then be quiet; returns what that is to the target.
pub(crate) async fn run(protocol: Protocol, crowd: Crowd) -> Result<Value> {
    let request = Rc::new(protocol.request(crowd.size));
    // what a first client makes is there before it is counted
    let mut clients = vec![connect(protocol, crowd.target, Rc::clone(&request)).await?];
    sleep(SETTLE).await;
    let before_kib = resident_kib(crowd.pid);
    let mut errors = 0;
    for begin in (0..crowd.clients).step_by(AT_ONCE) {
        let mut wave = JoinSet::new();
        for _ in begin..crowd.clients.min(begin + AT_ONCE) {
            wave.spawn_local(connect(protocol, crowd.target, Rc::clone(&request)));
        }
        while let Some(connected) = wave.join_next().await {
            match connected? {
                Ok(client) => clients.push(client),
                Err(error) => {
                    eprintln!("a client failed: {error:#}");
                    errors += 1;
                }
            }
        }
    }
    sleep(SETTLE).await;
    Ok(json!({
        "before_kib": before_kib,
        "after_kib": resident_kib(crowd.pid),
        "upstream_connections": connections(crowd.pid, crowd.upstream_port),
        "errors": errors,
    }))
}

/// Connects a client that has asked once and was answered.
async fn connect(protocol: Protocol, target: SocketAddr, request: Rc<Template>) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(target).await?;
    let mut output = Vec::new();
    request.write(1, &mut output);
    stream.write_all(&output).await?;
    let mut input = BytesMut::new();
    while protocol.frame_len(&input).is_none_or(|len| input.len() < len) {
        ensure!(stream.read_buf(&mut input).await? > 0, "closed by the target");
    }
    ensure!(protocol.is_success(&input), "the answer is an error");
    Ok(stream)
}

/// Clients that connect and ask at the same time.
const AT_ONCE: usize = 64;
/// How long the target has to give memory back that it needs no more.
const SETTLE: Duration = Duration::from_secs(3);
