//! Goodbyes: who says that it ends gets nothing more, and nothing of what it has is lost.

use std::time::Duration;

use aeraki_core::{
    codec::{Kind, Message},
    route::config::{Cluster, RetryOn, RetryPolicy, Route, RouteAction, RouteConfig},
};

use crate::{
    support::{Backend, Fixture, Peer, served},
    wire::{DUBBO, LEAVING, THRIFT, THRIFT_HEADER, read_only},
};

/// Answers a request, and says goodbye as the protocol does.
async fn answer_and_leave(server: &mut Peer, request: &Message) {
    let id = request.id().number();
    if server.wire.name == DUBBO.name {
        server.send(read_only()).await;
        server.send((DUBBO.response)(id)).await;
    } else {
        server.send((LEAVING.response)(id)).await;
    }
}

#[tokio::test]
async fn a_server_that_says_goodbye_is_left_and_its_client_does_not_notice() {
    for wire in [DUBBO, THRIFT_HEADER] {
        let backend = Backend::bind(wire).await;
        let fixture = Fixture::to(wire, backend.address());
        let mut client = fixture.client().await;
        for id in 1..=3 {
            client.call(id, "hello").await;
            let mut server = backend.accept().await;
            let request = server.message().await;
            answer_and_leave(&mut server, &request).await;
            assert_eq!(&client.message().await.frame()[..], (wire.response)(id), "{}: nothing is passed on", wire.name);
            assert!(server.next().await.is_none(), "{}: the proxy closes the connection", wire.name);
        }
        assert_eq!(fixture.cluster("upstream_cx_drain_close"), 3);
        assert_eq!(fixture.cluster("upstream_cx_destroy_with_active_rq"), 0);
    }
}

#[tokio::test]
async fn what_a_server_has_begun_is_answered_behind_its_goodbye() {
    let backend = Backend::bind(DUBBO).await;
    let fixture = Fixture::to(DUBBO, backend.address());
    let mut client = fixture.client().await;
    client.send((1..=3).flat_map(|id| (DUBBO.request)(id, "hello")).collect::<Vec<_>>()).await;
    let mut server = backend.accept().await;
    let mut begun = Vec::new();
    for _ in 0..3 {
        begun.push(server.message().await);
    }
    answer_and_leave(&mut server, &begun[0]).await;
    assert_eq!(client.message().await.id().number(), 1);
    served(&mut client, &backend, 4, "hello").await;
    for (request, id) in begun[1..].iter().zip(2..) {
        server.answer(request).await;
        assert_eq!(client.message().await.id().number(), id);
    }
    assert!(server.next().await.is_none());
    assert_eq!((fixture.count("response_success"), fixture.count("local_response_business_exception")), (4, 0));
}

#[tokio::test]
async fn what_a_server_takes_with_it_is_tried_again_once_or_fails_once() {
    for attempts in [0, 1] {
        let backend = Backend::bind(DUBBO).await;
        let retry = RetryPolicy::new(1).with_on([RetryOn::Reset]).with_repeatable(true);
        let action = RouteAction::cluster("one");
        let action = if attempts == 0 { action } else { action.with_retry(retry) };
        let cluster = Cluster::new("one").with_endpoint(backend.address());
        let fixture =
            Fixture::with(DUBBO, RouteConfig::new("t", [Route::new("all", action)]), vec![cluster], |service| service);
        let mut client = fixture.client().await;
        client.send((1..=4).flat_map(|id| (DUBBO.request)(id, "hello")).collect::<Vec<_>>()).await;
        let mut server = backend.accept().await;
        let first = server.message().await;
        for _ in 0..3 {
            server.message().await;
        }
        answer_and_leave(&mut server, &first).await;
        assert_eq!(client.message().await.kind(), Kind::Response);
        drop(server);
        if attempts > 0 {
            let mut server = backend.accept().await;
            for _ in 0..3 {
                let request = server.message().await;
                server.answer(&request).await;
            }
        }
        let expected = if attempts == 0 { Kind::Error } else { Kind::Response };
        let mut ids = Vec::new();
        for _ in 0..3 {
            let answer = client.message().await;
            assert_eq!(answer.kind(), expected);
            ids.push(answer.id().number());
        }
        ids.sort_unstable();
        assert_eq!(ids, [2, 3, 4]);
        fixture.reaches("request_active", 0).await;
        assert_eq!((fixture.count("retry"), fixture.count("request")), (3 * attempts, 4));
    }
}

#[tokio::test]
async fn a_proxy_that_drains_says_goodbye_and_answers_what_was_on_its_way() {
    for wire in [DUBBO, THRIFT_HEADER] {
        let backend = Backend::bind(wire).await;
        let fixture = Fixture::to(wire, backend.address());
        let address = fixture.address();
        let mut client = fixture.client().await;
        client.call(1, "hello").await;
        let mut server = backend.accept().await;
        let request = server.message().await;
        let down = tokio::spawn(fixture.proxy.shutdown(Duration::from_secs(5)));
        while tokio::net::TcpStream::connect(address).await.is_ok() {}
        client.call(2, "hello").await;
        if wire.name == DUBBO.name {
            let late = server.message().await;
            server.answer(&late).await;
        } else {
            let mut other = backend.accept().await;
            let late = other.message().await;
            other.answer(&late).await;
        }
        server.answer(&request).await;
        let mut answers = Vec::new();
        while let Some(message) = client.next().await {
            answers.push(message.frame().to_vec());
        }
        let answered = if wire.name == DUBBO.name { wire } else { LEAVING };
        let expected = [1, 2].map(answered.response);
        assert!(expected.iter().all(|answer| answers.contains(answer)), "{}: {answers:?}", wire.name);
        if wire.name == DUBBO.name {
            assert!(answers.contains(&read_only()));
        }
        down.await.expect("no panic");
    }
}

/// Frames without a header have no word for it.
#[tokio::test]
async fn a_proxy_that_cannot_say_goodbye_answers_what_has_come() {
    let backend = Backend::bind(THRIFT).await;
    let fixture = Fixture::to(THRIFT, backend.address());
    let mut client = fixture.client().await;
    client.call(1, "hello").await;
    let mut server = backend.accept().await;
    let request = server.message().await;
    let down = tokio::spawn(fixture.proxy.shutdown(Duration::from_secs(5)));
    server.answer(&request).await;
    assert_eq!(&client.message().await.frame()[..], (THRIFT.response)(1));
    assert!(client.next().await.is_none());
    down.await.expect("no panic");
}
