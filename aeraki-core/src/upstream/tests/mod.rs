//! A toy protocol, servers that the tests play themselves, and what the upstream side does with them.

mod ahead;
mod announce;
mod bounds;
mod calls;
mod care;
mod cost;
mod destinations;
#[cfg(feature = "dns")]
mod dns;
mod endings;
mod health;
mod hostile;
mod names;
mod pipes;
mod placement;
mod property;
mod updates;

use std::{
    future::Future,
    io, mem,
    net::SocketAddr,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::{self, Poll},
    time::Duration,
};

use aeraki_codec::{
    Affinity, Answer, Codec, Control, DecodeError, DecodeErrorKind, Demand, EncodeError, Flow, Head, Id, IdSpace, Kind,
    LocalReply, Measure, Message, Output, Protocol, Reason, Receipt, Replies, Role, Serving, Wire,
};
use aeraki_route::Rules;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    sync::mpsc,
    task::JoinHandle,
    time::Instant,
};

use super::*;
use crate::{
    io::Io,
    observe::Facts,
    stack::{BoxError, BoxFuture, ConnInfo, Forward, Request, Response},
};

/// `length u32 | kind u8 | id u32 | payload`; the length counts what follows it.
#[derive(Debug)]
struct Toy(Serving);

impl Protocol for Toy {
    fn name(&self) -> &str {
        "toy"
    }

    fn wire(&self) -> Wire {
        Wire::new(IdSpace::Bits(32), Replies::AnyOrder, self.0)
    }

    fn codec(&self, _: Role, _: &Limits) -> Box<dyn Codec> {
        Box::new(Self(self.0))
    }
}

impl Codec for Toy {
    fn measure(&mut self, input: &[u8]) -> Result<Measure, DecodeError> {
        let Some(length) = input.first_chunk() else { return Ok(Measure::Partial { at_least: 4 }) };
        match u32::from_be_bytes(*length) {
            len @ 5..=1_000_000 => Ok(Measure::Frame { head: 9, len: u64::from(len) + 4 }),
            _ => Err(DecodeError::fatal(DecodeErrorKind::FrameTooLarge, 0)),
        }
    }

    fn parse(&mut self, frame: &[u8], _: &Demand, out: &mut Head) -> Result<(), DecodeError> {
        out.set_kind(match frame[4] {
            REQUEST => Kind::Request,
            ONEWAY => Kind::Oneway,
            PING | PONG => Kind::Heartbeat,
            DRAIN => Kind::Event,
            _ => Kind::Response,
        });
        if frame[4] == LAST {
            out.set_goodbye();
        }
        out.set_id(Id::Number(u32::from_be_bytes([frame[5], frame[6], frame[7], frame[8]]).into()));
        if frame[4] == BROKEN { Err(DecodeError::new(DecodeErrorKind::Other, 9)) } else { Ok(()) }
    }

    fn encode(&mut self, message: &Message, out: &mut Output) -> Result<(), EncodeError> {
        if &message.frame()[9..] == b"unwritable" {
            return Err(EncodeError::TooLarge);
        }
        let id = u32::try_from(message.id().number()).map_err(|_| EncodeError::BadId)?;
        out.forward(message.frame(), 9)[5..9].copy_from_slice(&id.to_be_bytes());
        Ok(())
    }

    fn reply(&mut self, to: &Receipt, reply: &LocalReply, out: &mut Output) -> Result<Answer, EncodeError> {
        out.put(&frame(RESPONSE, u32::try_from(to.id().number()).unwrap_or(0), reply.text().as_bytes()));
        Ok(Answer::Written)
    }

    fn control(&mut self, event: Control<'_>, out: &mut Output) -> Result<Flow, EncodeError> {
        Ok(match event {
            Control::Ping => {
                out.put(&frame(PING, 0, b""));
                Flow::Handled
            }
            Control::Frame(message) if message.frame()[4] == PING => {
                out.put(&frame(PONG, 0, b""));
                Flow::Handled
            }
            Control::Frame(message) if message.kind() == Kind::Event => Flow::Drain,
            _ => Flow::Ignored,
        })
    }
}

const REQUEST: u8 = 0;
const ONEWAY: u8 = 1;
const RESPONSE: u8 = 2;
const PING: u8 = 3;
const PONG: u8 = 4;
const DRAIN: u8 = 5;
const BROKEN: u8 = 6;
/// A response of a server that wants no further requests.
const LAST: u8 = 7;

fn frame(kind: u8, id: u32, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u32(u32::try_from(payload.len() + 5).expect("small"));
    frame.put_u8(kind);
    frame.put_u32(id);
    frame.put_slice(payload);
    frame.freeze()
}

/// Hands the server's end of every connection to the test; refuses or hangs where the test wants it.
#[derive(Debug)]
struct Pipes {
    servers: mpsc::UnboundedSender<DuplexStream>,
    /// Writes to all connections together.
    writes: Arc<AtomicUsize>,
    mode: Mutex<Mode>,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Accept,
    Refuse,
    Hang,
}

impl Connector for Pipes {
    fn connect(&self, _: &config::SocketAddress) -> BoxFuture<io::Result<Box<dyn Io>>> {
        let mode = *lock(&self.mode);
        let (near, far) = tokio::io::duplex(1 << 20);
        let sent = match mode {
            Mode::Accept => self.servers.send(far).map_err(|_| io::ErrorKind::ConnectionRefused.into()),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        };
        let near = Counted { pipe: near, writes: Arc::clone(&self.writes) };
        Box::pin(async move {
            if matches!(mode, Mode::Hang) {
                std::future::pending::<()>().await;
            }
            sent.map(|()| Box::new(near) as Box<dyn Io>)
        })
    }
}

/// The proxy's end of a pipe.
struct Counted {
    pipe: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, into)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Relaxed);
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

/// A cluster "c", a downstream connection, and the servers' ends of upstream connections as they are made.
struct Bench {
    clusters: Clusters,
    pipes: Arc<Pipes>,
    servers: mpsc::UnboundedReceiver<DuplexStream>,
    conn: Arc<ConnInfo>,
}

impl Bench {
    fn new(serving: Serving) -> Self {
        Self::with(serving, cluster())
    }

    fn with(serving: Serving, config: config::Cluster) -> Self {
        let (sender, servers) = mpsc::unbounded_channel();
        let pipes = Arc::new(Pipes { servers: sender, writes: Arc::default(), mode: Mutex::new(Mode::Accept) });
        let clusters = Clusters::new(Context::new().with_connector(Arc::clone(&pipes) as Arc<dyn Connector>));
        clusters.update([config]);
        Self { clusters, pipes, servers, conn: conn(serving) }
    }

    fn set_mode(&self, mode: Mode) {
        *lock(&self.pipes.mode) = mode;
    }

    fn request(&self, frame: Bytes) -> Request {
        request(&self.conn, frame)
    }

    /// Begins a call in a task of its own.
    fn call(&self, kind: u8, id: u32, payload: &str) -> Call {
        self.send(self.request(frame(kind, id, payload.as_bytes())))
    }

    fn send(&self, request: Request) -> Call {
        tokio::spawn(self.clusters.get("c").expect("configured").forward(request))
    }

    fn call_with(&self, affinity: Affinity, id: u32, payload: &str) -> Call {
        let Request { message, conn, rules, facts, .. } = self.request(frame(REQUEST, id, payload.as_bytes()));
        let mut head = message.head().clone();
        head.set_affinity(affinity);
        self.send(Request::new(Message::new(message.frame().clone(), head), conn, rules, facts))
    }

    async fn server(&mut self) -> Server {
        Server(soon(self.servers.recv()).await.expect("a connection"))
    }

    async fn no_server(&mut self) {
        settle().await;
        assert!(self.servers.try_recv().is_err(), "a connection that is not needed");
    }

    fn count(&self, name: &str) -> i64 {
        let mut samples = Samples::default();
        self.clusters.collect(&mut samples);
        match samples.get(&format!("cluster.c.{name}")).expect("a known name") {
            crate::observe::Value::Counter(count) => count.try_into().expect("small"),
            crate::observe::Value::Gauge(count) => count,
            other @ crate::observe::Value::Histogram(_) => panic!("{other:?}"),
        }
    }
}

type Call = JoinHandle<Result<Response, BoxError>>;

fn cluster() -> config::Cluster {
    config::Cluster::new("c").with_endpoint(SocketAddr::from(([127, 0, 0, 1], 1)))
}

fn conn(serving: Serving) -> Arc<ConnInfo> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    Arc::new(ConnInfo::new("test".into(), Arc::new(Toy(serving)), nowhere, nowhere))
}

fn request(conn: &Arc<ConnInfo>, frame: Bytes) -> Request {
    let mut head = Head::new();
    let _ = Toy(Serving::Serial).parse(&frame, &Demand::none(), &mut head);
    let facts = Facts::new(Instant::now(), head.kind(), frame.len() as u64);
    Request::new(Message::new(frame, head), Arc::clone(conn), Arc::new(Rules::empty()), facts)
}

/// Lets every task run until it waits.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Returns id and payload of the answer.
async fn answer(call: Call) -> (u32, String) {
    match outcome(call).await {
        Ok(Response::Message(message)) => {
            let id = u32::try_from(message.id().number()).expect("32 bits");
            (id, String::from_utf8_lossy(&message.frame()[9..]).into_owned())
        }
        other => panic!("{other:?}"),
    }
}

/// Returns why there is no answer.
async fn failure(call: Call) -> (Reason, String) {
    let error = outcome(call).await.expect_err("no answer");
    let reply = error.downcast_ref::<LocalReply>().expect("a reply");
    (reply.reason(), reply.text().to_owned())
}

async fn outcome(call: Call) -> Result<Response, BoxError> {
    soon(call).await.expect("no panic")
}

/// Fails where something never happens, rather than let the paused clock run on.
async fn soon<T>(something: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3600), something).await.expect("nobody waits for ever")
}

/// The server's end of a connection.
struct Server(DuplexStream);

impl Server {
    /// Reads one frame: kind, id, payload.
    async fn read(&mut self) -> (u8, u32, String) {
        let len = soon(self.0.read_u32()).await.expect("a frame");
        let kind = self.0.read_u8().await.expect("a frame");
        let id = self.0.read_u32().await.expect("a frame");
        let mut payload = vec![0; len as usize - 5];
        self.0.read_exact(&mut payload).await.expect("a frame");
        (kind, id, String::from_utf8(payload).expect("text"))
    }

    async fn write(&mut self, kind: u8, id: u32, payload: &str) {
        self.0.write_all(&frame(kind, id, payload.as_bytes())).await.expect("the connection is open");
    }

    /// Reads a request and answers it with its own payload.
    async fn echo(&mut self) {
        let (_, id, payload) = self.read().await;
        self.write(RESPONSE, id, &payload).await;
    }

    /// Tells whether the proxy has closed the connection, with nothing unread on it.
    async fn is_closed(&mut self) -> bool {
        settle().await;
        matches!(self.0.read(&mut [0]).now_or_never(), Some(Ok(0)))
    }

    async fn is_silent(&mut self) -> bool {
        settle().await;
        self.0.read(&mut [0]).now_or_never().is_none()
    }
}
