//! Servers that listen on Unix sockets.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use aeraki_core::{
    codec::{Kind, Registry},
    observe::Value,
    proxy::Proxy,
    route::config::{self, Cluster, HealthCheck, HealthCheckKind, Listener, Pipe, ProxyProtocolVersion, TcpProxy},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpStream, UnixListener},
    time::timeout,
};

use crate::{
    support::{ANY, Backend, Fixture, PATIENCE, all_to},
    wire::{self, DUBBO, Wire},
};

/// A Unix socket in a folder of its own.
struct Socket {
    path: PathBuf,
    listener: UnixListener,
    folder: TempDir,
}

impl Socket {
    fn bind() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("server.sock");
        Self { listener: UnixListener::bind(&path).expect("is free"), path, folder }
    }

    /// Returns the cluster of the server that listens here.
    fn cluster(&self) -> Cluster {
        Cluster::new("one").with_endpoint(Pipe::new(self.path.to_str().expect("text")))
    }

    /// Passes every connection on to a server.
    fn lead_to(self, server: SocketAddr) {
        let Self { listener, folder, .. } = self;
        tokio::spawn(async move {
            let _folder = folder;
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await?;
                    copy_bidirectional(&mut stream, &mut server).await
                });
            }
        });
    }
}

fn fixture(wire: Wire, cluster: Cluster) -> Fixture {
    Fixture::with(wire, all_to("one"), vec![cluster], |service| service)
}

fn checked(kind: HealthCheckKind) -> HealthCheck {
    HealthCheck::new(kind, Duration::from_secs(5), Duration::from_secs(60))
}

#[tokio::test]
async fn requests_of_every_protocol_reach_them() {
    for wire in wire::ALL {
        let socket = Socket::bind();
        let fixture = fixture(wire, socket.cluster());
        socket.lead_to(Backend::bind(wire).await.echo());
        let mut client = fixture.client().await;
        for id in 1..3 {
            client.call(id, "hello").await;
            assert_eq!(client.message().await.id().number(), id, "{}", wire.name);
        }
        assert_eq!(fixture.cluster("upstream_cx_total"), 1);
    }
}

#[tokio::test]
async fn checks_reach_them() {
    for kind in [HealthCheckKind::CONNECT, HealthCheckKind::Heartbeat { protocol: DUBBO.name.to_owned() }] {
        let socket = Socket::bind();
        let backend = Backend::bind(DUBBO).await;
        let fixture = fixture(DUBBO, socket.cluster().with_health_check(checked(kind)));
        socket.lead_to(backend.echo());
        timeout(PATIENCE, async {
            while fixture.cluster("health_check.success") == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("a check passes");
        let mut client = fixture.client().await;
        client.call(1, "hello").await;
        assert_eq!(client.message().await.kind(), Kind::Response);
    }
}

#[tokio::test]
async fn plain_tcp_reaches_them() {
    let socket = Socket::bind();
    let listener = Listener::of("in", ANY.parse().expect("an address"), TcpProxy::new("t", "one"));
    let config = config::Proxy::default().with_cluster(socket.cluster()).with_listener(listener);
    let proxy = Proxy::new(config, &Registry::builtin());
    let running = proxy.expect("is good").start_here().expect("a free port");
    let mut client = TcpStream::connect(running.address("in").expect("the listener")).await.expect("is there");
    client.write_all(b"hello").await.expect("open");
    let (mut server, _) = timeout(PATIENCE, socket.listener.accept()).await.expect("in time").expect("somebody");
    let mut got = [0; 5];
    server.read_exact(&mut got).await.expect("as many bytes");
    assert_eq!(&got, b"hello");
    drop(server);
    assert_eq!(timeout(PATIENCE, client.read(&mut got)).await.expect("in time").expect("an end"), 0);
    assert_eq!(running.stats().samples().get("cluster.one.upstream_cx_total"), Some(Value::Counter(1)));
}

#[tokio::test]
async fn they_are_told_who_the_client_is() {
    let socket = Socket::bind();
    let cluster = socket.cluster().with_proxy_protocol(ProxyProtocolVersion::V1);
    let fixture = fixture(DUBBO, cluster);
    let mut client = fixture.client().await;
    client.call(1, "hello").await;
    let (server, _) = timeout(PATIENCE, socket.listener.accept()).await.expect("in time").expect("somebody");
    let mut line = String::new();
    timeout(PATIENCE, BufReader::new(server).read_line(&mut line)).await.expect("in time").expect("a line");
    let (from, to) = (client.address(), fixture.address());
    assert_eq!(line, format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", from.port(), to.port()));
}
