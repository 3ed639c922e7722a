use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};
use std::task::{Context, Poll, ready};

use aeraki_route::config::TrafficDirection;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::Instant,
};

use super::*;
use crate::{observe::Metrics, server::Accepted, sync::lock};

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> (u16, String) {
    let request = format!("{request} HTTP/1.1\r\nhost: admin\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("open");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("text");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
    (head[9..12].parse().expect("a status"), body.to_owned())
}

#[tokio::test]
async fn shows_statistics_and_readiness() {
    let (stats, drain) = (Stats::new(), Drain::new());
    let metrics = Metrics::new("dubbo", "in");
    metrics.counters.request.add(3);
    stats.register(metrics);
    let ready = Arc::new(AtomicBool::new(false));
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (listeners, is_ready) = (ListenerDrains::of(&drain), Arc::clone(&ready));
    let admin = Admin::new(socket, stats, drain.clone(), listeners, move || is_ready.load(Ordering::Relaxed));
    let admin = admin.expect("a socket");
    let address = admin.local_addr();
    let served = tokio::spawn(admin.serve());
    let ask = async |request| ask(TcpStream::connect(address).await.expect("it listens"), request).await;

    let (status, body) = ask("GET /stats").await;
    assert!(status == 200 && body.contains("meta_protocol.dubbo.in.request: 3\n"), "{body}");
    let (status, body) = ask("GET /stats/prometheus").await;
    let line = "meta_protocol_request_total{protocol=\"dubbo\",stat_prefix=\"in\"} 3\n";
    assert!(status == 200 && body.contains(line), "{body}");
    assert_eq!(ask("GET /other").await.0, 404);
    assert_eq!(ask("POST /stats").await, (405, "only GET\n".to_owned()));

    assert_eq!(ask("GET /ready").await, (503, "INITIALIZING\n".to_owned()));
    ready.store(true, Ordering::Relaxed);
    assert_eq!(ask("GET /ready").await, (200, "LIVE\n".to_owned()));
    drain.begin();
    assert_eq!(ask("GET /ready").await, (503, "DRAINING\n".to_owned()));
    drain.close();
    served.await.expect("no panic");

    std::net::TcpListener::bind(address).expect("the port is free again");
}

/// An admin interface whose connections the test makes.
struct Bench {
    accepts: mpsc::UnboundedSender<io::Result<DuplexStream>>,
    listeners: ListenerDrains,
    drain: Drain,
    served: JoinHandle<()>,
}

/// Accepts what it is sent.
struct Script(Mutex<mpsc::UnboundedReceiver<io::Result<DuplexStream>>>);

impl Accept for Script {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Io>, Accepted)>> {
        let Some(next) = ready!(lock(&self.0).poll_recv(cx)) else { return Poll::Pending };
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        Poll::Ready(next.map(|io| (Box::new(io) as Box<dyn Io>, Accepted::new(nowhere, nowhere))))
    }
}

impl Bench {
    fn new() -> Self {
        let (accepts, script) = mpsc::unbounded_channel();
        let drain = Drain::new();
        let listeners = ListenerDrains::of(&drain);
        let stats = Stats::new();
        stats.register(Metrics::new("dubbo", "in"));
        let (draining, listening) = (drain.clone(), listeners.clone());
        let view = View { stats, drain: draining, listeners: listening, is_ready: Box::new(|| true) };
        let served = tokio::spawn(Arc::new(view).serve(Script(Mutex::new(script))));
        Self { accepts, listeners, drain, served }
    }

    fn fail(&self, code: i32) {
        self.accepts.send(Err(io::Error::from_raw_os_error(code))).expect("it serves");
    }

    /// Connects by a pipe that holds less than any answer.
    fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(64);
        self.accepts.send(Ok(far)).expect("it serves");
        near
    }

    /// Asks for much and reads nothing of it.
    async fn connect_and_not_read(&self) -> DuplexStream {
        let mut client = self.connect();
        client.write_all(b"GET /stats HTTP/1.1\r\nhost: admin\r\n\r\n").await.expect("it is read");
        client
    }

    async fn ask(&self, request: &str) -> (u16, String) {
        timeout(Duration::from_secs(5), ask(self.connect(), request)).await.expect("an answer in time")
    }
}

const EMFILE: i32 = 24;

#[tokio::test(start_paused = true)]
async fn connections_that_cannot_be_accepted_do_not_end_it() {
    let bench = Bench::new();
    let began = Instant::now();
    bench.fail(EMFILE);
    bench.fail(EMFILE);
    assert_eq!(bench.ask("GET /ready").await, (200, "LIVE\n".to_owned()));
    assert_eq!(began.elapsed().as_millis(), 200, "the system is given a moment each time");
    bench.fail(EMFILE);
    tokio::task::yield_now().await;
    bench.drain.close();
    bench.served.await.expect("no panic");
    assert!(began.elapsed().as_millis() <= 300, "it does not wait when it is time to go");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_shuts_nobody_out_and_is_left_in_time() {
    let bench = Bench::new();
    let began = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..=MOST_CONNECTIONS {
        clients.push(bench.connect_and_not_read().await);
    }
    assert_eq!(bench.ask("GET /ready").await.0, 200);
    assert_eq!(began.elapsed(), Duration::ZERO);
    let mut ends = Vec::new();
    for mut client in clients {
        client.write_all(b"x").await.err();
        // what waits in the pipe is not read before the end has come
        while client.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        ends.push(began.elapsed().as_secs());
    }
    // the first two have made room for the last one and for who asked
    assert_eq!((&ends[..2], &ends[2..]), (&[0, 0][..], &[30; 63][..]));
}

#[tokio::test(start_paused = true)]
async fn listeners_drain_when_it_is_asked_to() {
    let bench = Bench::new();
    let [inbound, outbound] = [TrafficDirection::Inbound, TrafficDirection::Outbound];
    let [inbound, outbound] = [inbound, outbound].map(|direction| bench.listeners.of_direction(direction).part());
    let phases = || [inbound.phase(), outbound.phase(), bench.drain.phase()];
    assert_eq!(bench.ask("GET /drain_listeners").await, (405, "only POST\n".to_owned()));
    let refused = (400, "\"skip_exit\" is not supported\n".to_owned());
    assert_eq!(bench.ask("POST /drain_listeners?graceful&skip_exit").await, refused);
    assert_eq!(phases(), [Phase::Serving; 3]);

    let ok = (200, "OK\n".to_owned());
    assert_eq!(bench.ask("POST /drain_listeners?inboundonly&graceful").await, ok);
    assert_eq!(phases(), [Phase::Draining, Phase::Serving, Phase::Serving]);
    assert_eq!(bench.ask("GET /ready").await, (503, "DRAINING\n".to_owned()));
    assert_eq!(bench.ask("POST /drain_listeners").await, ok);
    assert_eq!(phases(), [Phase::Draining, Phase::Draining, Phase::Serving]);
    assert_eq!(bench.ask("GET /stats").await.0, 200, "the process lives on");
}
