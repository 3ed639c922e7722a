use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};
use std::task::{Context, Poll, ready};

use aeraki_route::config::{self, TrafficDirection};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::Instant,
};

use super::*;
use crate::{observe::Metrics, server::Accepted, sync::lock, upstream::Context as UpstreamContext};

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
    let (status, body) = ask("POST /other").await;
    assert!(status == 404 && body.contains("GET, HEAD /stats?filter&usedonly&format\n"), "{body}");
    assert_eq!(ask("POST /stats").await, (405, "only GET and HEAD\n".to_owned()));

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
    metrics: Arc<Metrics>,
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
        let metrics = Metrics::new("dubbo", "in");
        stats.register(Arc::clone(&metrics) as _);
        let (draining, listening) = (drain.clone(), listeners.clone());
        let endpoint = |port, weight| {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            config::Endpoint::new(address).with_weight(weight).with_health_status(config::HealthStatus::Degraded)
        };
        let mut cluster = config::Cluster::new("shop");
        cluster.limits.thresholds.max_requests = Some(9);
        cluster.endpoints = vec![endpoint(2, 1), endpoint(1, 7)];
        let clusters = Arc::new(Clusters::new(UpstreamContext::new()));
        clusters.update([cluster, config::Cluster::new("none")]);
        let clusters = vec![clusters];
        let view = View { stats, drain: draining, listeners: listening, clusters, is_ready: Box::new(|| true) };
        let served = tokio::spawn(Arc::new(view).serve(Script(Mutex::new(script))));
        Self { accepts, listeners, drain, metrics, served }
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
async fn only_the_numbers_that_are_asked_for_are_shown() {
    let bench = Bench::new();
    bench.metrics.counters.request.add(3);
    let line = "meta_protocol.dubbo.in.request: 3\n";
    let all = bench.ask("GET /stats?format=text").await;
    assert!(all.1.contains(line) && all.1.contains("request_active: 0"), "{all:?}");
    assert_eq!(bench.ask("GET /stats?usedonly").await, (200, line.to_owned()));
    assert_eq!(bench.ask("GET /stats?filter=%5Emeta.*in.req[t-v]est$").await, (200, line.to_owned()));
    assert_eq!(bench.ask("GET /stats?filter=nothing").await, (200, String::new()));

    let json = "{\"stats\":[{\"name\":\"meta_protocol.dubbo.in.request\",\"value\":3}]}";
    assert_eq!(bench.ask("GET /stats?format=json&usedonly").await, (200, json.to_owned()));
    let prometheus = bench.ask("GET /stats/prometheus?usedonly").await;
    assert!(prometheus.1.contains("request_total{protocol=\"dubbo\",stat_prefix=\"in\"} 3\n"), "{prometheus:?}");
    assert!(!prometheus.1.contains("request_active"), "{prometheus:?}");
    assert_eq!(bench.ask("GET /stats?format=prometheus&usedonly").await, prometheus);
}

#[tokio::test(start_paused = true)]
async fn parameters_that_cannot_be_understood_are_named() {
    let bench = Bench::new();
    let long = format!("filter={}", "a".repeat(257));
    for (query, expected) in [
        ("used", "\"used\" is not supported\n"),
        ("format=html", "format: \"html\" is none of json, prometheus and text\n"),
        ("filter=%28", "filter: regex parse error"),
        ("filter=((a{50}){50}){50}", "filter: takes more than 65536 bytes"),
        (&long, "filter: must not exceed 256 bytes\n"),
    ] {
        let (status, body) = bench.ask(&format!("GET /stats?{query}")).await;
        assert!(status == 400 && body.starts_with(expected), "{query}: {body}");
    }
    assert_eq!(bench.ask("GET /ready?x").await, (400, "\"x\" is not supported\n".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn heads_are_shown_without_what_follows_them() {
    let bench = Bench::new();
    for page in PAGES.iter().filter(|page| page.methods.contains(&"GET")) {
        let (status, body) = bench.ask(&format!("HEAD {}", page.path)).await;
        assert_eq!((status, &*body), (200, ""), "{page}");
        assert!(!bench.ask(&format!("GET {}", page.path)).await.1.is_empty(), "{page}");
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_shown_as_envoy_does() {
    let bench = Bench::new();
    let (status, body) = bench.ask("GET /clusters").await;
    let shop: String =
        body.lines().filter_map(|line| line.strip_prefix("shop::127.0.0.1:1::")).collect::<Vec<_>>().join(" ");
    let expected =
        "cx_active::0 rq_active::0 health_flags::/degraded_eds_health weight::7 region:: zone:: sub_zone:: priority::0";
    assert_eq!((status, &*shop), (200, expected));
    assert!(body.starts_with("none::default_priority::max_connections::1024\n"), "{body}");
    assert!(body.contains("shop::default_priority::max_requests::9\n"), "{body}");
    let state = format!("{{\"state\":\"LIVE\",\"version\":\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(bench.ask("GET /server_info").await, (200, state));
}

#[test]
fn every_path_and_parameter_is_documented() {
    let text = include_str!("../../../docs/lifecycle.md");
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `/")).collect();
    assert_eq!(rows.len(), PAGES.len());
    for page in PAGES {
        let row =
            rows.iter().find(|row| row.starts_with(&format!("| `{}` | {} |", page.path, page.methods.join(", "))));
        let row = row.unwrap_or_else(|| panic!("{page} is not documented"));
        page.parameters.iter().for_each(|parameter| assert!(row.contains(&format!("`{parameter}")), "{page}"));
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_does_not_push_out_who_is_answered() {
    let bench = Bench::new();
    let mut asking = bench.connect_and_not_read().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _silent: Vec<_> = (0..2 * MOST_CONNECTIONS).map(|_| bench.connect()).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut answer = String::new();
    asking.read_to_string(&mut answer).await.expect("text");
    let body = answer.split_once("\r\n\r\n").expect("a whole head").1;
    assert!(body.ends_with('\n') && body.contains("dubbo.in."), "{answer}");
    assert!(answer.contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
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
    let refused = (400, "inboundonly: has no value\n".to_owned());
    assert_eq!(bench.ask("POST /drain_listeners?graceful&inboundonly=false").await, refused);
    assert_eq!(phases(), [Phase::Serving; 3]);

    let ok = (200, "OK\n".to_owned());
    assert_eq!(bench.ask("POST /drain_listeners?inboundonly&graceful").await, ok);
    assert_eq!(phases(), [Phase::Draining, Phase::Serving, Phase::Serving]);
    assert_eq!(bench.ask("GET /ready").await, (503, "DRAINING\n".to_owned()));
    assert_eq!(bench.ask("POST /drain_listeners").await, ok);
    assert_eq!(phases(), [Phase::Draining, Phase::Draining, Phase::Serving]);
    assert_eq!(bench.ask("GET /stats").await.0, 200, "the process lives on");
}
