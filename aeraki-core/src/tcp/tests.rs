use std::{
    collections::HashSet,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use aeraki_codec::Reason;
use aeraki_route::config::{self, Cluster, Destination, OutlierDetection, RingHash, WeightedCluster};
use proptest::{collection::vec, prelude::*};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::*;
use crate::{
    io::Io,
    observe::{Collect, Samples, Value},
    server::{Accepted, Drain, Serve},
    stack::BoxFuture,
    sync::lock,
    upstream::{Clusters, Connector, Context},
};

/// Hands the servers' ends of connections to the test, and refuses those to some ports.
#[derive(Debug)]
struct Pipes {
    servers: mpsc::UnboundedSender<(u16, DuplexStream)>,
    refuse: Mutex<HashSet<u16>>,
    /// How long it takes to connect.
    delay: Mutex<Duration>,
    size: usize,
}

impl Connector for Pipes {
    fn connect(&self, address: &config::SocketAddress) -> BoxFuture<io::Result<Box<dyn Io>>> {
        let port = address.as_ip().expect("an IP address").port();
        let refused = lock(&self.refuse).contains(&port);
        let (near, far) = tokio::io::duplex(self.size);
        let _ = refused || self.servers.send((port, far)).is_err();
        let made = if refused { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(Box::new(near) as _) };
        let delay = *lock(&self.delay);
        Box::pin(async move {
            if !delay.is_zero() {
                sleep(delay).await;
            }
            made
        })
    }
}

/// A proxy whose clients and servers the test plays itself.
struct Bench {
    proxy: TcpProxy,
    clusters: Arc<Clusters>,
    pipes: Arc<Pipes>,
    servers: mpsc::UnboundedReceiver<(u16, DuplexStream)>,
    records: Arc<Mutex<Vec<Record>>>,
    stats: Arc<TcpStats>,
    drain: Drain,
    size: usize,
}

impl Bench {
    /// Passes everything on to the cluster `c`, which has the ports 1 and 2.
    fn new(adjust: impl FnOnce(config::TcpProxy) -> config::TcpProxy) -> Self {
        Self::of(adjust(config::TcpProxy::new("t", "c")), Cluster::new("c"), 1 << 16)
    }

    fn of(config: config::TcpProxy, cluster: Cluster, size: usize) -> Self {
        let (sender, servers) = mpsc::unbounded_channel();
        let (refuse, delay) = Default::default();
        let pipes = Arc::new(Pipes { servers: sender, refuse, delay, size });
        let clusters = Arc::new(Clusters::new(Context::new().with_connector(Arc::clone(&pipes) as _)));
        clusters.update([cluster.with_endpoint(local(1)).with_endpoint(local(2))]);
        let stats = TcpStats::new("t");
        let records: Arc<Mutex<Vec<Record>>> = Arc::default();
        let seen = Arc::clone(&records);
        let proxy = TcpProxy::new(config, Arc::clone(&clusters), Arc::clone(&stats));
        let proxy = proxy.with_observer(move |record| lock(&seen).push(record.clone()));
        Self { proxy, clusters, pipes, servers, records, stats, drain: Drain::new(), size }
    }

    fn connect(&self) -> (DuplexStream, JoinHandle<()>) {
        let (near, far) = tokio::io::duplex(self.size);
        let accepted = Accepted::new(SocketAddr::from(([10, 0, 0, 7], 4242)), local(80));
        (near, tokio::spawn(self.proxy.serve(Box::new(far), accepted, self.drain.clone())))
    }

    async fn server(&mut self) -> (u16, DuplexStream) {
        timeout(LONG, self.servers.recv()).await.expect("the proxy connects").expect("the proxy is there")
    }

    /// Connects, and returns both ends.
    async fn pair(&mut self) -> (DuplexStream, DuplexStream, JoinHandle<()>) {
        let (client, served) = self.connect();
        let (_, server) = self.server().await;
        (client, server, served)
    }

    /// Returns the one record that there is.
    fn record(&self) -> Record {
        let records = lock(&self.records);
        let [record] = &records[..] else { panic!("one record, not {records:?}") };
        record.clone()
    }

    fn count(&self, name: &str) -> i64 {
        let mut samples = Samples::default();
        self.stats.collect(&mut samples);
        self.clusters.collect(&mut samples);
        match samples.get(name) {
            Some(Value::Counter(count)) => i64::try_from(count).expect("small"),
            Some(Value::Gauge(count)) => count,
            other => panic!("{name}: {other:?}"),
        }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

async fn expect(stream: &mut DuplexStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    timeout(LONG, stream.read_exact(&mut got)).await.expect("in time").expect("as many bytes as expected");
    assert_eq!(got, bytes);
}

async fn rest(stream: &mut DuplexStream) -> Vec<u8> {
    let mut rest = Vec::new();
    timeout(LONG, stream.read_to_end(&mut rest)).await.expect("it ends").expect("bytes");
    rest
}

const LONG: Duration = Duration::from_secs(1000 * 3600);

#[tokio::test(start_paused = true)]
async fn a_server_may_speak_first_and_each_side_stop_before_the_other() {
    let mut bench = Bench::new(|config| config);
    let (mut client, mut server, served) = bench.pair().await;
    server.write_all(b"hello").await.expect("open");
    expect(&mut client, b"hello").await;
    assert_eq!((bench.count("tcp.t.downstream_cx_active"), bench.count("cluster.c.upstream_cx_active")), (1, 1));
    client.write_all(b"who is there?").await.expect("open");
    client.shutdown().await.expect("open");
    assert_eq!(rest(&mut server).await, b"who is there?");
    sleep(Duration::from_secs(60)).await;
    server.write_all(b"nobody").await.expect("the other direction is open");
    drop(server);
    assert_eq!(rest(&mut client).await, b"nobody");
    served.await.expect("no panic");

    let record = bench.record();
    assert_eq!((record.end, record.rx_bytes, record.tx_bytes), (End::Finished, 13, 11));
    assert_eq!(record.cluster.as_deref(), Some("c"));
    assert!(record.endpoint.is_some_and(|endpoint| [local(1).into(), local(2).into()].contains(&endpoint)));
    assert_eq!(bench.count("tcp.t.downstream_cx_rx_bytes_total"), 13);
    assert_eq!(bench.count("tcp.t.downstream_cx_tx_bytes_total"), 11);
    assert_eq!((bench.count("tcp.t.downstream_cx_total"), bench.count("tcp.t.downstream_cx_active")), (1, 0));
    assert_eq!((bench.count("cluster.c.upstream_cx_total"), bench.count("cluster.c.upstream_cx_active")), (1, 0));
    assert_eq!(bench.count("cluster.c.upstream_rq_active"), 0);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_not_read_from() {
    let mut bench = Bench::of(config::TcpProxy::new("t", "c"), Cluster::new("c"), 1000);
    let (mut client, mut server, _served) = bench.pair().await;
    let flood = vec![7; 1 << 20];
    for _ in 0..2 {
        std::mem::swap(&mut client, &mut server);
        let (from, to) = (&mut client, &mut server);
        let mut taken = 0;
        while let Ok(Ok(count)) = timeout(Duration::from_secs(1), from.write(&flood[taken..])).await {
            taken += count;
        }
        assert!(taken <= 2 * 1000 + crate::io::Inbox::CHUNK, "{taken} bytes are under way");
        expect(to, &flood[..taken]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_passes_is_closed() {
    let mut bench = Bench::new(|config| config);
    let (mut client, mut server, served) = bench.pair().await;
    for _ in 0..3 {
        sleep(Duration::from_secs(3500)).await;
        client.write_all(b"a").await.expect("open");
        expect(&mut server, b"a").await;
        sleep(Duration::from_secs(3500)).await;
        server.write_all(b"b").await.expect("open");
        expect(&mut client, b"b").await;
    }
    let quiet = tokio::time::Instant::now();
    assert_eq!((rest(&mut client).await, rest(&mut server).await), (vec![], vec![]));
    assert_eq!(quiet.elapsed().as_secs(), 3600);
    served.await.expect("no panic");
    assert_eq!((bench.record().end, bench.count("tcp.t.idle_timeout")), (End::Idle, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_lives_no_longer_than_it_may() {
    let duration = Duration::from_secs(5);
    let mut bench =
        Bench::new(|config| config.with_idle_timeout(None).with_max_downstream_connection_duration(duration));
    let began = tokio::time::Instant::now();
    let (mut client, mut server, served) = bench.pair().await;
    tokio::spawn(async move {
        while client.write_all(b"a").await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
    });
    rest(&mut server).await;
    assert_eq!(began.elapsed().as_secs(), 5);
    served.await.expect("no panic");
    assert_eq!(bench.record().end, End::MaxDuration);
    assert_eq!(bench.count("tcp.t.max_downstream_connection_duration"), 1);
}

#[tokio::test(start_paused = true)]
async fn without_time_outs_nothing_ends_a_connection() {
    let mut bench = Bench::new(|config| config.with_idle_timeout(None));
    let (mut client, mut server, _served) = bench.pair().await;
    sleep(Duration::from_secs(1_000_000)).await;
    client.write_all(b"still here").await.expect("open");
    expect(&mut server, b"still here").await;
}

#[tokio::test(start_paused = true)]
async fn another_endpoint_is_tried_as_often_as_asked() {
    let mut bench = Bench::new(|config| config.with_max_connect_attempts(2));
    lock(&bench.pipes.refuse).insert(1);
    for _ in 0..8 {
        let (mut client, served) = bench.connect();
        let (port, mut server) = bench.server().await;
        assert_eq!(port, 2);
        client.write_all(b"a").await.expect("open");
        expect(&mut server, b"a").await;
        drop((client, server));
        served.await.expect("no panic");
    }
    assert_eq!(bench.count("cluster.c.upstream_cx_connect_attempts_exceeded"), 0);
    let failed = bench.count("cluster.c.upstream_cx_connect_fail");
    assert!(failed > 0, "the first one was never tried");
    lock(&bench.records).clear();

    lock(&bench.pipes.refuse).insert(2);
    let (mut client, served) = bench.connect();
    assert_eq!(rest(&mut client).await, b"");
    drop(client);
    served.await.expect("no panic");
    assert_eq!(bench.record().end, End::Unmade(Reason::ConnectFailure));
    assert_eq!(bench.count("cluster.c.upstream_cx_connect_attempts_exceeded"), 1);
    assert_eq!(bench.count("cluster.c.upstream_cx_connect_fail"), failed + 2);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_is_taken_out() {
    let mut detection = OutlierDetection::default();
    detection.max_ejection_percent = 100;
    let cluster = Cluster::new("c").with_outlier_detection(detection);
    let mut bench = Bench::of(config::TcpProxy::new("t", "c"), cluster, 1000);
    lock(&bench.pipes.refuse).insert(1);
    while bench.count("cluster.c.outlier_detection.ejections_active") == 0 {
        drop(bench.connect().0);
        tokio::task::yield_now().await;
    }
    let failed = bench.count("cluster.c.upstream_cx_connect_fail");
    while bench.servers.try_recv().is_ok() {}
    for _ in 0..10 {
        let (_client, _served) = bench.connect();
        assert_eq!(bench.server().await.0, 2);
    }
    assert_eq!(bench.count("cluster.c.upstream_cx_connect_fail"), failed);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_passed_on_is_closed_and_counted() {
    let mut cluster = Cluster::new("c");
    cluster.limits.thresholds.max_connections = 1;
    let mut bench = Bench::of(config::TcpProxy::new("t", "c"), cluster, 1000);
    let (first, server, served) = bench.pair().await;
    let (mut second, _) = bench.connect();
    assert_eq!(rest(&mut second).await, b"");
    assert_eq!(bench.record().end, End::Unmade(Reason::Overflow));
    assert_eq!(bench.count("cluster.c.upstream_cx_overflow"), 1);
    drop((first, server));
    served.await.expect("no panic");
    let (_third, ..) = bench.pair().await;

    lock(&bench.records).clear();
    bench.clusters.update([Cluster::new("c")]);
    let (mut fourth, _) = bench.connect();
    assert_eq!(rest(&mut fourth).await, b"");
    assert_eq!(bench.record().end, End::Unmade(Reason::NoHealthyUpstream));
    assert_eq!(bench.count("cluster.c.upstream_cx_none_healthy"), 1);

    lock(&bench.records).clear();
    bench.clusters.update([]);
    let (mut fifth, _) = bench.connect();
    assert_eq!(rest(&mut fifth).await, b"");
    assert_eq!(bench.record().end, End::Unmade(Reason::ClusterNotFound));
    assert_eq!(bench.stats.counters.downstream_cx_no_route.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn draining_lets_connections_finish_until_the_time_is_up() {
    let mut bench = Bench::new(|config| config);
    let (mut client, mut server, served) = bench.pair().await;
    bench.drain.begin();
    sleep(Duration::from_secs(600)).await;
    client.write_all(b"a").await.expect("open");
    expect(&mut server, b"a").await;
    bench.drain.close();
    served.await.expect("no panic");
    assert_eq!(bench.record().end, End::Cut);
    assert_eq!(rest(&mut client).await, b"");
}

/// A connection to a server is under way, and one after the other fails.
fn connecting() -> Bench {
    let bench = Bench::new(|config| config.with_max_connect_attempts(1000));
    *lock(&bench.pipes.delay) = LONG;
    bench
}

#[tokio::test(start_paused = true)]
async fn nobody_connects_for_a_client_that_is_gone() {
    // who has sent more than is read before is noticed a little later
    for (sent, within) in [(0, Duration::ZERO), (20_000, Duration::from_secs(1))] {
        let bench = connecting();
        let began = tokio::time::Instant::now();
        let (mut client, served) = bench.connect();
        client.write_all(&vec![7; sent]).await.expect("open");
        tokio::task::yield_now().await;
        drop(client);
        served.await.expect("no panic");
        assert_eq!((bench.record().end, began.elapsed()), (End::Client, within));
        assert_eq!(bench.count("cluster.c.upstream_rq_active"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn while_draining_nobody_waits_for_a_connection_to_a_server() {
    let bench = connecting();
    let (mut client, served) = bench.connect();
    client.write_all(b"hello?").await.expect("open");
    sleep(Duration::from_millis(100)).await;
    let began = tokio::time::Instant::now();
    bench.drain.begin();
    served.await.expect("no panic");
    assert_eq!((bench.record().end, began.elapsed().as_secs()), (End::Cut, 1));
    assert_eq!(bench.record().rx_bytes, 6);
}

#[tokio::test(start_paused = true)]
async fn what_a_client_says_before_the_server_is_there_is_passed_on() {
    let mut bench = Bench::new(|config| config);
    *lock(&bench.pipes.delay) = Duration::from_millis(100);
    let (mut client, served) = bench.connect();
    let flood = vec![7; 30_000];
    client.write_all(&flood).await.expect("room in the pipe");
    client.shutdown().await.expect("open");
    let (_, mut server) = bench.server().await;
    assert_eq!(rest(&mut server).await, flood);
    server.write_all(b"well").await.expect("the other direction is open");
    drop(server);
    assert_eq!(rest(&mut client).await, b"well");
    served.await.expect("no panic");
    let record = bench.record();
    assert_eq!((record.end, record.rx_bytes, record.tx_bytes), (End::Finished, 30_000, 4));
    assert_eq!(bench.count("tcp.t.downstream_cx_rx_bytes_total"), 30_000);

    // all that it says at once, before there is anybody to hear it
    lock(&bench.records).clear();
    let (mut client, served) = bench.connect();
    client.write_all(b"bye").await.expect("room in the pipe");
    client.shutdown().await.expect("open");
    let (_, mut server) = bench.server().await;
    assert_eq!(rest(&mut server).await, b"bye");
    drop(server);
    served.await.expect("no panic");
    assert_eq!(bench.record().rx_bytes, 3);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_known_by_its_address_keeps_its_endpoint() {
    let cluster = Cluster::new("c").with_lb_policy(config::LbPolicy::RingHash(RingHash::default()));
    let mut bench = Bench::of(config::TcpProxy::new("t", "c").with_source_ip_hash(), cluster, 1000);
    let mut ports = HashSet::new();
    for _ in 0..16 {
        let (_client, _served) = bench.connect();
        ports.insert(bench.server().await.0);
    }
    assert_eq!(ports.len(), 1, "{ports:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_are_shared_by_weight() {
    let clusters = Destination::Weighted(vec![WeightedCluster::new("c", 1), WeightedCluster::new("gone", 1)]);
    let mut bench = Bench::of(config::TcpProxy::to("t", clusters), Cluster::new("c"), 1000);
    for _ in 0..64 {
        bench.connect().1.await.expect("no panic");
        while bench.servers.try_recv().is_ok() {}
    }
    let gone = bench.count("tcp.t.downstream_cx_no_route");
    assert!((10..54).contains(&gone), "{gone} of 64");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_listens_no_more_may_finish_what_it_says() {
    let mut bench = Bench::of(config::TcpProxy::new("t", "c"), Cluster::new("c"), 16);
    let (mut client, server, served) = bench.pair().await;
    let (hears, mut says) = tokio::io::split(server);
    says.write_all(b"too much!").await.expect("open");
    drop((hears, says));
    client.write_all(&[0; 16]).await.expect("room in the pipe");
    assert_eq!(rest(&mut client).await, b"too much!");
    drop(client);
    served.await.expect("no panic");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is written in whatever pieces through pipes of any size arrives, in both directions at once.
    #[test]
    fn every_byte_arrives_in_order(
        size in 1usize..40_000,
        up in vec(vec(any::<u8>(), 0..5000), 0..8),
        down in vec(vec(any::<u8>(), 0..5000), 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut bench = Bench::of(config::TcpProxy::new("t", "c"), Cluster::new("c"), size);
            let (client, server, served) = bench.pair().await;
            let talk = |stream: DuplexStream, pieces: Vec<Vec<u8>>| async move {
                let (mut hears, mut says) = tokio::io::split(stream);
                let speak = async {
                    for piece in &pieces {
                        says.write_all(piece).await.expect("open");
                        tokio::task::yield_now().await;
                    }
                    says.shutdown().await.expect("open");
                };
                let mut heard = Vec::new();
                let listen = hears.read_to_end(&mut heard);
                tokio::join!(speak, async { listen.await.expect("bytes") });
                heard
            };
            let both = async { tokio::join!(talk(client, up.clone()), talk(server, down.clone())) };
            let (heard_down, heard_up) = timeout(LONG, both).await.expect("nothing hangs");
            assert_eq!((heard_up, heard_down), (up.concat(), down.concat()));
            served.await.expect("no panic");
            assert_eq!(bench.record().end, End::Finished);
        });
    }
}

/// Sends until nobody takes any more.
async fn fill(stream: &mut DuplexStream) {
    while timeout(Duration::from_millis(10), stream.write_all(&[7; 1000])).await.is_ok() {}
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_is_noticed_though_the_other_side_takes_nothing() {
    for (client_goes, end) in [(true, End::Client), (false, End::Server)] {
        let mut bench = Bench::new(|config| config.with_idle_timeout(None));
        let (mut client, mut server, served) = bench.pair().await;
        let (gone, stays) = if client_goes { (&mut client, &mut server) } else { (&mut server, &mut client) };
        fill(gone).await;
        sleep(Duration::from_secs(100)).await;
        assert!(!served.is_finished(), "both are there");
        stays.write_all(b"are you there?").await.expect("open");
        sleep(Duration::from_secs(100)).await;
        assert!(!served.is_finished(), "both are there");
        *gone = tokio::io::duplex(1).0;
        timeout(Duration::from_secs(2), served).await.expect("it is noticed").expect("no panic");
        assert_eq!(bench.record().end, end);
    }
}

#[tokio::test]
async fn a_reset_is_noticed_though_the_other_side_takes_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut bench = Bench::new(|config| config);
    let client = TcpStream::connect(address).await.expect("it listens");
    let (stream, peer) = listener.accept().await.expect("somebody came");
    let served = tokio::spawn(bench.proxy.serve(Box::new(stream), Accepted::new(peer, address), bench.drain.clone()));
    let _server = bench.server().await;
    let more = vec![7; 1 << 20];
    while timeout(Duration::from_millis(100), client.writable()).await.is_ok() {
        let _ = client.try_write(&more);
    }
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("is known");
    drop(client);
    timeout(Duration::from_secs(10), served).await.expect("it is noticed").expect("no panic");
    assert_eq!(bench.record().end, End::Client);
}
