//! Which filter chain the first bytes of a client choose.

use aeraki_codec::Registry;
use aeraki_route::config::{
    FilterChain, FilterChainMatch, Listener, MetaProtocolProxy, ProtocolConfig, RouteConfig, RouteSource,
    TransportProtocol,
};
use rustls::{ClientConnection, pki_types::ServerName};
use tokio::time::{Instant, advance};

use super::{
    handshakes::{client, mutual},
    *,
};
use crate::{
    observe::ListenerStats,
    server::{Budget, FilterChains},
};

/// A listener each of whose chains echoes, and says that it was the one.
struct Chains {
    server: Arc<FilterChains>,
    served: Vec<mpsc::UnboundedReceiver<Accepted>>,
    stats: Arc<ListenerStats>,
    secrets: Secrets,
    drain: Drain,
}

impl Chains {
    fn new(
        chains: Vec<(FilterChainMatch, Option<DownstreamTlsContext>)>,
        adjust: impl FnOnce(Listener) -> Listener,
    ) -> Self {
        let secrets = Secrets::new();
        let stats = ListenerStats::new("in");
        let (mut served, mut serve, mut configs) = (Vec::new(), Vec::new(), Vec::new());
        for (matches, tls) in chains {
            let (sender, receiver) = mpsc::unbounded_channel();
            let mut chain = FilterChain::new(service()).with_match(matches);
            chain.tls = tls;
            serve.push(secrets.serve(Arc::new(Echo(sender)), ("chain", &chain), "in", &stats));
            served.push(receiver);
            configs.push(chain);
        }
        let mut listener = Listener::of("in", NOWHERE, service());
        listener.filter_chains = configs;
        let listener = adjust(listener);
        let server = Arc::new(
            FilterChains::new(&listener, &Registry::builtin(), serve, Arc::clone(&stats)).expect("nothing overlaps"),
        );
        Self { server, served, stats, secrets, drain: Drain::new() }
    }

    fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(1 << 17);
        tokio::spawn(self.server.serve(Box::new(far), Accepted::new(NOWHERE, NOWHERE), self.drain.clone()));
        near
    }

    /// Sends bytes, and returns the place of the chain that echoes them; none where the connection ends.
    async fn echo(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut io = self.connect();
        io.write_all(bytes).await.expect("room in the pipe");
        let mut echoed = vec![0; bytes.len()];
        soon(io.read_exact(&mut echoed)).await.ok()?;
        assert_eq!(echoed, bytes, "nothing is lost to who looks");
        self.served()
    }

    /// Returns the place of the chain that has served a connection.
    fn served(&mut self) -> Option<usize> {
        let mut places = (0..self.served.len()).filter(|place| self.served[*place].try_recv().is_ok());
        let place = places.next();
        assert_eq!(places.next(), None);
        place
    }

    /// Speaks TLS and returns the place of the chain that has served it.
    async fn call(&mut self, config: &UpstreamTlsContext) -> Option<usize> {
        let pipe = Arc::new(Pipe(Arc::clone(&self.server) as _));
        let connector = TlsConnector::new(pipe, &self.secrets, config, Arc::default(), "cluster \"c\"".to_owned());
        let mut io = soon(connector.connect(&NOWHERE.into())).await.ok()?;
        io.write_all(b"hello").await.ok()?;
        io.flush().await.ok()?;
        soon(io.read_exact(&mut [0; 5])).await.ok()?;
        self.served()
    }

    /// Returns the first bytes of a client.
    fn hello(&self, config: &UpstreamTlsContext) -> Vec<u8> {
        let name = ServerName::try_from(config.sni.clone().expect("a name")).expect("a name");
        let rustls = self.secrets.client(config).config().expect("good");
        let mut bytes = Vec::new();
        ClientConnection::new(rustls, name).expect("good").write_tls(&mut bytes).expect("room in memory");
        bytes
    }
}

pub(super) fn service() -> MetaProtocolProxy {
    MetaProtocolProxy::new("in", ProtocolConfig::new("p"), RouteSource::Inline(RouteConfig::new("r", [])))
}

fn any() -> FilterChainMatch {
    FilterChainMatch::new()
}

fn over(transport: TransportProtocol) -> FilterChainMatch {
    any().with_transport_protocol(transport)
}

#[tokio::test(start_paused = true)]
async fn tls_is_told_from_plain_text_by_two_bytes() {
    let authority = Authority::new();
    let tls = (over(TransportProtocol::Tls), Some(mutual(&authority)));
    let mut chains = Chains::new(vec![tls, (over(TransportProtocol::RawBuffer), None)], |listener| listener);
    assert_eq!(chains.call(&client(&authority)).await, Some(0));
    for text in [&b"hello"[..], b"\x16\x04hello", b"\xda\xbb"] {
        assert_eq!(chains.echo(text).await, Some(1), "{text:?}");
    }
    let unknown = UpstreamTlsContext::new(authority.trusted()).with_sni("server.shop");
    assert_eq!(chains.call(&unknown).await, None, "in TLS a certificate is required");
    let mut alone = chains.connect();
    alone.write_all(b"\x16").await.expect("room in the pipe");
    alone.shutdown().await.expect("open");
    soon(alone.read_exact(&mut [0])).await.expect("the byte comes back");
    assert_eq!(chains.served(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn names_and_protocols_of_the_handshake_choose() {
    let authority = Authority::new();
    let secured = || Some(mutual(&authority));
    let mut chains = Chains::new(
        vec![
            (any().with_server_name("Shop.Example"), secured()),
            (any().with_server_name("*.shop").with_application_protocol("h2"), None),
            (any().with_server_name("*.shop"), None),
            (over(TransportProtocol::Tls), None),
            (any(), None),
        ],
        |listener| listener,
    );
    assert_eq!(chains.call(&client(&authority).with_sni("SHOP.example")).await, Some(0));
    // what is passed on as it is needs no certificate of ours
    let ask = |name: &str| UpstreamTlsContext::new(authority.trusted()).with_sni(name);
    let hellos = [ask("a.shop").with_alpn_protocol("x").with_alpn_protocol("h2"), ask("a.shop"), ask("elsewhere")];
    for (place, config) in (1..).zip(hellos) {
        let hello = chains.hello(&config);
        assert_eq!(chains.echo(&hello).await, Some(place), "{config:?}");
    }
    assert_eq!(chains.echo(b"plain").await, Some(4));
    assert_eq!(chains.echo(b"\x16\x03\x01\x00\x05garbage").await, Some(4), "no handshake is plain text");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_may_come_in_any_pieces() {
    let authority = Authority::new();
    let named = (any().with_server_name("server.shop"), None);
    let mut chains = Chains::new(vec![named, (any(), None)], |listener| listener);
    let hello = chains.hello(&UpstreamTlsContext::new(authority.trusted()).with_sni("server.shop"));
    for end in 1..hello.len() {
        let mut io = chains.connect();
        for piece in [&hello[..end], &hello[end..]] {
            assert_eq!(chains.served(), None, "{end} bytes are not enough");
            io.write_all(piece).await.expect("room in the pipe");
            tokio::task::yield_now().await;
        }
        soon(io.read_exact(&mut vec![0; hello.len()])).await.expect("an echo");
        assert_eq!(chains.served(), Some(0));
    }
}

#[tokio::test(start_paused = true)]
async fn old_clients_are_told_from_plain_text_by_what_they_ask_for() {
    let mut chains = Chains::new(
        vec![(any().with_server_name("old.shop"), None), (over(TransportProtocol::Tls), None), (any(), None)],
        |listener| listener,
    );
    // TLS 1.0 as RFC 2246 has it: no signature algorithms, and no extensions but the name
    let start = [&b"\x03\x01"[..], &[7; 32], b"\0\0\x02\0\x2f\x01\0"].concat();
    let name = b"\0\x11\0\0\0\x0d\0\x0b\0\0\x08old.shop";
    let hello = |body: &[u8]| {
        let len = u8::try_from(body.len()).expect("short");
        [&b"\x16\x03\0\0"[..], &[len + 4], b"\x01\0\0", &[len], body].concat()
    };
    assert_eq!(chains.echo(&hello(&[&start[..], name].concat())).await, Some(0));
    assert_eq!(chains.echo(&hello(&start)).await, Some(1), "who asks for no name speaks TLS all the same");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_end_is_closed_and_counted() {
    let named = (any().with_server_name("server.shop"), None);
    let mut chains = Chains::new(vec![named, (any(), None)], |listener| listener);
    // what says that it is longer than anything, and what never gets as far as to say so
    let long = b"\x16\x03\x01\0\x04\x01\xff\xff\xff".to_vec();
    let mut slow = b"\x16\x03\x01\0\x04\x01\0\xff\xff".to_vec();
    slow.extend(b"\x16\x03\x01\0\x01a".repeat(11_000));
    for (count, bytes) in [(1, long), (2, slow)] {
        assert_eq!(chains.echo(&bytes).await, None);
        assert_eq!(chains.stats.connections.downstream_listener_filter_error.get(), count);
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_closed_or_served_as_one_of_whom_nothing_is_known() {
    let split = || vec![(over(TransportProtocol::Tls), None), (over(TransportProtocol::RawBuffer), None)];
    let mut chains = Chains::new(split(), |listener| listener);
    let began = Instant::now();
    let mut silent = chains.connect();
    assert_eq!(soon(silent.read(&mut [0])).await.expect("an end"), 0);
    assert_eq!((began.elapsed().as_secs(), chains.served()), (15, None));
    assert_eq!(chains.stats.connections.downstream_pre_cx_timeout.get(), 1);
    drop(chains.connect());
    tokio::task::yield_now().await;
    assert_eq!(chains.stats.connections.downstream_listener_filter_remote_close.get(), 1);

    let goes_on = |listener: Listener| {
        let timeout = Some(Duration::from_secs(3));
        listener.with_listener_filters_timeout(timeout).with_continue_on_listener_filters_timeout(true)
    };
    let mut chains = Chains::new(split(), goes_on);
    let mut silent = chains.connect();
    let began = Instant::now();
    soon(chains.served[1].recv()).await.expect("it is served");
    assert_eq!(began.elapsed().as_secs(), 3);
    silent.write_all(b"late").await.expect("open");
    soon(silent.read_exact(&mut [0; 4])).await.expect("an echo");

    let mut chains = Chains::new(split(), |listener| listener.with_listener_filters_timeout(None));
    let mut silent = chains.connect();
    advance(Duration::from_secs(10_000)).await;
    silent.write_all(b"late").await.expect("open");
    soon(silent.read_exact(&mut [0; 4])).await.expect("an echo");
    assert_eq!(chains.served(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_does_not_hold_a_drain() {
    let authority = Authority::new();
    let split =
        vec![(over(TransportProtocol::Tls), Some(mutual(&authority))), (over(TransportProtocol::RawBuffer), None)];
    let chains = Chains::new(split, |listener| listener.with_listener_filters_timeout(None));
    let (mut silent, mut begun) = (chains.connect(), chains.connect());
    begun.write_all(b"\x16\x03").await.expect("room in the pipe");
    tokio::task::yield_now().await;
    let began = Instant::now();
    chains.drain.begin();
    let mut late = chains.connect();
    for client in [&mut silent, &mut begun] {
        assert_eq!(soon(client.read(&mut [0])).await.expect("an end"), 0);
        assert_eq!(began.elapsed().as_secs(), 1);
    }
    assert_eq!(soon(late.read(&mut [0])).await.expect("an end"), 0);
    assert_eq!(began.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_looked_at_count_towards_the_budget() {
    let mut chains =
        Chains::new(vec![(any().with_server_name("server.shop"), None), (any(), None)], |listener| listener);
    let budget = Budget::new(1 << 20);
    chains.server = Arc::new((*chains.server).clone().with_budget(budget.clone()));
    let mut client = chains.connect();
    client.write_all(&[0x16; 1]).await.expect("room in the pipe");
    tokio::task::yield_now().await;
    assert!(budget.used() > 0);
    client.write_all(b"hello").await.expect("room in the pipe");
    soon(client.read_exact(&mut [0; 6])).await.expect("an echo");
    assert_eq!(budget.used(), 0, "whoever serves it has its own");
}

#[tokio::test(start_paused = true)]
async fn what_no_chain_matches_goes_to_the_default_one_or_is_closed() {
    let tls = || (over(TransportProtocol::Tls), None);
    let mut chains = Chains::new(vec![tls()], |listener| listener);
    assert_eq!(chains.echo(b"plain").await, None);
    assert_eq!(chains.stats.connections.no_filter_chain_match.get(), 1);

    let last_is_default = |mut listener: Listener| {
        listener.default_filter_chain = listener.filter_chains.pop();
        listener
    };
    let mut chains = Chains::new(vec![tls(), (any().with_destination_port(9), None)], last_is_default);
    assert_eq!(chains.echo(b"plain").await, Some(1));
    let ports = vec![(any().with_destination_port(1), None), (any().with_destination_port(2), None)];
    let mut chains = Chains::new(ports, |listener| listener);
    assert_eq!(chains.echo(b"\x16\x03").await, Some(0), "nobody looks where nothing depends on it");
}

#[tokio::test(start_paused = true)]
async fn protocols_are_told_by_as_many_bytes_as_they_need() {
    let named = |protocol| (any().with_application_protocol(protocol), None);
    let mut chains =
        Chains::new(vec![named("aeraki.dubbo"), named("aeraki.thrift"), (any(), None)], |listener| listener);
    let thrift = b"\0\0\0\x20\x80\x01\0\x01";
    for (bytes, place) in [(&b"\xda\xbb\xc2"[..], 0), (b"\x80\x01\0\x01", 1), (thrift, 1), (b"*1\r\n$4\r\nPING", 2)] {
        assert_eq!(chains.echo(bytes).await, Some(place), "{bytes:?}");
    }
    let mut slow = chains.connect();
    for byte in &thrift[..6] {
        assert_eq!(chains.served(), None);
        slow.write_all(&[*byte]).await.expect("room in the pipe");
        tokio::task::yield_now().await;
    }
    soon(slow.read_exact(&mut [0; 6])).await.expect("an echo");
    assert_eq!(chains.served(), Some(1));
    // a handshake whose length looks like the beginning of a Thrift message
    let hello = b"\x16\x03\x01\x01\x80\x01\0\0";
    assert_eq!(chains.echo(hello).await, Some(2));
}
