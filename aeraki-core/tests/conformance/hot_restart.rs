//! A proxy that takes the sockets of another one. Both run in the process of the test; sockets go the same way.

use std::{net::SocketAddr, path::PathBuf};

use aeraki_core::{
    codec::{Kind, Registry},
    proxy::{Predecessor, Proxy},
    route::config::{self, Cluster, Listener, ProtocolConfig, RouteSource},
};
use tokio::sync::watch;

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
            let asked = path.clone();
            let waiting = tokio::spawn(relieved);
            let predecessor = tokio::task::spawn_blocking(move || Predecessor::ask(&asked)).await.expect("no panic");
            let mut predecessor = predecessor.expect("it answers").expect("it is there");
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
        let asked = path.clone();
        let predecessor = tokio::task::spawn_blocking(move || Predecessor::ask(&asked)).await.expect("no panic");
        drop(predecessor.expect("it answers").expect("it is there"));
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
