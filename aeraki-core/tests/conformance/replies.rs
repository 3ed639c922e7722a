//! Answers by the proxy itself.

use std::sync::Arc;

use aeraki_core::{
    codec::{Kind, LocalReply, Reason},
    observe::{ListenerStats, Metrics},
    route::{Rules, SharedRules, config::Cluster},
    server::{Drain, Listener, ListenerOptions, Rpc},
    stack::{ObserveLayer, Request, RespondLayer, Response},
};
use tower::{Layer, service_fn};

use crate::{
    support::{ANY, Backend, Fixture, Peer, all_to, protocol},
    wire::{self, DUBBO, Wire},
};

/// Serves every request with the reason whose index in [`Reason::ALL`] is the number in its method.
fn refuse_all(wire: Wire) -> std::net::SocketAddr {
    let refuse = service_fn(|request: Request| async move {
        let method = request.message.attr("method").map(String::from_utf8_lossy).unwrap_or_default();
        let reason = Reason::ALL[method.trim_start_matches('m').parse::<usize>()?];
        Err::<Response, _>(LocalReply::new(reason, format!("refused: {reason}")).into())
    });
    let stack = RespondLayer::new().layer(ObserveLayer::new().layer(refuse));
    let demand = aeraki_core::codec::Demand::of(["method"]);
    let rules = Arc::new(SharedRules::new(Rules::empty().with_demand(&demand)));
    let rpc = Rpc::new("in", protocol(wire), rules, Metrics::new(wire.name, "in"), stack);
    let listener = Listener::bind("in", ANY.parse().expect("an address"), &ListenerOptions::default());
    let listener = listener.expect("a free port");
    let address = listener.local_addr();
    tokio::spawn(listener.serve(Arc::new(rpc), ListenerStats::new("in"), Drain::new()));
    address
}

/// Item 3.
#[tokio::test]
async fn every_reason_is_told_with_the_id_of_the_request() {
    for wire in wire::ALL {
        let address = refuse_all(wire);
        let mut client = Peer::connect(address, wire).await;
        for (index, reason) in Reason::ALL.iter().enumerate() {
            let id = 1000 + index as u64;
            client.call(id, &format!("m{index}")).await;
            let answer = client.message().await;
            assert_eq!((answer.kind(), answer.id().number()), (Kind::Error, id), "{} {reason}", wire.name);
            let text = format!("refused: {reason}");
            let found = answer.frame().windows(text.len()).any(|window| window == text.as_bytes());
            assert!(found, "{} {reason}: {:?}", wire.name, answer.frame());
        }
    }
}

#[tokio::test]
async fn what_cannot_be_forwarded_is_answered_at_once() {
    for wire in wire::ALL {
        let gone = Backend::bind(wire).await.address();
        for (clusters, reason) in [
            (Cluster::new("one"), Reason::NoHealthyUpstream),
            (Cluster::new("one").with_endpoint(gone), Reason::ConnectFailure),
        ] {
            let fixture = Fixture::with(wire, all_to("one"), vec![clusters], |service| service);
            let mut client = fixture.client().await;
            client.call(9, "hello").await;
            let answer = client.message().await;
            assert_eq!((answer.kind(), answer.id().number()), (Kind::Error, 9), "{} {reason}", wire.name);
            assert_eq!(fixture.count(&format!("local_reply.{reason}")), 1, "{} {reason}", wire.name);
            // a one-way call has nobody to tell
            client.send((wire.oneway)(10, "hello")).await;
            client.call(11, "hello").await;
            assert_eq!(client.message().await.id().number(), 11);
            assert_eq!(fixture.count(&format!("local_reply.{reason}")), 3, "{} {reason}", wire.name);
        }
    }
}

#[tokio::test]
async fn heartbeats_are_answered_by_the_proxy() {
    let fixture = Fixture::to(DUBBO, Backend::bind(DUBBO).await.address());
    let mut client = fixture.client().await;
    client.send(b"\xda\xbb\xe2\0\0\0\0\0\0\0\0\x07\0\0\0\x01N").await;
    let answer = client.message().await;
    assert_eq!((answer.kind(), answer.id().number()), (Kind::Heartbeat, 7));
    assert_eq!((fixture.count("request_event"), fixture.count("request")), (1, 0));
}

#[cfg(feature = "admin")]
#[tokio::test]
async fn the_admin_interface_shows_listeners_and_clusters() {
    use aeraki_core::{codec::Registry, proxy::Proxy, route::config};

    use crate::support::admin_says;

    let any: std::net::SocketAddr = ANY.parse().expect("an address");
    let routes = config::RouteSource::Inline(all_to("one"));
    let listener = config::Listener::new("in", any, config::ProtocolConfig::new("dubbo"), routes);
    let server = Backend::bind(DUBBO).await.echo();
    let config = config::Proxy::default()
        .with_admin(any)
        .with_cluster(Cluster::new("one").with_endpoint(server))
        .with_listener(listener);
    let running = Proxy::new(config, &Registry::builtin()).expect("good").start_here().expect("free ports");
    let mut client = Peer::connect(running.address("in").expect("the listener"), DUBBO).await;
    client.call(1, "hello").await;
    client.message().await;

    let admin = running.admin().expect("it is configured");
    let text = admin_says(admin, "GET /stats").await;
    for line in ["meta_protocol.dubbo.in.request: 1", "cluster.one.upstream_rq_total: 1"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}
