//! Listeners that drain because the admin interface was asked to, while the process lives on.

use std::io;

use aeraki_core::{
    codec::{Kind, Registry},
    proxy::Proxy,
    route::config::{self, Cluster, Listener, ProtocolConfig, RouteSource, TrafficDirection},
};
use tokio::net::TcpStream;

use crate::{
    support::{ANY, Backend, PATIENCE, Peer, admin_says, all_to},
    wire::DUBBO,
};

#[tokio::test]
async fn listeners_drain_as_at_the_end_and_the_process_lives_on() {
    let server = Backend::bind(DUBBO).await.echo();
    let any = || ANY.parse().expect("an address");
    let listener = |name, direction| {
        let routes = RouteSource::Inline(all_to("one"));
        Listener::new(name, any(), ProtocolConfig::new("dubbo"), routes).with_direction(direction)
    };
    let config = config::Proxy::default()
        .with_admin(any())
        .with_cluster(Cluster::new("one").with_endpoint(server))
        .with_listener(listener("in", TrafficDirection::Inbound))
        .with_listener(listener("out", TrafficDirection::Outbound));
    let proxy = || Proxy::new(config.clone(), &Registry::builtin()).expect("good");
    let mut running = proxy().start(1).expect("free ports");
    let admin = running.admin().expect("it is configured");
    let addresses = ["in", "out"].map(|name| running.address(name).expect("the listener"));
    let refuses = async |address| loop {
        match TcpStream::connect(address).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return,
            _ => tokio::task::yield_now().await,
        }
    };

    let queries = ["?graceful&inboundonly", "?graceful"];
    for (address, query) in addresses.into_iter().zip(queries) {
        let mut client = Peer::connect(address, DUBBO).await;
        client.call(1, "hello").await;
        assert_eq!(client.message().await.kind(), Kind::Response, "{query}: it serves until then");
        let answer = admin_says(admin, &format!("POST /drain_listeners{query}")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(client.message().await.kind(), Kind::Event, "{query}: a goodbye");
        assert!(client.next().await.is_none(), "{query}: the connection of a quiet client ends");
        tokio::time::timeout(PATIENCE, refuses(address)).await.expect("the socket is closed");
        assert!(admin_says(admin, "GET /ready").await.ends_with("DRAINING\n"), "{query}");
    }
    let refused = running.update(proxy(), PATIENCE).expect_err("nothing would serve it");
    assert_eq!(refused.to_string(), "proxy: listeners: drain, and serve in no other way any more");
    running.shutdown(PATIENCE).await;
}
