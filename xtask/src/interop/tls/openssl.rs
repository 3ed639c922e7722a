//! The command line of OpenSSL: a client and a server.

use std::{
    io::{self, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    interop::{backend::Frames, frames::Wire},
    peers::{
        certificates::{Authority, Pair, openssl},
        process::free_port,
    },
};

/// A client that is connected, or was refused, to a port of 127.0.0.1.
#[derive(Debug)]
pub(super) struct Client {
    input: ChildStdin,
    output: Bounded,
    frames: Frames,
    _program: Program,
}

impl Client {
    /// Connects; the server must be of `authority`, whatever its name is.
    pub(super) fn connect(port: u16, authority: &Authority, shown: Option<&Pair>, more: &[&str]) -> Result<Self> {
        let mut command = openssl("s_client");
        command.args(["-quiet", "-verify_return_error", "-connect", &format!("127.0.0.1:{port}"), "-CAfile"]);
        command.arg(authority.certificate()).args(more);
        if let Some(pair) = shown {
            command.arg("-cert").arg(&pair.chain).arg("-key").arg(&pair.key);
        }
        let Pipes { program, input, output } = Pipes::open(&mut command)?;
        Ok(Self { input, output: Bounded::new(output), frames: Frames::new(WIRE), _program: program })
    }

    /// Calls a method and tells what came of it: the kind of the answer, or that the connection is refused.
    pub(super) fn call(&mut self) -> Result<String> {
        let written = self.input.write_all(&WIRE.request("echo", "hello", 7)).and_then(|()| self.input.flush());
        // who was refused is gone, or about to
        let answer = if written.is_ok() { self.frames.next(&mut self.output)? } else { None };
        Ok(answer.map_or_else(|| "refused".to_owned(), |answer| WIRE.outcome(&answer)))
    }
}

/// A server that answers on every connection, one after the other.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) port: u16,
    _program: Program,
}

impl Server {
    /// Shows `pair`, and wants a certificate of `clients` where these are given.
    pub(super) fn start(pair: &Pair, clients: Option<&Authority>) -> Result<Self> {
        let port = free_port()?;
        let mut command = openssl("s_server");
        command.args(["-quiet", "-accept", &format!("127.0.0.1:{port}"), "-cert"]).arg(&pair.chain);
        command.arg("-key").arg(&pair.key);
        if let Some(authority) = clients {
            command.args(["-Verify", "1", "-verify_return_error", "-CAfile"]).arg(authority.certificate());
        }
        let Pipes { program, mut input, mut output } = Pipes::open(&mut command)?;
        // ends with the program
        thread::spawn(move || {
            let mut frames = Frames::new(WIRE);
            while let Ok(Some(frame)) = frames.next(&mut output) {
                let answered = WIRE.answer(&frame).map_or(Ok(()), |answer| input.write_all(&answer));
                if answered.and_then(|()| input.flush()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { port, _program: program })
    }
}

/// A program and what can be written to it and read from it.
struct Pipes {
    program: Program,
    input: ChildStdin,
    output: ChildStdout,
}

impl Pipes {
    fn open(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let input = child.stdin.take().context("standard input is piped")?;
        let output = child.stdout.take().context("standard output is piped")?;
        Ok(Self { program: Program(child), input, output })
    }
}

/// Killed and reaped on drop.
#[derive(Debug)]
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // both fail only where the child has ended and been reaped already
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a program writes, read with a bound on the time.
#[derive(Debug)]
struct Bounded {
    chunks: Receiver<Vec<u8>>,
    rest: Vec<u8>,
}

impl Bounded {
    fn new(mut output: ChildStdout) -> Self {
        let (sender, chunks) = mpsc::channel();
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut chunk) {
                if sender.send(chunk[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { chunks, rest: Vec::new() }
    }
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = match self.chunks.recv_timeout(LIMIT) {
                Ok(chunk) => chunk,
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
                Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::TimedOut.into()),
            };
        }
        let count = self.rest.as_slice().read(into)?;
        self.rest.drain(..count);
        Ok(count)
    }
}

pub(super) const WIRE: Wire = Wire::Thrift;
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(30);
