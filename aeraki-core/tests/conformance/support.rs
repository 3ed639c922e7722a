//! A proxy between clients and servers that the test plays itself.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use aeraki_core::{
    codec::{Decoded, Demand, Framer, Kind, Limits, Message, Protocol, Registry, Replies, Role},
    observe::Value,
    proxy::{Proxy, Running},
    route::{
        SharedRules,
        config::{
            self, Cluster, FilterChain, Listener, MetaProtocolProxy, ProtocolConfig, Route, RouteAction, RouteConfig,
            RouteSource,
        },
    },
    stack::Filters,
};
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{lines::Lines, wire::Wire};

/// One end of a connection, played by the test.
pub(crate) struct Peer {
    stream: TcpStream,
    framer: Framer,
    input: BytesMut,
    pub(crate) wire: Wire,
}

impl Peer {
    fn new(stream: TcpStream, wire: Wire, role: Role) -> Self {
        stream.set_nodelay(true).expect("a socket");
        let codec = protocol(wire).codec(role, &Limits::default());
        Self { stream, framer: Framer::new(codec), input: BytesMut::new(), wire }
    }

    pub(crate) async fn connect(address: SocketAddr, wire: Wire) -> Self {
        Self::new(TcpStream::connect(address).await.expect("the proxy listens"), wire, Role::Client)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.stream.local_addr().expect("connected")
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the connection is open");
    }

    pub(crate) async fn call(&mut self, id: u64, method: &str) {
        self.send((self.wire.request)(id, method)).await;
    }

    /// Answers a request that this end has read.
    pub(crate) async fn answer(&mut self, request: &Message) {
        self.send((self.wire.response)(request.id().number())).await;
    }

    /// Reads the next message; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        timeout(PATIENCE, self.read()).await.expect("something comes in time")
    }

    pub(crate) async fn message(&mut self) -> Message {
        self.next().await.expect("a message, not the end")
    }

    async fn read(&mut self) -> Option<Message> {
        loop {
            match self.framer.decode(&mut self.input, &Demand::all()).expect("framing") {
                Decoded::Message(message) => return Some(message),
                Decoded::Partial => {}
                other => panic!("{other:?}"),
            }
            if self.stream.read_buf(&mut self.input).await.ok()? == 0 {
                assert!(self.input.is_empty(), "the end within a frame");
                return None;
            }
        }
    }

    /// Ends the connection at once, whatever is under way.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().expect("a socket");
    }

    /// Sends our end of the stream, and goes on reading.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.expect("the connection is open");
    }
}

/// Calls `method` and answers on the connection that the proxy makes for it; returns what the server read.
pub(crate) async fn served(client: &mut Peer, backend: &Backend, id: u64, method: &str) -> Message {
    client.call(id, method).await;
    let mut server = backend.accept().await;
    let request = server.message().await;
    server.answer(&request).await;
    let answer = client.message().await;
    assert_eq!((answer.id().number(), answer.kind()), (id, Kind::Response));
    request
}

/// A server that the test plays itself.
pub(crate) struct Backend {
    socket: TcpListener,
    wire: Wire,
}

impl Backend {
    pub(crate) async fn bind(wire: Wire) -> Self {
        Self { socket: TcpListener::bind(ANY).await.expect("a free port"), wire }
    }

    /// Listens again where another one did before.
    pub(crate) async fn at(address: SocketAddr, wire: Wire) -> Self {
        Self { socket: TcpListener::bind(address).await.expect("the address is free again"), wire }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    pub(crate) async fn accept(&self) -> Peer {
        let accepted = timeout(PATIENCE, self.socket.accept()).await.expect("the proxy connects in time");
        Peer::new(accepted.expect("a connection").0, self.wire, Role::Server)
    }

    /// Answers everything, one connection after the other and all of them at once.
    pub(crate) fn echo(self) -> SocketAddr {
        let address = self.address();
        tokio::spawn(async move {
            while let Ok((stream, _)) = self.socket.accept().await {
                let mut peer = Peer::new(stream, self.wire, Role::Server);
                tokio::spawn(async move {
                    while let Some(request) = peer.read().await {
                        if matches!(request.kind(), Kind::Request | Kind::Heartbeat) {
                            peer.answer(&request).await;
                        }
                    }
                });
            }
        });
        address
    }
}

/// A proxy with one listener.
pub(crate) struct Fixture {
    pub(crate) proxy: Running,
    pub(crate) rules: Arc<SharedRules>,
    wire: Wire,
}

impl Fixture {
    /// Sends everything to one cluster of one server.
    pub(crate) fn to(wire: Wire, server: SocketAddr) -> Self {
        Self::with(wire, all_to("one"), vec![Cluster::new("one").with_endpoint(server)], |service| service)
    }

    pub(crate) fn with<C: Into<FilterChain>>(
        wire: Wire,
        routes: RouteConfig,
        clusters: Vec<Cluster>,
        adjust: impl FnOnce(MetaProtocolProxy) -> C,
    ) -> Self {
        let address = ANY.parse().expect("an address");
        let service = MetaProtocolProxy::new("in", ProtocolConfig::new(wire.name), RouteSource::Inline(routes));
        let config = clusters.into_iter().fold(config::Proxy::default(), config::Proxy::with_cluster);
        Self::of(wire, config.with_listener(Listener::of("in", address, adjust(service))))
    }

    /// Runs a configuration whose listener is called `in`.
    pub(crate) fn of(wire: Wire, config: config::Proxy) -> Self {
        Self::with_filters(wire, config, &Filters::new())
    }

    /// Runs such a configuration with filters of one's own.
    pub(crate) fn with_filters(wire: Wire, config: config::Proxy, filters: &Filters) -> Self {
        Self::started(wire, Proxy::with_filters(config, &registry(), filters).expect("a good configuration"))
    }

    /// Runs a proxy whose listener is called `in`.
    pub(crate) fn started(wire: Wire, proxy: Proxy) -> Self {
        let rules = Arc::clone(proxy.rules("in").next().expect("the listener"));
        Self { proxy: proxy.start_here().expect("a free port"), rules, wire }
    }

    pub(crate) async fn client(&self) -> Peer {
        Peer::connect(self.address(), self.wire).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.proxy.address("in").expect("the listener")
    }

    /// Returns a counter or gauge of the listener.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.sample(&format!("meta_protocol.{}.in.{name}", self.wire.name))
    }

    /// Returns a counter or gauge of the cluster `one`.
    pub(crate) fn cluster(&self, name: &str) -> u64 {
        self.sample(&format!("cluster.one.{name}"))
    }

    fn sample(&self, name: &str) -> u64 {
        match self.proxy.stats().samples().get(name) {
            Some(Value::Counter(count)) => count,
            Some(Value::Gauge(count)) => u64::try_from(count).expect("never negative"),
            Some(Value::Histogram(seen)) => seen.count(),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Waits until a counter or gauge has this value; for what happens behind an answer.
    pub(crate) async fn reaches(&self, name: &str, value: u64) {
        let reached = async {
            while self.count(name) != value {
                tokio::task::yield_now().await;
            }
        };
        let reached = timeout(PATIENCE, reached).await;
        assert!(reached.is_ok(), "{name} is {}, not {value}", self.count(name));
    }
}

/// Asks the admin interface, such as for `GET /stats`, and returns its whole answer.
#[cfg(feature = "admin")]
pub(crate) async fn admin_says(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(format!("{request} HTTP/1.1\r\nhost: admin\r\n\r\n").as_bytes()).await.expect("open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    answer
}

pub(crate) fn all_to(cluster: &str) -> RouteConfig {
    RouteConfig::new("table", [Route::new("all", RouteAction::cluster(cluster))])
}

pub(crate) fn protocol(wire: Wire) -> Arc<dyn Protocol> {
    Arc::clone(registry().get(wire.name).expect("registered"))
}

/// Knows the built-in protocols and that of the tests.
fn registry() -> Registry {
    let mut registry = Registry::builtin();
    registry.register("lines", Lines::new(Replies::AnyOrder));
    registry
}

pub(crate) const ANY: &str = "127.0.0.1:0";
/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
