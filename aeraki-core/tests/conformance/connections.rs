//! How many connections there may be, and where those that were intercepted go.

use aeraki_core::{
    observe::Value,
    route::config::{
        self, Cluster, ConnectionLimit, Discovery, FilterChain, Listener, OriginalDst, Pipe, ProtocolConfig,
        ProxyProtocol, RouteSource,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{
    support::{ANY, Backend, Fixture, PATIENCE, Peer, all_to},
    wire::{self, Wire},
};

/// Sends everything to a cluster that is called `one`.
fn to(wire: Wire, cluster: Cluster, adjust: impl FnOnce(Listener) -> Listener) -> Fixture {
    let (address, routes) = (ANY.parse().expect("an address"), RouteSource::Inline(all_to("one")));
    let listener = Listener::new("in", address, ProtocolConfig::new(wire.name), routes);
    Fixture::of(wire, config::Proxy::default().with_cluster(cluster).with_listener(adjust(listener)))
}

#[tokio::test]
async fn a_connection_beyond_the_limit_of_the_listener_is_closed() {
    for wire in wire::ALL {
        let clusters = vec![Cluster::new("one").with_endpoint(Backend::bind(wire).await.echo())];
        let limited = ConnectionLimit::new("few", 1);
        let fixture = Fixture::with(wire, all_to("one"), clusters, |service| {
            FilterChain::new(service).with_connection_limit(limited)
        });
        let mut first = fixture.client().await;
        first.call(1, "hello").await;
        first.message().await;
        assert!(fixture.client().await.next().await.is_none(), "{}", wire.name);
        first.call(2, "hello").await;
        first.message().await;
        let samples = fixture.proxy.stats().samples();
        assert_eq!(samples.get("connection_limit.few.limited_connections"), Some(Value::Counter(1)));
    }
}

#[tokio::test]
async fn a_listener_may_stay_out_of_the_limit_of_the_process() {
    let wire = wire::ALL[0];
    let server = Backend::bind(wire).await.echo();
    let listener = |name, ignores| {
        let (address, routes) = (ANY.parse().expect("an address"), RouteSource::Inline(all_to("one")));
        Listener::new(name, address, ProtocolConfig::new(wire.name), routes).with_ignored_global_conn_limit(ignores)
    };
    let config = config::Proxy::default()
        .with_max_connections(1)
        .with_cluster(Cluster::new("one").with_endpoint(server))
        .with_listener(listener("in", false))
        .with_listener(listener("free", true));
    let fixture = Fixture::of(wire, config);
    let free = fixture.proxy.address("free").expect("the listener");
    let mut clients = vec![fixture.client().await];
    for _ in 0..2 {
        clients.push(Peer::connect(free, wire).await);
    }
    for client in &mut clients {
        client.call(1, "hello").await;
        client.message().await;
    }
    assert!(fixture.client().await.next().await.is_none(), "those of the other listener are bounded");
}

#[tokio::test]
async fn a_request_goes_where_its_client_meant_it_to_go() {
    for wire in wire::ALL {
        let cluster = Cluster::new("one").with_discovery(Discovery::OriginalDst(OriginalDst::default()));
        let fixture = to(wire, cluster, |listener| listener.with_proxy_protocol(ProxyProtocol::default()));
        for _ in 0..2 {
            let backend = Backend::bind(wire).await;
            let mut client = fixture.client().await;
            client.send(format!("PROXY TCP4 10.0.0.1 127.0.0.1 1 {}\r\n", backend.address().port())).await;
            client.call(1, "hello").await;
            let mut server = backend.accept().await;
            let request = server.message().await;
            server.answer(&request).await;
            assert_eq!(client.message().await.id().number(), 1, "{}", wire.name);
        }
    }
}

#[tokio::test]
async fn clients_come_over_a_unix_socket() {
    for wire in wire::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("in.sock");
        let cluster = Cluster::new("one").with_endpoint(Backend::bind(wire).await.echo());
        let pipe = Pipe::new(path.to_str().expect("text"));
        let fixture = to(wire, cluster, |listener| listener.with_address(pipe));
        assert_eq!(fixture.proxy.address("in"), None);
        let mut client = UnixStream::connect(&path).await.expect("the proxy listens");
        client.write_all(&(wire.request)(1, "hello")).await.expect("open");
        let mut answer = vec![0; (wire.response)(1).len()];
        client.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(answer, (wire.response)(1), "{}", wire.name);
        drop(client);
        fixture.proxy.shutdown(PATIENCE).await;
        assert!(!path.exists(), "the file goes with the listener");
    }
}
