//! Servers that are told who the client is.

use aeraki_route::config::{HealthCheck, HealthCheckKind, ProxyProtocolVersion};

use super::*;

fn announcing() -> config::Cluster {
    cluster().with_proxy_protocol(ProxyProtocolVersion::V1)
}

fn client(host: u8) -> Arc<ConnInfo> {
    let [peer, local] = [[10, 0, 0, host], [10, 0, 0, 9]].map(|ip| SocketAddr::from((ip, 80)));
    Arc::new(ConnInfo::new("test".into(), Arc::new(Toy(Serving::Concurrent)), peer, local))
}

fn header(host: u8) -> String {
    format!("PROXY TCP4 10.0.0.{host} 10.0.0.9 80 80\r\n")
}

impl Server {
    async fn expect(&mut self, text: &str) {
        let mut read = vec![0; text.len()];
        soon(self.0.read_exact(&mut read)).await.expect("it is there");
        assert_eq!(String::from_utf8_lossy(&read), text);
    }
}

#[tokio::test(start_paused = true)]
async fn every_client_has_connections_of_its_own_which_begin_with_its_addresses() {
    let mut bench = Bench::with(Serving::Concurrent, announcing());
    let mut open = Vec::new();
    for host in [1, 2] {
        let client = client(host);
        let call = bench.send(request(&client, frame(REQUEST, 1, b"first")));
        let mut server = bench.server().await;
        server.expect(&header(host)).await;
        server.echo().await;
        answer(call).await;
        let call = bench.send(request(&client, frame(REQUEST, 2, b"second")));
        server.echo().await;
        assert_eq!(answer(call).await, (2, "second".to_owned()));
        open.push((client, server));
    }
    bench.no_server().await;
    for (client, mut server) in open {
        assert!(server.is_silent().await);
        drop(client);
        assert!(server.is_closed().await, "it ends with its client");
    }
    assert_eq!(bench.count("upstream_cx_active"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_bound_to_its_client_tells_it_too() {
    let mut bench = Bench::with(Serving::Concurrent, announcing());
    bench.conn = client(1);
    let call = bench.call_with(Affinity::Bound, 1, "bound");
    let mut server = bench.server().await;
    server.expect(&header(1)).await;
    server.echo().await;
    answer(call).await;
    let call = bench.call(REQUEST, 2, "and all that follow");
    server.echo().await;
    answer(call).await;
    bench.no_server().await;
}

#[tokio::test(start_paused = true)]
async fn connections_to_endpoints_that_are_gone_end_though_the_client_stays() {
    let mut bench = Bench::with(Serving::Concurrent, announcing());
    bench.conn = client(1);
    let call = bench.call(REQUEST, 1, "old");
    let mut old = bench.server().await;
    old.expect(&header(1)).await;
    old.echo().await;
    answer(call).await;

    let elsewhere = config::Cluster::new("c").with_endpoint(SocketAddr::from(([127, 0, 0, 1], 2)));
    bench.clusters.update([elsewhere.with_proxy_protocol(ProxyProtocolVersion::V1)]);
    let call = bench.call(REQUEST, 2, "new");
    let mut new = bench.server().await;
    new.expect(&header(1)).await;
    new.echo().await;
    answer(call).await;
    assert!(old.is_closed().await);
    assert_eq!(bench.count("upstream_cx_active"), 1);
}

#[tokio::test(start_paused = true)]
async fn connections_of_clients_count_towards_the_limit() {
    let limits = config::Thresholds::default().with_max_connections(1);
    let limits = config::ClusterLimits::default().with_thresholds(config::RoutingPriority::Default, limits);
    let mut bench = Bench::with(Serving::Serial, announcing().with_limits(limits).with_depth(1));
    bench.conn = client(1);
    let first = bench.call(REQUEST, 1, "first");
    let waiting = bench.call(REQUEST, 2, "waits");
    let mut server = bench.server().await;
    server.expect(&header(1)).await;
    server.read().await;
    let refused = bench.send(request(&client(2), frame(REQUEST, 3, b"no room")));
    assert_eq!(failure(refused).await.0, Reason::Overflow);
    drop(server);
    assert_eq!(failure(first).await.0, Reason::UpstreamClosed);
    let mut server = bench.server().await;
    server.expect(&header(1)).await;
    server.echo().await;
    answer(waiting).await;
}

#[tokio::test(start_paused = true)]
async fn checks_are_nobodys_connections() {
    let every_second = Duration::from_secs(1);
    let check = HealthCheck::new(HealthCheckKind::CONNECT, every_second, every_second);
    let mut bench = Bench::with(Serving::Concurrent, announcing().with_health_check(check));
    bench.server().await.expect("PROXY UNKNOWN\r\n").await;
}
