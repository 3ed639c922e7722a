//! A proxy that takes the sockets of another one. Both run in the process of the test; sockets go the same way.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use aeraki_core::{
    codec::{Kind, Registry},
    proxy::{Predecessor, Proxy},
    route::config::{self, Cluster, Listener, Pipe, ProtocolConfig, RouteSource, SocketAddress},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::watch,
};

use crate::{
    support::{ANY, Backend, PATIENCE, Peer, admin_says, all_to},
    wire::{self, Wire},
};

/// A proxy that sends everything to one server, with an admin interface.
fn proxy(wire: Wire, address: SocketAddr, server: SocketAddr) -> Proxy {
    let listener = Listener::new("in", address, ProtocolConfig::new(wire.name), RouteSource::Inline(all_to("one")));
    let mut config = config::Proxy::default().with_cluster(Cluster::new("one").with_endpoint(server));
    config.admin = Some(ANY.parse().expect("an address"));
    Proxy::new(config.with_listener(listener), &Registry::builtin()).expect("a good configuration")
}

/// A proxy with a listener on each of these addresses.
fn proxy_on(wire: Wire, addresses: &[SocketAddress], server: SocketAddr) -> Proxy {
    let config = config::Proxy::default().with_cluster(Cluster::new("one").with_endpoint(server));
    let listeners = addresses.iter().enumerate().map(|(number, address)| {
        let (protocol, routes) = (ProtocolConfig::new(wire.name), RouteSource::Inline(all_to("one")));
        let anywhere = ANY.parse().expect("an address");
        Listener::new(format!("in-{number}"), anywhere, protocol, routes).with_address(address.clone())
    });
    let config = listeners.fold(config, config::Proxy::with_listener);
    Proxy::new(config, &Registry::builtin()).expect("a good configuration")
}

/// Asks the proxy that waits at a path for its sockets.
async fn ask(path: &Path) -> Predecessor {
    let path = path.to_owned();
    let predecessor = tokio::task::spawn_blocking(move || Predecessor::ask(&path)).await.expect("no panic");
    predecessor.expect("it answers").expect("it is there")
}

/// Makes a call over a Unix socket.
async fn call_over(pipe: &Path, wire: Wire) {
    let mut client = UnixStream::connect(pipe).await.expect("a proxy listens");
    client.write_all(&(wire.request)(1, "hello")).await.expect("open");
    let mut answer = vec![0; (wire.response)(1).len()];
    client.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, (wire.response)(1), "{}", wire.name);
}

/// Waits until a file is removed.
async fn gone(file: &Path) {
    let removed = async {
        while file.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, removed).await.expect("it goes with its socket");
}

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("proxy.sock")
}

/// Makes a call on a connection of its own after the other, until told to end; returns how many were answered.
async fn caller(address: SocketAddr, wire: Wire, ends: watch::Receiver<bool>) -> u64 {
    let mut calls = 0;
    while !*ends.borrow() {
        calls += 1;
        let mut peer = Peer::connect(address, wire).await;
        peer.call(calls, "hello").await;
        let mut answer = peer.message().await;
        if answer.kind() == Kind::Event {
            // a goodbye, and the answer all the same
            answer = peer.message().await;
        }
        assert_eq!((answer.kind(), answer.id().number()), (Kind::Response, calls), "{}", wire.name);
    }
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_one_proxy_after_the_other_takes_the_sockets() {
    for wire in wire::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        let path = path(&folder);
        let server = Backend::bind(wire).await.echo();
        assert!(Predecessor::ask(&path).expect("nobody is there").is_none());
        let mut running = proxy(wire, ANY.parse().expect("an address"), server).start(2).expect("a free port");
        let (address, admin) = (running.address("in").expect("the listener"), running.admin().expect("it has one"));
        let (end, ends) = watch::channel(false);
        let callers: Vec<_> = (0..4).map(|_| tokio::spawn(caller(address, wire, ends.clone()))).collect();

        // fewer workers, then more
        for workers in [1, 3, 2] {
            let relieved = running.await_successor(&path).expect("a path");
            let waiting = tokio::spawn(relieved);
            let mut predecessor = ask(&path).await;
            let next = proxy(wire, ANY.parse().expect("an address"), server).with_sockets_of(&mut predecessor);
            let next = next.start(workers).expect("with these sockets");
            assert_eq!((next.address("in"), next.admin()), (Some(address), Some(admin)), "{}", wire.name);
            predecessor.relieve().expect("it waits");
            waiting.await.expect("no panic");
            running.shutdown(PATIENCE).await;
            running = next;
            let before = admin_says(admin, "GET /stats").await;
            assert!(before.starts_with("HTTP/1.1 200"), "{before}");
        }
        end.send_replace(true);
        for caller in callers {
            assert!(caller.await.expect("no call has failed") > 0);
        }
        running.shutdown(PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_fails_before_it_serves_does_no_harm() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, wire) = (path(&folder), wire::ALL[0]);
    let server = Backend::bind(wire).await.echo();
    let running = proxy(wire, ANY.parse().expect("an address"), server).start(1).expect("a free port");
    let address = running.address("in").expect("the listener");
    let waiting = tokio::spawn(running.await_successor(&path).expect("a path"));
    for _ in 0..2 {
        drop(ask(&path).await);
    }
    assert!(!waiting.is_finished());
    let mut peer = Peer::connect(address, wire).await;
    peer.call(1, "hello").await;
    assert_eq!(peer.message().await.kind(), Kind::Response);
    assert!(admin_says(running.admin().expect("it has one"), "GET /ready").await.contains("LIVE"));

    // what was left behind by a process that has ended is nobody
    waiting.abort();
    running.shutdown(PATIENCE).await;
    let _ = waiting.await;
    let asked = path.clone();
    let predecessor = tokio::task::spawn_blocking(move || Predecessor::ask(&asked)).await.expect("no panic");
    assert!(predecessor.expect("nobody").is_none());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("proxy.yaml");
    std::fs::write(&path, "admin:").expect("written");
    let wire = wire::DUBBO;
    let server = Backend::bind(wire).await.address();
    let running = proxy(wire, ANY.parse().expect("an address"), server).start_here().expect("a free port");
    let refused = running.await_successor(&path).map(drop).expect_err("it is a file");
    assert_eq!(refused.to_string(), "there is a file that is no socket");
    assert_eq!(std::fs::read_to_string(&path).expect("is there"), "admin:");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_fails_leaves_unix_sockets_to_the_proxy_that_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, wire) = (path(&folder), wire::DUBBO);
    let server = Backend::bind(wire).await.echo();
    let file = folder.path().join("in.sock");
    let pipe = SocketAddress::from(Pipe::new(file.to_str().expect("text")));
    let running = proxy_on(wire, std::slice::from_ref(&pipe), server).start(2).expect("a free path");
    let waiting = tokio::spawn(running.await_successor(&path).expect("a path"));

    let other = std::net::TcpListener::bind(ANY).expect("a free port");
    let taken = SocketAddress::from(other.local_addr().expect("it is bound"));
    let mut predecessor = ask(&path).await;
    let next = proxy_on(wire, &[pipe, taken], server).with_sockets_of(&mut predecessor);
    next.start(1).expect_err("an address is in use");
    drop(predecessor);
    call_over(&file, wire).await;

    // one that does not want the socket fails as well
    let mut predecessor = ask(&path).await;
    drop(proxy_on(wire, &[], server).with_sockets_of(&mut predecessor));
    call_over(&file, wire).await;
    drop(predecessor);

    waiting.abort();
    let _ = waiting.await;
    running.shutdown(PATIENCE).await;
    gone(&file).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_has_the_files_of_unix_sockets() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, wire) = (path(&folder), wire::DUBBO);
    let server = Backend::bind(wire).await.echo();
    let [file, other] = ["in.sock", "other.sock"].map(|name| folder.path().join(name));
    let pipes = [&file, &other].map(|file| SocketAddress::from(Pipe::new(file.to_str().expect("text"))));
    let running = proxy_on(wire, &pipes, server).start(2).expect("a free path");
    let waiting = tokio::spawn(running.await_successor(&path).expect("a path"));

    let mut predecessor = ask(&path).await;
    let next =
        proxy_on(wire, &pipes[..1], server).with_sockets_of(&mut predecessor).start(1).expect("the socket is ours");
    call_over(&other, wire).await;
    predecessor.relieve().expect("it waits");
    waiting.await.expect("no panic");
    running.shutdown(PATIENCE).await;
    call_over(&file, wire).await;
    gone(&other).await;
    next.shutdown(PATIENCE).await;
    gone(&file).await;
}
