//! A private protocol ([`courier`]) and its proxy ([`proxy`]) in under 100 lines; here two services and a caller try
//! it.
//!
//! `cargo run -p custom-protocol`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

mod courier;
mod proxy;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let loopback: SocketAddr = "127.0.0.1:0".parse()?;
    let running = proxy::start(loopback, service("express").await?, service("standard").await?)?;
    let mut caller = TcpStream::connect(running.address("in").context("a listener")?).await?;
    for (id, parcel, expected) in [(1, "x-letter", "express"), (2, "letter", "standard"), (3, "x-box", "express")] {
        caller.write_all(&frame(id, 0, parcel)).await?;
        let answer = read(&mut caller).await?;
        let who = String::from_utf8_lossy(&answer[6..]).into_owned();
        println!("parcel {parcel:?} went {who}");
        anyhow::ensure!(answer[..4] == id.to_be_bytes() && who == expected, "{parcel:?} must go {expected}");
    }
    running.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// Starts a service that answers every call with its name.
async fn service(name: &'static str) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(call) = read(&mut stream).await {
                    let id = u32::from_be_bytes([call[0], call[1], call[2], call[3]]);
                    stream.write_all(&frame(id, 2, name)).await?;
                }
                anyhow::Ok(())
            });
        }
    });
    Ok(address)
}

fn frame(id: u32, kind: u8, text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len() + 6).unwrap_or_default().to_be_bytes();
    let size = u8::try_from(text.len()).unwrap_or_default();
    [&length[..], &id.to_be_bytes(), &[kind, size], text.as_bytes()].concat()
}

/// Reads one frame behind its length.
async fn read(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut rest = vec![0; usize::try_from(stream.read_u32().await?)?];
    stream.read_exact(&mut rest).await?;
    Ok(rest)
}
