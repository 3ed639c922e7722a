//! Rate limit services while the configuration changes.

use std::future::pending;

use aeraki_xds::{
    Publisher,
    ratelimit::{Limits, MemoryStore, Server},
};
use tokio::net::TcpListener;

use crate::{
    bootstrap, cluster, listener, protocol,
    relay::Relay,
    running::Running,
    serving::{call, connect, control_plane, rds, service, table},
    to_cluster,
    wire::Wire,
};

const WIRE: Wire = Wire::Dubbo;

/// Starts a rate limit service that lets one request pass.
async fn limiter() -> Relay {
    let limits = "domain: shop\ndescriptors: [{key: method, rate_limit: {unit: year, requests_per_unit: 1}}]";
    let limits = Limits::parse([("shop.yaml", limits)]).expect("good limits");
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = socket.local_addr().expect("an address").port();
    tokio::spawn(Server::new(limits, MemoryStore::default()).serve(socket, pending()));
    Relay::to(port).await
}

/// A listener with `routes` whose requests are limited by the service behind a cluster; none is where it cannot be
/// asked.
fn limited(routes: &str, limiter: &str) -> String {
    let filters = format!(
        "meta_protocol_filters: [{{name: aeraki.meta_protocol.filters.ratelimit, config: {{'@type': \
         type.googleapis.com/aeraki.meta_protocol_proxy.filters.ratelimit.v1alpha.RateLimit, domain: shop, \
         timeout: 20s, rate_limit_service: {{grpc_service: {{envoy_grpc: {{cluster_name: {limiter}}}}}}}, \
         descriptors: [{{property: method, descriptor_key: method}}]}}}}, \
         {{name: aeraki.meta_protocol.filters.router}}]"
    );
    listener(0, &format!("{}, {routes}, {filters}", protocol("dubbo")))
}

#[tokio::test]
async fn what_serves_in_the_old_way_asks_the_old_limiter_until_it_has_ended() {
    let (port, limiter, publisher) = (service(WIRE, "v1").await, limiter().await, Publisher::new());
    let before = [cluster("service", port), cluster("limiter", limiter.port())];
    let text = bootstrap(&[limited(&to_cluster("service"), "limiter")], &before);
    let mut proxy = Running::start(&text, &["--workers", "2", "--drain-time-s", "0"]).await;
    let mut client = connect(proxy.listener, WIRE).await;
    assert_eq!(call(&mut client, WIRE, 1).await.as_deref(), Some("v1"));
    assert_eq!(call(&mut client, WIRE, 2).await, None, "the limit is reached");

    let control_plane = control_plane(&publisher).await;
    let after =
        [cluster("service", port), cluster("renamed", limiter.port()), cluster("control_plane", control_plane.port())];
    proxy.reload(&bootstrap(&[limited(&rds(""), "renamed")], &after)).await;
    proxy.wait_for("the configuration is in force").await;
    assert_eq!(call(&mut client, WIRE, 3).await, None, "as before: the new listener has no table yet");
    assert_eq!(limiter.opened(), 1, "by the same client");

    publisher.publish(table("service"));
    limiter.closed(1).await;
    let mut client = connect(proxy.listener, WIRE).await;
    assert_eq!(call(&mut client, WIRE, 4).await, None, "under its new name");
}

#[tokio::test]
async fn a_refused_configuration_leaves_the_clients_of_limiters_as_they_are() {
    let (port, limiter) = (service(WIRE, "v1").await, limiter().await);
    let clusters = [cluster("service", port), cluster("limiter", limiter.port())];
    let text = bootstrap(&[limited(&to_cluster("service"), "limiter")], &clusters);
    let mut proxy = Running::start(&text, &["--workers", "1"]).await;
    let mut client = connect(proxy.listener, WIRE).await;
    assert_eq!(call(&mut client, WIRE, 1).await.as_deref(), Some("v1"));

    let changed = text.replace("connect_timeout: 5s", "connect_timeout: 6s");
    proxy.reload(&changed.replace("id: me", "id: you")).await;
    proxy.wait_for("the last good configuration stays").await;
    assert_eq!(call(&mut client, WIRE, 2).await, None);
    assert_eq!(limiter.opened(), 1);

    proxy.reload(&changed).await;
    proxy.wait_for("the configuration is in force").await;
    assert_eq!(call(&mut client, WIRE, 3).await, None);
    assert_eq!(limiter.opened(), 2, "what changed is in force");
}
