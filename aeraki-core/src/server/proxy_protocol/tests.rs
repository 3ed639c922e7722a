use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc,
};

use super::*;

/// Tells whose connection it is, and reads it to its end.
#[derive(Debug)]
struct Sink(mpsc::UnboundedSender<(Accepted, Vec<u8>)>);

impl Serve for Sink {
    fn serve(&self, mut io: Box<dyn Io>, accepted: Accepted, _: Drain) -> BoxFuture<()> {
        let told = self.0.clone();
        Box::pin(async move {
            let mut read = Vec::new();
            let _ = io.read_to_end(&mut read).await;
            let _ = told.send((accepted, read));
        })
    }
}

struct Bench {
    server: ProxyProtocol,
    served: mpsc::UnboundedReceiver<(Accepted, Vec<u8>)>,
    stats: Arc<ListenerStats>,
    drain: Drain,
}

impl Bench {
    fn new(config: config::ProxyProtocol) -> Self {
        let (sender, served) = mpsc::unbounded_channel();
        let stats = ListenerStats::new("l");
        let server = ProxyProtocol::new(Arc::new(Sink(sender)), config, Arc::clone(&stats));
        Self { server, served, stats, drain: Drain::new() }
    }

    fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(1 << 14);
        let direct = Accepted::new(balancer(), balancer());
        tokio::spawn(self.server.serve(Box::new(far), direct, self.drain.clone()));
        near
    }

    /// Sends pieces one after the other, each once the one before it was taken, and ends.
    async fn send(&self, pieces: &[&[u8]]) {
        let mut client = self.connect();
        for piece in pieces {
            client.write_all(piece).await.expect("room in the pipe");
            tokio::task::yield_now().await;
        }
    }

    /// Returns the peer and the bytes of what is served.
    async fn served(&mut self) -> (SocketAddr, Vec<u8>) {
        let served = timeout(Duration::from_secs(3600), self.served.recv()).await.expect("in time");
        let (accepted, read) = served.expect("a connection is served");
        (accepted.peer, read)
    }

    fn counted(&self) -> [u64; 3] {
        let counters = &self.stats.connections;
        [&counters.proxy_protocol_found, &counters.proxy_protocol_missing, &counters.proxy_protocol_error]
            .map(crate::observe::Counter::get)
    }
}

fn balancer() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9))
}

const HEADER: &[u8] = b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\r\n";

#[tokio::test(start_paused = true)]
async fn the_client_is_who_the_header_says_and_not_a_byte_is_lost() {
    let mut bench = Bench::new(config::ProxyProtocol::default());
    let client = SocketAddr::from(([10, 0, 0, 1], 12345));
    bench.send(&[HEADER, b"hello"]).await;
    assert_eq!(bench.served().await, (client, b"hello".to_vec()));
    bench.send(&[&HEADER[..9], &[&HEADER[9..], b"hel"].concat(), b"lo"]).await;
    assert_eq!(bench.served().await, (client, b"hello".to_vec()));
    bench.send(&[b"PROXY UNKNOWN\r\nhello"]).await;
    assert_eq!(bench.served().await, (balancer(), b"hello".to_vec()));
    assert_eq!(bench.counted(), [3, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn without_a_header_nobody_is_served_unless_that_is_allowed() {
    let mut bench = Bench::new(config::ProxyProtocol::default());
    for first in [&b"hello"[..], b"PROXY nonsense\r\n", b"PROX", b""] {
        bench.send(&[first]).await;
    }
    let mut silent = bench.connect();
    assert_eq!(silent.read(&mut [0]).await.expect("closed"), 0);
    assert!(bench.served.try_recv().is_err());
    assert_eq!(bench.counted(), [0, 4, 5]);

    let mut bench = Bench::new(config::ProxyProtocol::default().with_optional_header(true));
    for first in [&b"hello"[..], b"PROX", b""] {
        bench.send(&[first]).await;
        assert_eq!(bench.served().await, (balancer(), first.to_vec()));
    }
    let mut silent = bench.connect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    silent.write_all(b"late").await.expect("open");
    drop(silent);
    assert_eq!(bench.served().await.1, b"late");
    bench.send(&[b"PROXY nonsense\r\n"]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.counted(), [0, 4, 1]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_header_does_not_hold_a_drain() {
    let bench = Bench::new(config::ProxyProtocol::default());
    let mut silent = bench.connect();
    tokio::task::yield_now().await;
    let began = tokio::time::Instant::now();
    bench.drain.begin();
    assert_eq!(silent.read(&mut [0]).await.expect("closed"), 0);
    assert_eq!((began.elapsed().as_secs(), bench.counted()), (1, [0; 3]));
}

#[tokio::test(start_paused = true)]
async fn headers_count_towards_the_budget() {
    let mut bench = Bench::new(config::ProxyProtocol::default());
    let budget = Budget::new(1 << 20);
    bench.server = bench.server.with_budget(budget.clone());
    let mut client = bench.connect();
    client.write_all(&HEADER[..9]).await.expect("room in the pipe");
    tokio::task::yield_now().await;
    assert!(budget.used() > 0);
    drop(client);
    bench.drain.close();
    tokio::task::yield_now().await;
    assert_eq!(budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_header_does_not_send_anybody_to_the_proxy_itself() {
    let mut bench = Bench::new(config::ProxyProtocol::default());
    let own = OwnAddresses::default();
    bench.server = bench.server.with_own(own.clone());
    own.put(vec![SocketAddr::from(([127, 0, 0, 1], 10)), SocketAddr::from(([0, 0, 0, 0], 11))]);
    for (destination, meant) in [
        ("TCP4 10.0.0.1 127.0.0.1 1 10", false),
        ("TCP4 10.0.0.1 127.0.0.3 1 11", false),
        ("TCP4 10.0.0.1 192.0.2.1 1 10", true),
        ("TCP4 10.0.0.1 127.0.0.1 1 9", false),
        ("TCP4 10.0.0.1 127.0.0.2 1 9", false),
        ("TCP4 10.0.0.1 0.0.0.0 1 9", false),
        ("TCP6 ::1 ::ffff:127.0.0.1 1 9", false),
        ("TCP4 10.0.0.1 127.0.0.1 1 80", true),
        ("TCP4 10.0.0.1 192.0.2.1 1 9", true),
    ] {
        bench.send(&[format!("PROXY {destination}\r\n").as_bytes()]).await;
        let (accepted, _) = bench.served.recv().await.expect("a connection is served");
        assert_eq!(accepted.original_dst().is_some(), meant, "{destination}");
    }
}
