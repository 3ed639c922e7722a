//! Clients that send several requests at a time and know which answer is whose.

use std::{
    collections::HashMap,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use rustls::ClientConfig;

use super::{
    AGAIN, ONCE,
    ledger::{End, Ledger},
    stream::Stream,
};
use crate::interop::{
    backend::{Frames, connect},
    frames::Wire,
};
use crate::peers::process::pause;

/// How clients reach the proxy.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) wire: Wire,
    pub(super) port: u16,
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// How long a client waits for an answer.
    pub(super) patience: Duration,
}

/// Calls until it is told to end.
pub(super) fn run(way: &Way, number: usize, ledger: &Ledger, ends: &AtomicBool) -> Result<()> {
    let window = match way.wire {
        Wire::Dubbo => 8,
        // its clients wait for each answer
        Wire::Thrift => 1,
    };
    let mut connection = None;
    let mut count = 0;
    while !ends.load(Relaxed) {
        let mut open = match connection.take() {
            Some(open) => open,
            None => Connection::open(way)?,
        };
        let calls: Vec<String> = (count..count + window)
            .map(|call| format!("{}-{number}-{call}", if call % 2 == 0 { AGAIN } else { ONCE }))
            .collect();
        count += window;
        if open.exchange(&calls, ledger) && !open.is_to_go() {
            connection = Some(open);
        }
    }
    Ok(())
}

/// Makes one call on a connection of its own; tells whether it was answered.
pub(super) fn one(way: &Way, ledger: &Ledger) -> bool {
    let Ok(mut connection) = Connection::open(way) else { return false };
    let before = connection.answered;
    connection.exchange(&[format!("{AGAIN}-last")], ledger);
    connection.answered > before
}

struct Connection {
    wire: Wire,
    patience: Duration,
    stream: Stream,
    frames: Frames,
    answered: u32,
    opened: Instant,
    /// Whether the proxy has said goodbye.
    goodbye: bool,
}

impl Connection {
    fn open(way: &Way) -> Result<Self> {
        let Way { wire, port, ref tls, patience } = *way;
        let deadline = Instant::now() + RESTART;
        let socket = loop {
            match connect(port, patience) {
                // a proxy that died is started again
                Err(_) if Instant::now() < deadline => pause(Duration::from_millis(20)),
                connected => break connected?,
            }
        };
        let stream = Stream::of_client(socket, tls.as_ref())?;
        Ok(Self {
            wire,
            patience,
            stream,
            frames: Frames::new(wire),
            answered: 0,
            opened: Instant::now(),
            goodbye: false,
        })
    }

    /// Tells whether another connection is better for the next calls.
    fn is_to_go(&self) -> bool {
        self.goodbye || self.opened.elapsed() > LIFE
    }

    /// Sends calls and waits for the end of each; tells whether the connection can go on.
    fn exchange(&mut self, texts: &[String], ledger: &Ledger) -> bool {
        let mut waiting = HashMap::new();
        let mut bytes = Vec::new();
        for text in texts {
            let id = IDS.fetch_add(1, Relaxed) & 0x7fff_ffff;
            let method = text.split('-').next().unwrap_or_default();
            bytes.extend(self.wire.request(method, text, id));
            ledger.sent(text);
            waiting.insert(id, text.as_str());
        }
        let end = match self.stream.write_all(&bytes) {
            Ok(()) => self.read_all(&mut waiting, ledger),
            Err(_) => Some(End::Closed),
        };
        for text in waiting.into_values() {
            ledger.ended(text, end.unwrap_or(End::Hung));
        }
        end.is_none()
    }

    /// Reads until nothing is waited for; returns what became of the rest otherwise.
    fn read_all(&mut self, waiting: &mut HashMap<u32, &str>, ledger: &Ledger) -> Option<End> {
        let deadline = Instant::now() + self.patience;
        while !waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stream.socket.set_read_timeout(Some(left)).is_err() {
                return Some(End::Hung);
            }
            match self.frames.next(&mut self.stream) {
                Ok(Some(frame)) => self.take(&frame, waiting, ledger),
                Ok(None) => return Some(End::Closed),
                Err(error) if is_late(&error) => return Some(End::Hung),
                Err(_) => return Some(End::Closed),
            }
        }
        None
    }

    fn take(&mut self, frame: &[u8], waiting: &mut HashMap<u32, &str>, ledger: &Ledger) {
        if self.wire.is_event(frame) {
            self.goodbye = true;
            return;
        }
        let Some(text) = self.wire.id(frame).and_then(|id| waiting.remove(&id)) else {
            ledger.violated("an answer came that nobody waited for".to_owned());
            return;
        };
        if !self.wire.is_success(frame) {
            ledger.ended(text, End::Refused);
        } else if self.wire.answered_text(frame) == Some(text) {
            self.answered += 1;
            ledger.ended(text, End::Answered);
        } else {
            ledger.violated(format!("{text} got the answer of another: {:?}", self.wire.answered_text(frame)));
            ledger.ended(text, End::Answered);
        }
    }
}

fn is_late(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut))
}

/// How long a client keeps a connection, as those do that cannot be told goodbye and want to lose nothing.
const LIFE: Duration = Duration::from_secs(1);
/// How long a proxy may take to be there again.
const RESTART: Duration = Duration::from_secs(10);
/// Ids of all clients together: an answer that goes to another client is found out.
static IDS: AtomicU32 = AtomicU32::new(1);
