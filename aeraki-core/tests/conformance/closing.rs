//! Servers that go away, and servers that answer wrongly.

use aeraki_core::codec::Kind;

use crate::{
    support::{Backend, Fixture},
    wire,
};

/// Item 8.
#[tokio::test]
async fn a_server_that_closes_before_it_answers() {
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let fixture = Fixture::to(wire, backend.address());
        let mut client = fixture.client().await;
        client.call(1, "hello").await;
        let mut server = backend.accept().await;
        server.message().await;
        drop(server);
        let answer = client.message().await;
        assert_eq!((answer.kind(), answer.id().number()), (Kind::Error, 1), "{}", wire.name);
        assert_eq!(fixture.count("local_reply.upstream_closed"), 1, "{}", wire.name);
    }
}

/// Item 8.
#[tokio::test]
async fn a_server_that_closes_within_its_answer() {
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let fixture = Fixture::to(wire, backend.address());
        let mut client = fixture.client().await;
        client.call(1, "hello").await;
        let mut server = backend.accept().await;
        let request = server.message().await;
        let response = (wire.response)(request.id().number());
        server.send(&response[..response.len() - 1]).await;
        drop(server);
        let answer = client.message().await;
        assert_eq!((answer.kind(), answer.id().number()), (Kind::Error, 1), "{}", wire.name);

        client.call(2, "again").await;
        let mut server = backend.accept().await;
        let request = server.message().await;
        server.answer(&request).await;
        assert_eq!(&client.message().await.frame()[..], (wire.response)(2), "{}: nothing is left over", wire.name);
    }
}

/// Item 8.
#[tokio::test]
async fn a_server_that_closes_behind_its_answer() {
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let fixture = Fixture::to(wire, backend.address());
        let mut client = fixture.client().await;
        for id in 1..=3 {
            client.call(id, "hello").await;
            let mut server = backend.accept().await;
            let request = server.message().await;
            server.answer(&request).await;
            server.finish().await;
            assert_eq!(&client.message().await.frame()[..], (wire.response)(id), "{}", wire.name);
            assert!(server.next().await.is_none(), "{}: the proxy closes its end too", wire.name);
        }
        assert_eq!(fixture.count("response"), 3);
    }
}

/// Item 8.
#[tokio::test]
async fn every_pending_request_is_answered_when_its_server_goes() {
    const PENDING: u64 = 5;
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let fixture = Fixture::to(wire, backend.address());
        let mut client = fixture.client().await;
        let all: Vec<u8> = (0..PENDING).flat_map(|id| (wire.request)(id, "hello")).collect();
        client.send(all).await;
        let mut servers = Vec::new();
        let mut seen = 0;
        while seen < PENDING {
            let mut server = backend.accept().await;
            server.message().await;
            seen += 1;
            // where servers take several requests at a time, the others are on the same connection
            if wire.name == "dubbo" {
                while seen < PENDING {
                    server.message().await;
                    seen += 1;
                }
            }
            servers.push(server);
        }
        drop(servers);
        let mut ids = Vec::new();
        for _ in 0..PENDING {
            let answer = client.message().await;
            assert_eq!(answer.kind(), Kind::Error, "{}", wire.name);
            ids.push(answer.id().number());
        }
        ids.sort_unstable();
        assert_eq!(ids, (0..PENDING).collect::<Vec<_>>(), "{}", wire.name);
        fixture.reaches("request_active", 0).await;
        assert_eq!(fixture.count("local_reply.upstream_closed"), PENDING);
    }
}

/// Item 9.
#[tokio::test]
async fn an_answer_under_a_wrong_id_is_never_delivered() {
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let fixture = Fixture::to(wire, backend.address());
        let mut client = fixture.client().await;
        client.call(1, "hello").await;
        let mut server = backend.accept().await;
        let request = server.message().await;
        server.send((wire.response)(request.id().number() ^ 0x4000)).await;
        server.finish().await;
        let answer = client.message().await;
        assert_eq!((answer.kind(), answer.id().number()), (Kind::Error, 1), "{}", wire.name);
        fixture.reaches("request_active", 0).await;
        assert_eq!(fixture.count("response"), 0, "{}", wire.name);
    }
}

#[tokio::test]
async fn a_server_that_answers_garbage_is_left() {
    for wire in wire::ALL {
        for garbage in
            [&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"HTTP/1.1 200 OK\r\n\r\n"]
        {
            let backend = Backend::bind(wire).await;
            let fixture = Fixture::to(wire, backend.address());
            let mut client = fixture.client().await;
            client.call(1, "hello").await;
            let mut server = backend.accept().await;
            server.message().await;
            server.send(garbage).await;
            server.finish().await;
            let answer = client.message().await;
            assert_eq!((answer.kind(), answer.id().number()), (Kind::Error, 1), "{}", wire.name);

            client.call(2, "again").await;
            let mut server = backend.accept().await;
            let request = server.message().await;
            server.answer(&request).await;
            assert_eq!(&client.message().await.frame()[..], (wire.response)(2), "{}", wire.name);
        }
    }
}
