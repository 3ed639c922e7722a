//! Connections that are opened before they are needed.

use aeraki_route::config::{
    Consecutive, Decimal, Endpoint, HealthStatus, OutlierDetection, Preconnect, RoutingPriority, Thresholds,
};

use super::*;

fn spare(connections: u32) -> config::Cluster {
    cluster().with_preconnect(Preconnect::default().with_spare_connections(connections))
}

/// Connections for twice as many requests as there are.
fn twice() -> config::Cluster {
    cluster().with_preconnect(Preconnect::default().with_per_upstream_ratio(Decimal::from(2)))
}

fn connections(bench: &Bench) -> (i64, i64) {
    (bench.count("upstream_cx_total"), bench.count("upstream_cx_active"))
}

#[tokio::test(start_paused = true)]
async fn the_first_request_finds_a_connection_that_is_replaced_then() {
    let mut bench = Bench::with(Serving::Serial, spare(1));
    let mut first = bench.server().await;
    bench.no_server().await;
    assert_eq!(connections(&bench), (1, 1));
    bench.set_mode(Mode::Hang);
    let call = bench.call(REQUEST, 1, "at once");
    first.echo().await;
    assert_eq!(answer(call).await.1, "at once");
    assert_eq!(connections(&bench), (2, 2), "another one is being made");
}

#[tokio::test(start_paused = true)]
async fn a_spare_connection_that_ends_is_made_again_later_and_later() {
    let mut bench = Bench::with(Serving::Serial, spare(1));
    for pause in [1, 2, 4] {
        drop(bench.server().await);
        settle().await;
        assert_eq!(bench.count("upstream_cx_active"), 0);
        tokio::time::sleep(Duration::from_secs(pause) - Duration::from_millis(1)).await;
        bench.no_server().await;
    }
    bench.set_mode(Mode::Refuse);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(bench.count("upstream_cx_active"), 0);
    bench.set_mode(Mode::Accept);
    let mut last = bench.server().await;
    let call = bench.call(REQUEST, 1, "well again");
    last.echo().await;
    assert_eq!(answer(call).await.1, "well again");
}

#[tokio::test(start_paused = true)]
async fn spare_connections_are_for_endpoints_that_take_requests_and_within_the_limit() {
    let endpoint = |port, status| Endpoint::new(SocketAddr::from(([127, 0, 0, 1], port))).with_health_status(status);
    let ill = spare(2).with_endpoint(endpoint(2, HealthStatus::Unhealthy));
    let mut bench = Bench::with(Serving::Serial, ill);
    let mut servers = vec![bench.server().await, bench.server().await];
    bench.no_server().await;
    let limits = Thresholds::default().with_max_connections(3);
    let well = spare(2).with_endpoint(endpoint(2, HealthStatus::Healthy)).with_limits(limits);
    bench.clusters.update([well]);
    // other limits mean other connections
    for server in &mut servers {
        assert!(server.is_closed().await);
    }
    let mut servers = vec![bench.server().await, bench.server().await, bench.server().await];
    bench.no_server().await;
    assert_eq!(bench.count("upstream_cx_active"), 3);
    bench.clusters.update([]);
    for server in &mut servers {
        assert!(server.is_closed().await);
    }
}

#[tokio::test(start_paused = true)]
async fn urgent_requests_leave_spare_connections_alone() {
    let mut bench = Bench::with(Serving::Serial, spare(1));
    let mut first = bench.server().await;
    let mut request = bench.request(frame(REQUEST, 1, b"urgent"));
    request.priority = RoutingPriority::High;
    let call = bench.send(request);
    bench.server().await.echo().await;
    assert_eq!(answer(call).await.1, "urgent");
    assert!(first.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn connections_are_opened_ahead_of_requests_within_the_limit() {
    let limits = Thresholds::default().with_max_connections(3);
    let mut bench = Bench::with(Serving::Serial, twice().with_limits(limits));
    let first = bench.call(REQUEST, 1, "first");
    let mut servers = vec![bench.server().await, bench.server().await];
    bench.no_server().await;
    let second = bench.call(REQUEST, 2, "second");
    servers.push(bench.server().await);
    bench.no_server().await;
    assert_eq!(connections(&bench), (3, 3));
    for server in &mut servers[..2] {
        server.echo().await;
    }
    assert_eq!((answer(first).await.1, answer(second).await.1), ("first".to_owned(), "second".to_owned()));
    // connections that take many requests are enough for long
    let mut bench = Bench::with(Serving::Concurrent, twice());
    let _calls: Vec<Call> = (0..100).map(|n| bench.call(REQUEST, n, "x")).collect();
    let _server = bench.server().await;
    bench.no_server().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_opened_ahead_to_an_endpoint_that_is_ill() {
    let mut detection = OutlierDetection::default();
    (detection.consecutive_errors, detection.max_ejection_percent) = (Consecutive::new(1, 100), 100);
    let judged = twice().with_outlier_detection(detection);
    // by the rules in force, also where the endpoint came with others
    for before in [judged.clone(), twice()] {
        let mut bench = Bench::with(Serving::Serial, before);
        bench.clusters.update([judged.clone()]);
        let failing = bench.call(REQUEST, 1, "fails");
        drop(bench.server().await);
        let mut left = bench.server().await;
        assert_eq!(failure(failing).await.0, Reason::UpstreamClosed);
        assert_eq!(bench.count("outlier_detection.ejections_active"), 1);
        let next = bench.call(REQUEST, 2, "in panic");
        left.echo().await;
        assert_eq!(answer(next).await.1, "in panic");
        bench.no_server().await;
    }
}
