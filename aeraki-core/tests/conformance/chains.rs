//! One port for whatever clients speak.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use aeraki_core::{
    codec::Registry,
    observe::Value,
    proxy::{Proxy, Running},
    route::config::{
        self, Cluster, DataSource, Discovery, DownstreamTlsContext, FilterChain, FilterChainMatch, Listener,
        MetaProtocolProxy, OriginalDst, ProtocolConfig, ProxyProtocol, RouteSource, TcpProxy, TlsCertificate,
    },
};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    support::{ANY, Backend, PATIENCE, all_to},
    wire::{DUBBO, THRIFT, Wire},
};

fn service(wire: Wire) -> MetaProtocolProxy {
    MetaProtocolProxy::new(wire.name, ProtocolConfig::new(wire.name), RouteSource::Inline(all_to(wire.name)))
}

fn any() -> FilterChainMatch {
    FilterChainMatch::new()
}

/// Dubbo and Thrift by their first bytes, Dubbo in TLS by name, and everything else over TCP.
fn listener(certificate: &CertifiedKey<KeyPair>) -> Listener {
    let pem = |text: String| DataSource::InlineString(text);
    let pair = TlsCertificate::new(pem(certificate.cert.pem()), pem(certificate.signing_key.serialize_pem()));
    let detected = |wire: Wire| {
        let named = any().with_application_protocol(format!("aeraki.{}", wire.name));
        FilterChain::new(service(wire)).with_match(named)
    };
    let secured = FilterChain::new(service(DUBBO))
        .with_match(any().with_server_name("*.shop.example"))
        .with_tls(DownstreamTlsContext::new(pair));
    Listener::of("in", ANY.parse().expect("an address"), secured)
        .with_filter_chain(detected(DUBBO))
        .with_filter_chain(detected(THRIFT))
        .with_default_filter_chain(TcpProxy::new("rest", "rest"))
}

/// Speaks first, and answers every line.
async fn talkative() -> SocketAddr {
    let socket = TcpListener::bind(ANY).await.expect("a free port");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            tokio::spawn(async move {
                stream.write_all(b"+HELLO\r\n").await?;
                let mut line = [0; 6];
                while stream.read_exact(&mut line).await.is_ok() {
                    stream.write_all(b"+PONG\r\n").await?;
                }
                stream.shutdown().await
            });
        }
    });
    address
}

async fn start(listener: Listener) -> Running {
    let (dubbo, thrift) = (Backend::bind(DUBBO).await.echo(), Backend::bind(THRIFT).await.echo());
    let clusters = [("dubbo", dubbo), ("thrift", thrift), ("rest", talkative().await)];
    run(listener, clusters.map(|(name, server)| Cluster::new(name).with_endpoint(server)))
}

fn run(listener: Listener, clusters: impl IntoIterator<Item = Cluster>) -> Running {
    let config = clusters.into_iter().fold(config::Proxy::default(), config::Proxy::with_cluster);
    let proxy = Proxy::new(config.with_listener(listener), &Registry::builtin());
    proxy.expect("a good configuration").start_here().expect("a free port")
}

async fn call<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, wire: Wire, id: u64) {
    stream.write_all(&(wire.request)(id, "hello")).await.expect("open");
    expect(stream, &(wire.response)(id)).await;
}

async fn expect<S: AsyncRead + Unpin>(stream: &mut S, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    timeout(PATIENCE, stream.read_exact(&mut got)).await.expect("in time").expect("as many bytes as expected");
    assert_eq!(got, bytes);
}

async fn secured(
    address: SocketAddr,
    certificate: &CertifiedKey<KeyPair>,
    name: &'static str,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("good versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name).expect("a name");
    timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.expect("in time")
}

#[tokio::test]
async fn one_port_serves_every_client_in_its_own_protocol() {
    let certificate = generate_simple_self_signed(["dubbo.shop.example".to_owned()]).expect("a certificate");
    let running = start(listener(&certificate)).await;
    let address = running.address("in").expect("the listener");
    let connect = || async { TcpStream::connect(address).await.expect("the proxy listens") };

    for wire in [DUBBO, THRIFT] {
        let mut client = connect().await;
        call(&mut client, wire, 1).await;
        call(&mut client, wire, 2).await;
    }
    call(&mut secured(address, &certificate, "dubbo.shop.example").await.expect("TLS is spoken"), DUBBO, 3).await;
    secured(address, &certificate, "elsewhere.example").await.expect_err("what serves it speaks no TLS");

    let mut client = connect().await;
    client.write_all(b"PING\r\n").await.expect("open");
    expect(&mut client, b"+HELLO\r\n+PONG\r\n").await;

    let samples = running.stats().samples();
    for (name, expected) in [
        ("meta_protocol.dubbo.dubbo.request", 3),
        ("meta_protocol.dubbo.dubbo.downstream_cx_total", 2),
        ("meta_protocol.thrift.thrift.request", 2),
        ("tcp.rest.downstream_cx_total", 2),
        ("listener.in.ssl.handshake", 1),
        ("listener.in.downstream_pre_cx_timeout", 0),
        ("listener.in.downstream_cx_total", 5),
    ] {
        assert_eq!(samples.get(name), Some(Value::Counter(expected)), "{name}");
    }
    drop(client);
    running.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_client_that_waits_for_the_server_to_speak_is_served_once_it_has_been_silent() {
    let certificate = generate_simple_self_signed(["dubbo.shop.example".to_owned()]).expect("a certificate");
    let patient = listener(&certificate)
        .with_listener_filters_timeout(Some(Duration::from_millis(1)))
        .with_continue_on_listener_filters_timeout(true);
    let running = start(patient).await;
    let address = running.address("in").expect("the listener");
    let mut silent = TcpStream::connect(address).await.expect("the proxy listens");
    expect(&mut silent, b"+HELLO\r\n").await;
    silent.write_all(b"PING\r\n").await.expect("open");
    expect(&mut silent, b"+PONG\r\n").await;
    let timed_out = running.stats().samples().get("listener.in.downstream_pre_cx_timeout");
    assert_eq!(timed_out, Some(Value::Counter(1)));
}

#[tokio::test]
async fn a_chain_is_chosen_by_the_destination_that_a_client_meant_and_bytes_go_there() {
    let meant = talkative().await;
    let chain = FilterChain::new(TcpProxy::new("out", "as meant"));
    let chain = chain.with_match(any().with_destination_port(meant.port()));
    let listener = Listener::of("in", ANY.parse().expect("an address"), chain);
    let listener = listener.with_proxy_protocol(ProxyProtocol::default());
    let as_meant = Cluster::new("as meant").with_discovery(Discovery::OriginalDst(OriginalDst::default()));
    let running = run(listener, [as_meant]);
    let connect = |port: u16| {
        let address = running.address("in").expect("the listener");
        async move {
            let mut client = TcpStream::connect(address).await.expect("the proxy listens");
            let header = format!("PROXY TCP4 10.0.0.1 127.0.0.1 1 {port}\r\n");
            client.write_all(header.as_bytes()).await.expect("open");
            client
        }
    };
    expect(&mut connect(meant.port()).await, b"+HELLO\r\n").await;
    let mut other = connect(running.address("in").expect("the listener").port()).await;
    let read = timeout(PATIENCE, other.read(&mut [0])).await.expect("in time");
    assert_eq!(read.expect("is closed"), 0);
    let unmatched = running.stats().samples().get("listener.in.no_filter_chain_match");
    assert_eq!(unmatched, Some(Value::Counter(1)));
}

#[tokio::test]
async fn nobody_is_sent_to_the_proxy_itself_by_a_header() {
    let at = || ANY.parse::<SocketAddr>().expect("an address");
    let sends = Listener::of("in", at(), TcpProxy::new("out", "as meant"));
    let config = config::Proxy::default();
    let config = if cfg!(feature = "admin") { config.with_admin(at()) } else { config };
    let config = config
        .with_listener(sends.with_proxy_protocol(ProxyProtocol::default()))
        .with_listener(Listener::of("before", at(), TcpProxy::new("to", "server")))
        .with_cluster(Cluster::new("as meant").with_discovery(Discovery::OriginalDst(OriginalDst::default())))
        .with_cluster(Cluster::new("server").with_endpoint(talkative().await));
    let registry = Registry::builtin();
    let mut running = Proxy::new(config.clone(), &registry).expect("is good").start_here().expect("free ports");
    let next = config.with_listener(Listener::of("after", at(), TcpProxy::new("to", "server")));
    running.update(Proxy::new(next, &registry).expect("is good"), PATIENCE).expect("a free port");
    let listeners = ["in", "before", "after"].map(|name| (name, running.address(name)));
    let admin = running.admin().map(|address| ("admin", Some(address)));
    for (name, address) in listeners.into_iter().chain(admin) {
        let port = address.expect("it is there").port();
        let mut client = TcpStream::connect(running.address("in").expect("the listener")).await.expect("it listens");
        client.write_all(format!("PROXY TCP4 10.0.0.1 127.0.0.1 1 {port}\r\n").as_bytes()).await.expect("open");
        let read = timeout(PATIENCE, client.read(&mut [0])).await.expect("in time");
        assert_eq!(read.expect("is closed"), 0, "{name}");
    }
}

#[test]
fn protocols_that_cannot_be_told_are_refused() {
    let refused = |protocol: &str| {
        let chain = FilterChain::new(TcpProxy::new("t", "c")).with_name("first");
        let chain = chain.with_match(any().with_application_protocol(protocol));
        let listener = Listener::of("in", ANY.parse().expect("an address"), chain);
        let config = config::Proxy::default().with_cluster(Cluster::new("c")).with_listener(listener);
        let mut registry = Registry::new();
        registry.register("lines", crate::lines::Lines::new(aeraki_core::codec::Replies::InOrder));
        Proxy::new(config, &registry).expect_err("is refused").to_string()
    };
    let place = "listener \"in\": filterChains[0] \"first\".matches.applicationProtocols";
    assert_eq!(refused("aeraki.dubbo"), format!("{place}: aeraki.dubbo: there is no codec \"dubbo\""));
    assert_eq!(
        refused("aeraki.lines"),
        format!("{place}: aeraki.lines: \"lines\" cannot be told from its first bytes")
    );
}
