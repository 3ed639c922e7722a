//! Requests and answers that go as they should.

use std::time::Duration;

use aeraki_core::{
    codec::{Kind, Reason},
    route::config::Cluster,
};

use crate::{
    support::{Backend, Fixture, Peer, all_to},
    wire::{self, DUBBO},
};

#[tokio::test]
async fn a_request_and_its_answer() {
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let fixture = Fixture::to(wire, backend.address());
        let mut client = fixture.client().await;
        client.call(7, "hello").await;
        let mut server = backend.accept().await;
        let request = server.message().await;
        assert_eq!(request.attr("method"), Some(&b"hello"[..]), "{}", wire.name);
        server.answer(&request).await;
        let answer = client.message().await;
        assert_eq!(&answer.frame()[..], (wire.response)(7), "{}", wire.name);

        client.call(8, "fails").await;
        let request = server.message().await;
        server.send((wire.exception)(request.id().number())).await;
        assert_eq!(&client.message().await.frame()[..], (wire.exception)(8), "{}", wire.name);
        fixture.reaches("request_active", 0).await;
        assert_eq!((fixture.count("request"), fixture.count("response")), (2, 2));
        assert_eq!((fixture.count("request_time_ms"), fixture.count("response_business_exception")), (2, 1));
    }
}

/// Item 4.
#[tokio::test]
async fn oneway_reaches_the_server_and_nobody_waits() {
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let fixture = Fixture::to(wire, backend.address());
        let mut client = fixture.client().await;
        client.send((wire.oneway)(1, "notify")).await;
        let mut server = backend.accept().await;
        let notified = server.message().await;
        assert_eq!((notified.kind(), notified.attr("method")), (Kind::Oneway, Some(&b"notify"[..])));
        fixture.reaches("request_active", 0).await;
        client.call(2, "hello").await;
        let request = server.message().await;
        server.answer(&request).await;
        assert_eq!(client.message().await.id().number(), 2);
        fixture.reaches("request_active", 0).await;
        assert_eq!((fixture.count("request_oneway"), fixture.count("request_twoway")), (1, 1));
    }
}

#[tokio::test]
async fn clients_share_a_connection_and_get_their_own_answers() {
    const CLIENTS: u64 = 4;
    let backend = Backend::bind(DUBBO).await;
    let cluster = Cluster::new("one")
        .with_endpoint(backend.address())
        .with_limits(aeraki_core::route::config::Thresholds::default().with_max_connections(1));
    let fixture = Fixture::with(DUBBO, all_to("one"), vec![cluster], |service| service);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = fixture.client().await;
        // all use the same id
        client.call(42, "hello").await;
        clients.push(client);
    }
    let mut server = backend.accept().await;
    let mut requests = Vec::new();
    for _ in 0..CLIENTS {
        requests.push(server.message().await);
    }
    let mut ids: Vec<_> = requests.iter().map(|request| request.id().number()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len() as u64, CLIENTS, "every request has an id of its own upstream");
    for request in requests.iter().rev() {
        server.answer(request).await;
    }
    for client in &mut clients {
        assert_eq!(client.message().await.id().number(), 42);
    }
}

/// Item 13.
#[tokio::test]
async fn a_client_that_has_finished_still_gets_its_answer() {
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let fixture = Fixture::to(wire, backend.address());
        let mut client = fixture.client().await;
        client.call(3, "hello").await;
        client.finish().await;
        let mut server = backend.accept().await;
        let request = server.message().await;
        server.answer(&request).await;
        assert_eq!(client.message().await.id().number(), 3, "{}", wire.name);
        assert!(client.next().await.is_none(), "{}", wire.name);
        fixture.reaches("downstream_cx_active", 0).await;
        assert_eq!(fixture.count("cx_destroy_remote_with_active_rq"), 0);
    }
}

/// Item 13.
#[tokio::test]
async fn the_idle_timer_does_not_fire_with_a_request_in_flight() {
    const IDLE: Duration = Duration::from_millis(40);
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let cluster = Cluster::new("one").with_endpoint(backend.address());
        let idle = |service: aeraki_core::route::config::MetaProtocolProxy| service.with_idle_timeout(IDLE);
        let fixture = Fixture::with(wire, all_to("one"), vec![cluster], idle);
        let mut client = fixture.client().await;
        client.call(3, "slow").await;
        let mut server = backend.accept().await;
        let request = server.message().await;
        tokio::time::sleep(IDLE * 4).await;
        assert_eq!(fixture.count("idle_timeout"), 0);
        server.answer(&request).await;
        assert_eq!(client.message().await.id().number(), 3, "{}", wire.name);
        assert!(client.next().await.is_none(), "{}: then it is idle", wire.name);
        assert_eq!(fixture.count("idle_timeout"), 1);
    }
}

#[tokio::test]
async fn a_route_times_out_and_the_late_answer_goes_nowhere() {
    use aeraki_core::route::config::{Route, RouteAction, RouteConfig};
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let action = RouteAction::cluster("one").with_timeout(Duration::from_millis(50));
        let routes = RouteConfig::new("table", [Route::new("all", action)]);
        let cluster = Cluster::new("one").with_endpoint(backend.address());
        let fixture = Fixture::with(wire, routes, vec![cluster], |service| service);
        let mut client = fixture.client().await;
        client.call(3, "slow").await;
        let mut server = backend.accept().await;
        let late = server.message().await;
        let answer = client.message().await;
        assert_eq!((answer.id().number(), answer.kind()), (3, Kind::Error), "{}", wire.name);
        fixture.reaches(&format!("local_reply.{}", Reason::Timeout), 1).await;
        // where requests take turns the connection is not used again, and may be closed already
        client.call(4, "quick").await;
        if wire.name == "dubbo" {
            server.answer(&late).await;
            let request = server.message().await;
            server.answer(&request).await;
        } else {
            let mut second = backend.accept().await;
            let request = second.message().await;
            second.answer(&request).await;
        }
        let answer = client.message().await;
        assert_eq!(&answer.frame()[..], (wire.response)(4), "{}", wire.name);
    }
}

#[tokio::test]
async fn shutting_down_finishes_what_is_under_way() {
    for wire in wire::ALL {
        let backend = Backend::bind(wire).await;
        let fixture = Fixture::to(wire, backend.address());
        let address = fixture.address();
        let mut client = fixture.client().await;
        client.call(1, "hello").await;
        let mut server = backend.accept().await;
        let request = server.message().await;
        let down = tokio::spawn(fixture.proxy.shutdown(Duration::from_secs(5)));
        while tokio::net::TcpStream::connect(address).await.is_ok() {}
        server.answer(&request).await;
        let mut answers = Vec::new();
        while let Some(message) = client.next().await {
            answers.push((message.kind(), message.id().number()));
        }
        assert!(answers.contains(&(Kind::Response, 1)), "{}: {answers:?}", wire.name);
        let goodbyes = answers.iter().filter(|(kind, _)| *kind == Kind::Event).count();
        assert_eq!(goodbyes, usize::from(wire.name == "dubbo"), "{answers:?}");
        down.await.expect("no panic");
    }
}

#[tokio::test]
async fn workers_share_a_port() {
    use aeraki_core::{codec::Registry, proxy::Proxy, route::config};
    let server = Backend::bind(DUBBO).await.echo();
    let listener = config::Listener::new(
        "in",
        crate::support::ANY.parse().expect("an address"),
        config::ProtocolConfig::new("dubbo"),
        config::RouteSource::Inline(all_to("one")),
    );
    let config =
        config::Proxy::default().with_cluster(Cluster::new("one").with_endpoint(server)).with_listener(listener);
    let running = Proxy::new(config, &Registry::builtin()).expect("good").start(2).expect("a free port");
    let address = running.address("in").expect("the listener");
    let mut clients = Vec::new();
    for id in 0..16 {
        let mut client = Peer::connect(address, DUBBO).await;
        client.call(id, "hello").await;
        assert_eq!(client.message().await.id().number(), id);
        clients.push(client);
    }
    let total = running.stats().samples().get("meta_protocol.dubbo.in.downstream_cx_total");
    assert_eq!(total, Some(aeraki_core::observe::Value::Counter(16)));
    drop(clients);
    running.shutdown(Duration::from_secs(5)).await;
}
