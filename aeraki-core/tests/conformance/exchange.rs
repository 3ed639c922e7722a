//! Proxies that tell each other on which nodes they are.

use std::net::SocketAddr;

use aeraki_core::{
    codec::Message,
    route::config::{
        self, Cluster, Filter, FilterConfig, Listener, MetaProtocolProxy, MetadataExchange, Node, ProtocolConfig,
        RouteSource, TrafficDirection,
    },
};

use crate::{
    support::{ANY, Backend, Fixture, all_to},
    wire::DUBBO,
};

const METADATA: &str = "x-envoy-peer-metadata";
const ID: &str = "x-envoy-peer-metadata-id";

/// A proxy on the node `name`, whose listener exchanges metadata.
fn proxy(name: &str, direction: TrafficDirection, trust_boundary: bool, to: SocketAddr) -> Fixture {
    let exchange = MetadataExchange::default().with_trust_boundary(trust_boundary);
    let filter = Filter::new("exchange", FilterConfig::MetadataExchange(exchange));
    let routes = RouteSource::Inline(all_to("one"));
    let address = ANY.parse().expect("an address");
    let service = MetaProtocolProxy::new("in", ProtocolConfig::new("dubbo"), routes).with_filter(filter);
    let listener = Listener::of("in", address, service).with_direction(direction);
    let node = Node::new(name, "shop").with_metadata("NAME", name);
    let config = config::Proxy::new(node).with_cluster(Cluster::new("one").with_endpoint(to));
    Fixture::of(DUBBO, config.with_listener(listener))
}

fn told(message: &Message) -> Option<(&[u8], &[u8])> {
    Some((message.attr(ID)?, message.attr(METADATA)?))
}

/// What a node of this one-letter name tells of itself.
fn by(name: &str) -> (&[u8], &[u8]) {
    let metadata = match name {
        "a" => &b"CgsKBE5BTUUSAxoBYQ=="[..],
        "b" => b"CgsKBE5BTUUSAxoBYg==",
        other => panic!("{other}"),
    };
    (name.as_bytes(), metadata)
}

/// The client speaks through an outbound proxy on `a` and an inbound one on `b` with the server.
async fn exchanged(boundaries: (bool, bool)) -> (Message, Message) {
    let backend = Backend::bind(DUBBO).await;
    let inbound = proxy("b", TrafficDirection::Inbound, boundaries.1, backend.address());
    let outbound = proxy("a", TrafficDirection::Outbound, boundaries.0, inbound.address());
    let mut client = outbound.client().await;
    client.call(1, "hello").await;
    let mut server = backend.accept().await;
    let request = server.message().await;
    server.answer(&request).await;
    (request, client.message().await)
}

#[tokio::test]
async fn each_tells_the_other() {
    let (request, answer) = exchanged((false, false)).await;
    assert_eq!((told(&request), told(&answer)), (Some(by("a")), Some(by("b"))));
}

#[tokio::test]
async fn nothing_passes_a_trust_boundary() {
    // an outbound listener to peers outside takes out what they say, and tells nothing
    let (request, answer) = exchanged((true, false)).await;
    assert_eq!((told(&request), told(&answer)), (None, None));
    // an inbound listener for peers outside takes out what they say, and tells nothing
    let (request, answer) = exchanged((false, true)).await;
    assert_eq!((told(&request), told(&answer)), (None, None));
}
