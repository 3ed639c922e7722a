//! Bytes as they may come: in pieces, in heaps, and wrong.

use aeraki_core::{codec::Kind, route::config::Cluster};

use crate::{
    support::{Backend, Fixture, all_to},
    wire,
};

/// Item 2.
#[tokio::test]
async fn a_request_may_come_in_any_two_pieces() {
    for wire in wire::ALL {
        let fixture = Fixture::to(wire, Backend::bind(wire).await.echo());
        let mut client = fixture.client().await;
        for at in 1..(wire.request)(0, "hello").len() {
            let request = (wire.request)(at as u64, "hello");
            client.send(&request[..at]).await;
            tokio::task::yield_now().await;
            client.send(&request[at..]).await;
            assert_eq!(&client.message().await.frame()[..], (wire.response)(at as u64), "{} at {at}", wire.name);
        }
    }
}

/// Item 2.
#[tokio::test]
async fn many_requests_may_come_at_once() {
    const REQUESTS: u64 = 500;
    for wire in wire::ALL {
        let cluster = Cluster::new("one").with_endpoint(Backend::bind(wire).await.echo());
        let fixture = Fixture::with(wire, all_to("one"), vec![cluster], |service| service);
        let mut client = fixture.client().await;
        let all: Vec<u8> = (0..REQUESTS).flat_map(|id| (wire.request)(id, "hello")).collect();
        client.send(all).await;
        let mut ids = Vec::new();
        for _ in 0..REQUESTS {
            let answer = client.message().await;
            assert_eq!(answer.kind(), Kind::Response, "{}", wire.name);
            ids.push(answer.id().number());
        }
        if wire.name == "thrift" {
            assert!(ids.is_sorted(), "clients of Thrift expect their answers in order");
        }
        ids.sort_unstable();
        assert_eq!(ids, (0..REQUESTS).collect::<Vec<_>>());
        fixture.reaches("request_active", 0).await;
        assert_eq!((fixture.count("request"), fixture.count("request_time_ms")), (REQUESTS, REQUESTS));
    }
}

/// Item 2.
#[tokio::test]
async fn garbage_ends_its_connection_and_no_other() {
    for wire in wire::ALL {
        let fixture = Fixture::to(wire, Backend::bind(wire).await.echo());
        let mut good = fixture.client().await;
        for seed in 0..64 {
            let mut bad = fixture.client().await;
            let mut random = fastrand::Rng::with_seed(seed);
            let garbage: Vec<u8> = (0..200).map(|_| random.u8(..)).collect();
            bad.send(garbage).await;
            bad.finish().await;
            while bad.next().await.is_some() {}
            good.call(seed, "hello").await;
            assert_eq!(good.message().await.id().number(), seed, "{}", wire.name);
        }
        fixture.reaches("downstream_cx_active", 1).await;
        assert!(fixture.count("request_decoding_error") > 0, "{}", wire.name);
        assert_eq!(fixture.count("request_active"), 0);
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_answered() {
    // a Dubbo request whose body is not what its header says
    let wire = wire::DUBBO;
    let fixture = Fixture::to(wire, Backend::bind(wire).await.echo());
    let mut client = fixture.client().await;
    client.send(b"\xda\xbb\xc2\0\0\0\0\0\0\0\0\x05\0\0\0\x03\x05ab").await;
    let answer = client.message().await;
    assert_eq!((answer.kind(), answer.id().number()), (Kind::Error, 5));
    assert_eq!(fixture.count("local_reply.bad_request"), 1);
    client.call(6, "hello").await;
    assert_eq!(client.message().await.kind(), Kind::Response, "the connection goes on");
}
