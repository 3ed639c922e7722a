//! Streams through the whole proxy, between a client and servers over in-memory pipes that the test plays itself.

mod bounds;
mod ends;
mod openings;
mod property;

use std::{io, net::SocketAddr};

use aeraki_codec::Opening;
use aeraki_route::config::{Cluster, Route, RouteAction, RouteConfig, StreamTimeouts};
use futures_util::FutureExt;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::mpsc,
};

use super::*;
use crate::{
    io::Io,
    observe::{Collect, Samples, Value},
    stack::{ApplyPolicies, BoxFuture, GateLayer, NoRateLimiters, Resolve, Wheel, stack},
    upstream::{Clusters, Connector, Context},
};

/// Hands the server's end of every connection to the test.
#[derive(Debug)]
struct Pipes {
    servers: mpsc::UnboundedSender<DuplexStream>,
    /// Bytes that a connection takes before somebody reads.
    room: usize,
}

impl Connector for Pipes {
    fn connect(&self, _: &aeraki_route::config::SocketAddress) -> BoxFuture<io::Result<Box<dyn Io>>> {
        let (near, far) = tokio::io::duplex(self.room);
        let sent = self.servers.send(far).map_err(|_| io::ErrorKind::ConnectionRefused.into());
        Box::pin(std::future::ready(sent.map(|()| Box::new(near) as Box<dyn Io>)))
    }
}

/// How a [`Mesh`] differs from the simplest one.
struct Setup {
    opening: Opening,
    replies: Replies,
    limits: ListenerLimits,
    timeouts: StreamTimeouts,
    action: RouteAction,
    room: usize,
    budget: Budget,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            opening: Opening::Answered,
            replies: Replies::AnyOrder,
            limits: ListenerLimits::default(),
            timeouts: StreamTimeouts::default(),
            action: RouteAction::cluster("c"),
            room: 64 * 1024,
            budget: Budget::default(),
        }
    }
}

/// A proxy between one client and the servers of one cluster.
struct Mesh {
    client: End,
    servers: mpsc::UnboundedReceiver<DuplexStream>,
    metrics: Arc<Metrics>,
    budget: Budget,
    drain: Drain,
    served: JoinHandle<()>,
    rpc: Rpc<crate::stack::Stack>,
    /// Bytes that a connection takes before somebody reads.
    room: usize,
    _clusters: Arc<Clusters>,
}

impl Mesh {
    fn new() -> Self {
        Self::with(Setup::default())
    }

    fn with(setup: Setup) -> Self {
        let Setup { opening, replies, limits, timeouts, action, room, budget } = setup;
        let (sender, servers) = mpsc::unbounded_channel();
        let clusters =
            Arc::new(Clusters::new(Context::new().with_connector(Arc::new(Pipes { servers: sender, room }))));
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        clusters.update([Cluster::new("c").with_endpoint(address)]);
        let metrics = Metrics::new("lines", "test");
        let routes = RouteConfig::new("table", [Route::new("all", action)]);
        let rules = Arc::new(SharedRules::new(Rules::compile(&routes).expect("a good table")));
        let wheel = Wheel::spawn();
        let policies = ApplyPolicies::new(Arc::new(NoRateLimiters), wheel.clone(), Arc::clone(&metrics));
        let resolve = Arc::clone(&clusters) as Arc<dyn Resolve>;
        let stack = stack(resolve, wheel, Arc::clone(&metrics), &GateLayer::new([]), Arc::new(policies));
        let protocol = Arc::new(Lines { opening, ..*Lines::new(replies) });
        let rpc = Rpc::new("test", protocol, rules, Arc::clone(&metrics), stack)
            .with_limits(limits)
            .with_stream_timeouts(timeouts)
            .with_budget(budget.clone());
        let drain = Drain::new();
        let (client, served) = connect(&rpc, room, &drain);
        Self { client, servers, metrics, budget, drain, served, rpc, room, _clusters: clusters }
    }

    /// Connects one more client.
    fn join(&self) -> End {
        connect(&self.rpc, self.room, &self.drain).0
    }

    async fn server(&mut self) -> End {
        End::new(soon(self.servers.recv()).await.expect("a connection"))
    }

    /// Opens stream `id` and has the server accept it; returns the server and the stream's id there.
    async fn opened(&mut self, id: u64) -> (End, u64) {
        self.client.send(&format!("S {id} a\n")).await;
        let mut server = self.server().await;
        let there = server.accept().await;
        self.client.expect(&format!("S {id} yes")).await;
        (server, there)
    }

    fn count(&self, name: &str) -> i64 {
        let mut samples = Samples::default();
        self.metrics.collect(&mut samples);
        match samples.get(&format!("meta_protocol.lines.test.{name}")) {
            Some(Value::Counter(count)) => count.try_into().expect("small"),
            Some(Value::Gauge(count)) => count,
            Some(Value::Histogram(seen)) => seen.count().try_into().expect("small"),
            None => panic!("no metric {name}"),
        }
    }

    /// Asserts that all that was begun has ended, with one record each.
    async fn expect_rest(&self) {
        settle().await;
        assert_eq!((self.count("stream_active"), self.count("request_active")), (0, 0));
        assert_eq!(self.count("stream_total"), self.count("stream_time_ms"));
        assert_eq!(self.count("request"), self.count("stream_time_ms") + self.count("request_time_ms"));
    }
}

fn connect(rpc: &Rpc<crate::stack::Stack>, room: usize, drain: &Drain) -> (End, JoinHandle<()>) {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let (client, near) = tokio::io::duplex(room);
    let served = tokio::spawn(rpc.serve(Box::new(near), Accepted::new(address, address), drain.clone()));
    (End::new(client), served)
}

/// One end of a connection, and what is still to be sent of a line.
struct End(BufReader<DuplexStream>, Vec<u8>);

impl End {
    fn new(pipe: DuplexStream) -> Self {
        Self(BufReader::new(pipe), Vec::new())
    }

    async fn send(&mut self, text: &str) {
        let mut bytes = std::mem::take(&mut self.1);
        bytes.extend_from_slice(text.as_bytes());
        soon(self.0.write_all(&bytes)).await.expect("the connection is open");
    }

    /// Writes a line again and again until it is not taken any more, whose rest goes before what is sent next; returns
    /// how many there were.
    async fn stuff(&mut self, line: &str) -> usize {
        let mut count = 0;
        loop {
            assert!(count < 5000, "there is no bound");
            count += 1;
            let mut rest = line.as_bytes();
            while !rest.is_empty() {
                match timeout(Duration::from_millis(1), self.0.write(rest)).await {
                    Ok(written) => rest = &rest[written.expect("the connection is open")..],
                    Err(_) => {
                        self.1 = rest.to_vec();
                        return count;
                    }
                }
            }
        }
    }

    /// Reads one line; none at the end.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = soon(self.0.read_line(&mut line)).await.expect("text");
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// Reads one line of those that have come.
    async fn line_there(&mut self) -> Option<String> {
        let there = !self.0.fill_buf().now_or_never()?.expect("the connection is open").is_empty();
        if there { self.line().await } else { None }
    }

    async fn expect(&mut self, line: &str) {
        assert_eq!(self.line().await.as_deref(), Some(line));
    }

    /// Reads an opening and returns the stream's id.
    async fn opening(&mut self) -> u64 {
        let line = self.line().await.expect("an opening");
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some("S"), "{line}");
        words.next().and_then(|id| id.parse().ok()).expect("an id")
    }

    /// Accepts a stream, and returns its id.
    async fn accept(&mut self) -> u64 {
        let id = self.opening().await;
        self.send(&format!("S {id} yes\n")).await;
        id
    }

    /// Asserts that nothing comes, whoever runs.
    async fn expect_silence(&mut self) {
        settle().await;
        let mut line = String::new();
        let read = self.0.read_line(&mut line).now_or_never();
        assert!(read.is_none(), "{read:?} {line:?}");
    }
}

/// Lets every task run until it waits.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Fails where something never happens, rather than let the paused clock run on.
async fn soon<T>(something: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(3600), something).await.expect("nobody waits for ever")
}
