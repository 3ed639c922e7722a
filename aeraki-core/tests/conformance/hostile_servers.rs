//! Servers that mean harm: their own clients get an error, and nobody else notices.

use aeraki_core::codec::Kind;

use crate::{
    support::{Backend, Fixture, served},
    wire::{self, DUBBO, THRIFT},
};

#[tokio::test]
async fn an_answer_that_says_not_even_whose_it_is_fails_the_request_at_once() {
    let backend = Backend::bind(THRIFT).await;
    let fixture = Fixture::to(THRIFT, backend.address());
    let mut client = fixture.client().await;
    client.call(1, "hello").await;
    let mut server = backend.accept().await;
    server.message().await;
    server.send(b"\0\0\0\x08nonsense").await;
    let answer = client.message().await;
    assert_eq!((answer.kind(), answer.id().number()), (Kind::Error, 1));
    assert_eq!(fixture.count("local_reply.bad_response"), 1);
    assert!(server.next().await.is_none(), "the proxy trusts it no more");
    served(&mut client, &backend, 2, "hello").await;
}

/// A server that names the transport before anybody has asked it anything.
#[tokio::test]
async fn a_server_that_speaks_first_does_not_choose_the_transport_of_the_client() {
    let backend = Backend::bind(THRIFT).await;
    let fixture = Fixture::to(THRIFT, backend.address());
    let mut client = fixture.client().await;
    for id in 1..=20 {
        client.call(id, "hello").await;
        let mut server = backend.accept().await;
        // unframed, to a client of frames
        server.send(&(THRIFT.response)(id)[4..]).await;
        let answer = client.message().await;
        assert_eq!((answer.kind(), answer.id().number()), (Kind::Error, id));
        drop(server);
    }
}

#[tokio::test]
async fn a_second_answer_is_nobodys() {
    let backend = Backend::bind(DUBBO).await;
    let fixture = Fixture::to(DUBBO, backend.address());
    let mut client = fixture.client().await;
    client.call(1, "hello").await;
    let mut server = backend.accept().await;
    for id in 1..50 {
        let request = server.message().await;
        for _ in 0..3 {
            server.answer(&request).await;
        }
        assert_eq!(&client.message().await.frame()[..], (DUBBO.response)(id));
        client.call(id + 1, "hello").await;
    }
    assert_eq!(fixture.count("response"), 49);
}

#[tokio::test]
async fn garbage_of_a_server_fails_its_requests_and_no_others() {
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let fixture = Fixture::to(wire, backend.address());
        let mut client = fixture.client().await;
        for seed in 0..64 {
            client.call(seed, "hello").await;
            let mut server = backend.accept().await;
            server.message().await;
            let mut random = fastrand::Rng::with_seed(seed);
            // as often as not behind bytes that look right
            let mut garbage = (wire.response)(seed);
            garbage.truncate(random.usize(..garbage.len()));
            garbage.extend((0..100).map(|_| random.u8(..)));
            server.send(&garbage).await;
            server.finish().await;
            let answer = client.message().await;
            assert_eq!((answer.kind(), answer.id().number()), (Kind::Error, seed), "{}", wire.name);
            // the proxy may have closed it with bytes unread
            drop(server);
        }
        fixture.reaches("request_active", 0).await;
    }
}
