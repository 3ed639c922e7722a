//! Servers that say who they are, in HTTP/1.1 and in Thrift, and how they are asked.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

use crate::{
    interop::{
        backend::{Frames, connect},
        frames::Wire,
    },
    peers::install::peers_dir,
};

/// Servers on threads of this process, until the recipe ends.
pub(super) struct Servers {
    pub(super) ports: Vec<u16>,
    /// The Unix sockets of the same servers.
    pub(super) paths: Vec<PathBuf>,
}

impl Servers {
    /// Listens on free ports of 127.0.0.1, and on Unix sockets.
    pub(super) fn start(count: usize) -> Result<Self> {
        let folder = peers_dir().join("run/balance");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let paths: Vec<_> = (0..count).map(|index| folder.join(format!("{index}.sock"))).collect();
        Ok(Self { ports: paths.iter().map(|path| serve(path)).collect::<Result<_>>()?, paths })
    }
}

/// Asks over HTTP once for each key; returns who answers.
pub(super) fn ask_in_http(port: u16, keys: &[String]) -> Result<Vec<String>> {
    let mut stream = BufReader::new(connect(port, LIMIT)?);
    keys.iter().map(|key| ask(&mut stream, key)).collect()
}

/// Asks over HTTP once from each address; returns who answers.
pub(super) fn ask_from(sources: impl Iterator<Item = Ipv4Addr>, port: u16) -> Result<Vec<String>> {
    let connect = |source| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddrV4::new(source, 0).into())?;
        socket.connect(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into())?;
        socket.set_read_timeout(Some(LIMIT))?;
        anyhow::Ok(TcpStream::from(socket))
    };
    sources.map(|source| ask(&mut BufReader::new(connect(source)?), "")).collect()
}

fn ask(stream: &mut BufReader<TcpStream>, key: &str) -> Result<String> {
    write!(stream.get_mut(), "GET / HTTP/1.1\r\nhost: balance\r\n{KEY}: {key}\r\n\r\n")?;
    let head = head(stream)?.context("the connection ended")?;
    let length = head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.with_context(|| format!("an answer of unknown length: {head:?}"))?];
    stream.read_exact(&mut body)?;
    Ok(String::from_utf8(body)?)
}

/// Asks over Thrift once for each key, which is the method; returns who answers.
pub(super) fn ask_in_thrift(port: u16, keys: &[String]) -> Result<Vec<String>> {
    let (mut stream, mut frames) = (connect(port, LIMIT)?, Frames::new(WIRE));
    let ask = |(id, key): (u32, &String)| {
        stream.write_all(&WIRE.request(key, key, id))?;
        let answer = frames.next(&mut stream)?.context("the connection ended")?;
        Ok(WIRE.answered_text(&answer).filter(|_| WIRE.is_success(&answer)).context("a call failed")?.to_owned())
    };
    (1..).zip(keys).map(ask).collect()
}

fn serve(path: &Path) -> Result<u16> {
    let (listener, pipes) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, UnixListener::bind(path)?);
    let port = listener.local_addr()?.port();
    // a proxy may end its connections at any time
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.set_nodelay(true);
            thread::spawn(move || answer(&stream, &stream, port).unwrap_or_default());
        }
    });
    thread::spawn(move || {
        for stream in pipes.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(&stream, &stream, port).unwrap_or_default());
        }
    });
    Ok(port)
}

/// Answers requests with the port, in the protocol that the first byte tells.
fn answer(mut from: impl Read, to: impl Write, port: u16) -> Result<()> {
    let (mut first, name) = ([0], port.to_string());
    from.read_exact(&mut first)?;
    let from = first.as_slice().chain(from);
    if first == *b"G" { answer_http(from, to, &name) } else { answer_thrift(from, to, &name) }
}

fn answer_thrift(mut from: impl Read, mut to: impl Write, name: &str) -> Result<()> {
    let mut frames = Frames::new(WIRE);
    while let Some(request) = frames.next(&mut from)? {
        let (method, id) = (WIRE.text(&request).context("no text")?, WIRE.id(&request).context("no id")?);
        let answer = WIRE.answer(&WIRE.request(method, name, id)).context("a key is a special method")?;
        to.write_all(&answer)?;
    }
    Ok(())
}

fn answer_http(from: impl Read, mut to: impl Write, name: &str) -> Result<()> {
    let mut from = BufReader::new(from);
    while head(&mut from)?.is_some() {
        write!(to, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len())?;
    }
    Ok(())
}

/// Reads the lines up to the next empty one; none at the end of the connection.
fn head(stream: &mut impl BufRead) -> Result<Option<Vec<String>>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => return Ok(Some(lines)),
            line => lines.push(line.to_owned()),
        }
    }
}

/// The header that has the key.
pub(super) const KEY: &str = "x-key";
const WIRE: Wire = Wire::Thrift;
const LIMIT: Duration = Duration::from_secs(5);
