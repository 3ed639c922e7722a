//! A server on a thread of this process that shows every frame it gets.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::frames::Wire;

#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) port: u16,
    seen: Receiver<Vec<u8>>,
}

impl Backend {
    /// Listens on a free port of 127.0.0.1 until the recipe ends.
    pub(crate) fn start(wire: Wire) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let (sender, seen) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                // a connection that breaks is what some cases are about
                thread::spawn(move || answer(wire, stream, &sender).unwrap_or_default());
            }
        });
        Ok(Self { port, seen })
    }

    /// Waits for the next `count` frames, in any order, with their ids removed.
    pub(crate) fn frames(&self, count: usize, limit: Duration) -> Result<Vec<Vec<u8>>> {
        let deadline = Instant::now() + limit;
        let next = |_| self.seen.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let mut frames = (0..count).map(next).collect::<Result<Vec<_>, _>>().context("the server missed a frame")?;
        frames.sort();
        Ok(frames)
    }

    /// Forgets what came so far.
    pub(crate) fn forget(&self) {
        while self.seen.try_recv().is_ok() {}
    }
}

fn answer(wire: Wire, mut stream: TcpStream, seen: &Sender<Vec<u8>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut frames = Frames::new(wire);
    while let Some(frame) = frames.next(&mut stream)? {
        let reply = wire.answer(&frame);
        let oneway = wire.is_oneway(&frame);
        seen.send(wire.without_id(frame))?;
        match reply {
            Some(reply) => stream.write_all(&reply)?,
            None if oneway => {}
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Connects to a port of 127.0.0.1; no read waits longer than `limit`.
pub(crate) fn connect(port: u16, limit: Duration) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(limit))?;
    Ok(stream)
}

/// Cuts frames out of what a connection brings.
#[derive(Debug)]
pub(crate) struct Frames {
    wire: Wire,
    bytes: Vec<u8>,
}

impl Frames {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire, bytes: Vec::new() }
    }

    /// Reads the next frame, `None` at the end of the connection.
    pub(crate) fn next(&mut self, stream: &mut impl Read) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(len) = self.wire.frame_len(&self.bytes).filter(|&len| len <= self.bytes.len()) {
                let rest = self.bytes.split_off(len);
                return Ok(Some(std::mem::replace(&mut self.bytes, rest)));
            }
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk)? {
                0 => return Ok(None),
                count => self.bytes.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
