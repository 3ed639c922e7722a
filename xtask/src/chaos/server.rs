//! Servers that misbehave on demand, on ports that stay theirs.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use socket2::SockRef;

use super::{ledger::Ledger, links::Namespace, stream::Stream};
use crate::{interop::frames::Wire, peers::process::pause};

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Well,
    /// Nobody listens, and all connections are gone.
    Dead,
    /// Reads nothing.
    Frozen,
    /// Reads, executes and does not answer.
    Mute,
    /// Answers late.
    Slow,
    /// Resets the connection instead of an answer.
    Resets,
    /// Answers, and ends its side of the connection.
    HalfCloses,
    /// Answers with what is no answer.
    Babbles,
    /// Ends the connection in the middle of an answer.
    BreaksOff,
    /// Answers what nobody asked.
    Mistakes,
    /// Answers twice.
    Repeats,
}

impl Mode {
    pub(super) const BAD: [Self; 10] = [
        Self::Dead,
        Self::Slow,
        Self::Resets,
        Self::Frozen,
        Self::HalfCloses,
        Self::Babbles,
        Self::Mute,
        Self::BreaksOff,
        Self::Mistakes,
        Self::Repeats,
    ];
    const ALL: [Self; 11] = [
        Self::Well,
        Self::Dead,
        Self::Frozen,
        Self::Mute,
        Self::Slow,
        Self::Resets,
        Self::HalfCloses,
        Self::Babbles,
        Self::BreaksOff,
        Self::Mistakes,
        Self::Repeats,
    ];
}

/// Ends with all its connections when it is dropped.
pub(super) struct Server {
    address: SocketAddrV4,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Where a server is, and how it is spoken to.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) host: Ipv4Addr,
    /// None: where everybody is.
    pub(super) namespace: Option<Namespace>,
    pub(super) tls: Option<Arc<ServerConfig>>,
}

struct Shared {
    wire: Wire,
    place: Place,
    /// The place of a mode in [`Mode::ALL`].
    mode: AtomicUsize,
    ends: AtomicBool,
    ledger: Arc<Ledger>,
}

impl Shared {
    fn mode(&self) -> Mode {
        if self.ends.load(Relaxed) { Mode::Dead } else { Mode::ALL[self.mode.load(Relaxed)] }
    }
}

impl Server {
    pub(super) fn start(wire: Wire, place: Place, ledger: &Arc<Ledger>) -> Result<Self> {
        let host = place.host;
        let shared = Arc::new(Shared {
            wire,
            place,
            mode: AtomicUsize::new(0),
            ends: AtomicBool::new(false),
            ledger: Arc::clone(ledger),
        });
        let (sender, bound) = mpsc::channel();
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            // sockets belong to the namespace of the thread that makes them
            move || match bind(&shared.place) {
                Ok((listener, port)) => {
                    let _ = sender.send(Ok(port));
                    accept(listener, port, &shared);
                }
                Err(error) => drop(sender.send(Err(error))),
            }
        });
        let port = bound.recv().context("the server panicked")??;
        Ok(Self { address: SocketAddrV4::new(host, port), shared, thread: Some(thread) })
    }

    pub(super) const fn address(&self) -> SocketAddrV4 {
        self.address
    }

    pub(super) fn set(&self, mode: Mode) {
        self.shared.mode.store(Mode::ALL.iter().position(|known| *known == mode).unwrap_or(0), Relaxed);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ends.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // a panic has been printed, and counts as executions that are missing
            let _ = thread.join();
        }
    }
}

fn bind(place: &Place) -> Result<(TcpListener, u16)> {
    if let Some(namespace) = &place.namespace {
        namespace.enter()?;
    }
    let listener = listen(place.host, 0)?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

fn listen(host: Ipv4Addr, port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((host, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Takes connections while it is not dead; waits for their threads at the end.
fn accept(listener: TcpListener, port: u16, shared: &Arc<Shared>) {
    let mut listener = Some(listener);
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    while !shared.ends.load(Relaxed) {
        if shared.mode() == Mode::Dead {
            listener = None;
        } else if listener.is_none() {
            listener = listen(shared.place.host, port).ok();
        }
        match listener.as_ref().map(TcpListener::accept) {
            Some(Ok((stream, _))) => {
                let shared = Arc::clone(shared);
                // a connection that breaks is what all this is about
                threads.push(thread::spawn(move || serve(&shared, stream).unwrap_or_default()));
            }
            _ => pause(STEP),
        }
    }
    for thread in threads {
        let _ = thread.join();
    }
}

fn serve(shared: &Shared, socket: TcpStream) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(STEP))?;
    let mut stream = Stream::of_server(socket, shared.place.tls.as_ref())?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match shared.mode() {
            Mode::Dead => return reset(&stream.socket),
            Mode::Frozen => pause(STEP),
            _ => match stream.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            },
        }
        while let Some(len) = shared.wire.frame_len(&bytes).filter(|len| *len <= bytes.len()) {
            let rest = bytes.split_off(len);
            let request = std::mem::replace(&mut bytes, rest);
            if !answer(shared, &mut stream, &request)? {
                return Ok(());
            }
        }
    }
}

/// Executes a request; tells whether the connection goes on.
fn answer(shared: &Shared, stream: &mut Stream, request: &[u8]) -> io::Result<bool> {
    let wire = shared.wire;
    if let Some(answer) = wire.heartbeat_answer(request) {
        stream.write_all(&answer)?;
        return Ok(true);
    }
    let (Some(text), Some(answer)) = (wire.text(request), wire.answer(request)) else { return Ok(false) };
    shared.ledger.executed(text);
    let half = answer.len() / 2;
    match shared.mode() {
        Mode::Dead | Mode::Resets => {
            reset(&stream.socket)?;
            return Ok(false);
        }
        Mode::Mute => {}
        Mode::Slow => {
            pause(LATE);
            stream.write_all(&answer)?;
        }
        Mode::HalfCloses => {
            stream.write_all(&answer)?;
            stream.socket.shutdown(Shutdown::Write)?;
        }
        // past all TLS
        Mode::Babbles => stream.socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")?,
        Mode::BreaksOff => {
            stream.write_all(&answer[..half])?;
            return Ok(false);
        }
        Mode::Mistakes => stream.write_all(&wire.with_id(answer, 0x7123_4567))?,
        Mode::Repeats => stream.write_all(&[answer.clone(), answer].concat())?,
        Mode::Well | Mode::Frozen => stream.write_all(&answer)?,
    }
    Ok(true)
}

/// Ends a connection without a goodbye.
fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// How often it is looked at what a server is to do.
const STEP: Duration = Duration::from_millis(10);
const LATE: Duration = Duration::from_millis(100);
