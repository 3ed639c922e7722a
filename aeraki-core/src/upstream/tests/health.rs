//! Endpoints that are ill get no requests, whoever finds out.

use std::collections::HashSet;

use aeraki_codec::Registry;
use aeraki_route::{
    Placement,
    config::{HealthCheck, HealthCheckKind, HealthStatus, OutlierDetection},
};

use super::*;
use crate::{logged::Log, upstream::health::Ended};

/// Servers on ports of which some are ill: they refuse connections, or close them unanswered.
#[derive(Debug, Default)]
struct Ports {
    refuse: Mutex<HashSet<u16>>,
    /// Ports that never answer anything.
    mute: Mutex<HashSet<u16>>,
    /// Connections by port.
    made: Mutex<Vec<u16>>,
}

impl Connector for Ports {
    fn connect(&self, address: &config::SocketAddress) -> BoxFuture<io::Result<Box<dyn Io>>> {
        let port = address.as_ip().expect("an IP address").port();
        if lock(&self.refuse).contains(&port) {
            return Box::pin(std::future::ready(Err(io::ErrorKind::ConnectionRefused.into())));
        }
        lock(&self.made).push(port);
        let mute = lock(&self.mute).contains(&port);
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::spawn(serve(Server(far), port, mute));
        Box::pin(std::future::ready(Ok(Box::new(near) as Box<dyn Io>)))
    }
}

/// Answers requests with the number of the port, and signs of life.
async fn serve(mut server: Server, port: u16, mute: bool) {
    loop {
        let mut head = [0; 9];
        if server.0.read_exact(&mut head).await.is_err() {
            return;
        }
        let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; len - 5];
        server.0.read_exact(&mut payload).await.expect("a frame");
        let answer = if head[4] == PING { PONG } else { RESPONSE };
        if !mute {
            let _ = server.0.write_all(&frame(answer, id, port.to_string().as_bytes())).await;
        }
    }
}

struct Mesh {
    ports: Arc<Ports>,
    clusters: Clusters,
    conn: Arc<ConnInfo>,
}

impl Mesh {
    fn of(config: &config::Cluster) -> Self {
        let ports: Arc<Ports> = Arc::default();
        let clusters = Clusters::new(context(&ports));
        clusters.update([config.clone()]);
        Self { ports, clusters, conn: conn(Serving::Concurrent) }
    }

    async fn call(&self) -> Result<String, Reason> {
        self.call_on(&self.clusters).await
    }

    async fn call_on(&self, clusters: &Clusters) -> Result<String, Reason> {
        let request = request(&self.conn, frame(REQUEST, 1, b""));
        match soon(clusters.get("c").expect("configured").forward(request)).await {
            Ok(Response::Message(message)) => Ok(String::from_utf8_lossy(&message.frame()[9..]).into_owned()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.downcast_ref::<LocalReply>().expect("a reply").reason()),
        }
    }

    /// Calls so often, and returns the ports that answered, each once, and how many calls failed.
    async fn calls(&self, count: usize) -> (Vec<String>, usize) {
        let (mut answered, mut failed) = (Vec::new(), 0);
        for _ in 0..count {
            match self.call().await {
                Ok(port) => answered.push(port),
                Err(_) => failed += 1,
            }
        }
        answered.sort();
        answered.dedup();
        (answered, failed)
    }

    /// Returns how many endpoints there are, are healthy, and are degraded.
    fn membership(&self) -> [i64; 3] {
        ["total", "healthy", "degraded"].map(|name| self.count(&format!("membership_{name}")))
    }

    fn count(&self, name: &str) -> i64 {
        let mut samples = Samples::default();
        self.clusters.collect(&mut samples);
        match samples.get(&format!("cluster.c.{name}")).expect("a known name") {
            crate::observe::Value::Counter(count) => count.try_into().expect("small"),
            crate::observe::Value::Gauge(count) => count,
            other @ crate::observe::Value::Histogram(_) => panic!("{other:?}"),
        }
    }
}

fn context(ports: &Arc<Ports>) -> Context {
    let mut registry = Registry::new();
    registry.register("toy", Arc::new(Toy(Serving::Concurrent)));
    Context::new().with_connector(Arc::clone(ports) as Arc<dyn Connector>).with_protocols(Arc::new(registry))
}

/// A cluster of the ports 1 to `count`.
fn cluster_of(count: u16) -> config::Cluster {
    (1..=count).fold(config::Cluster::new("c"), |cluster, port| {
        cluster.with_endpoint(SocketAddr::from(([127, 0, 0, 1], port)))
    })
}

fn detection() -> OutlierDetection {
    let mut detection = OutlierDetection::default();
    detection.max_ejection_percent = 50;
    detection
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_is_taken_out_and_comes_back() {
    let log = Log::begin();
    let mesh = Mesh::of(&cluster_of(2).with_outlier_detection(detection()));
    assert_eq!(mesh.membership(), [2, 2, 0]);
    lock(&mesh.ports.refuse).insert(1);
    let (_, failed) = mesh.calls(30).await;
    assert_eq!(failed, 5, "then nobody is sent there any more");
    assert_eq!(mesh.count("outlier_detection.ejections_active"), 1);
    assert_eq!(mesh.count("outlier_detection.ejections_enforced_consecutive_5xx"), 1);
    assert_eq!(mesh.membership(), [2, 1, 0]);
    let told = log.take();
    assert!(told.contains("endpoint is taken out cluster=\"c\" endpoint=127.0.0.1:1 reason="), "{told}");
    assert_eq!(mesh.calls(30).await, (vec!["2".to_owned()], 0));

    lock(&mesh.ports.refuse).clear();
    tokio::time::sleep(Duration::from_secs(41)).await;
    assert_eq!(mesh.count("outlier_detection.ejections_active"), 0);
    assert_eq!(mesh.membership(), [2, 2, 0]);
    let told = log.take();
    assert!(told.contains("endpoint is back cluster=\"c\" endpoint=127.0.0.1:1\n"), "{told}");
    assert_eq!(mesh.calls(30).await.0, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_counted_by_what_is_said_of_them() {
    let statuses = [HealthStatus::Healthy, HealthStatus::Degraded, HealthStatus::Unhealthy, HealthStatus::Degraded];
    let mut config = cluster_of(4);
    config.endpoints.iter_mut().zip(statuses).for_each(|(endpoint, status)| endpoint.health_status = status);
    let mesh = Mesh::of(&config);
    assert_eq!(mesh.membership(), [4, 1, 2]);
    mesh.clusters.update([cluster_of(3)]);
    assert_eq!(mesh.membership(), [3, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_counts_and_what_is_given_up_does_not() {
    let mesh = Mesh::of(&cluster_of(2).with_outlier_detection(detection()));
    lock(&mesh.ports.mute).insert(1);
    for overdue in [false, true] {
        for _ in 0..10 {
            let request = request(&mesh.conn, frame(REQUEST, 1, b""));
            let facts = request.facts.clone();
            let mut call = mesh.clusters.get("c").expect("configured").forward(request);
            let given_up = tokio::time::timeout(Duration::from_secs(1), &mut call).await.is_err();
            facts.note(|record| record.overdue = given_up && overdue);
            drop(call);
        }
        settle().await;
        assert_eq!(mesh.count("outlier_detection.ejections_active"), i64::from(overdue));
    }
}

fn checked(kind: HealthCheckKind) -> config::Cluster {
    let check = HealthCheck::new(kind, Duration::from_secs(1), Duration::from_secs(5)).with_thresholds(2, 2);
    cluster_of(2).with_health_check(check)
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_fail_their_checks_get_no_requests() {
    let heartbeat = HealthCheckKind::Heartbeat { protocol: "toy".to_owned() };
    for (kind, mute) in [(HealthCheckKind::CONNECT, false), (heartbeat, true)] {
        let log = Log::begin();
        let mesh = Mesh::of(&checked(kind));
        let ill = if mute { &mesh.ports.mute } else { &mesh.ports.refuse };
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(mesh.calls(20).await, (vec!["1".to_owned(), "2".to_owned()], 0));

        lock(ill).insert(1);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(mesh.count("health_check.failure"), 1, "one is not enough");
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(mesh.calls(20).await, (vec!["2".to_owned()], 0));
        assert_eq!(mesh.membership(), [2, 1, 0]);
        let told = log.take();
        assert!(told.contains("endpoint fails its checks cluster=\"c\" endpoint=127.0.0.1:1 error="), "{told}");

        lock(ill).clear();
        tokio::time::sleep(Duration::from_secs(12)).await;
        let told = log.take();
        assert!(told.contains("endpoint passes its checks cluster=\"c\" endpoint=127.0.0.1:1\n"), "{told}");
        assert_eq!(mesh.calls(20).await.0, ["1", "2"]);
    }
}

#[cfg(feature = "admin")]
#[tokio::test(start_paused = true)]
async fn what_all_workers_do_with_an_endpoint_is_seen() {
    let mesh = Mesh::of(&cluster_of(2).with_outlier_detection(detection()));
    let sibling = mesh.clusters.sibling(context(&mesh.ports));
    sibling.update([cluster_of(2).with_outlier_detection(detection())]);
    let cluster = mesh.clusters.get("c").expect("configured");
    let seen = |port: u16| {
        let mut all = cluster.seen(sibling.get("c").into_iter());
        assert_eq!(all.len(), 2);
        let seen = all.remove(&format!("127.0.0.1:{port}")).expect("an endpoint");
        (seen.connections, seen.requests, seen.flags.concat())
    };
    assert_eq!([seen(1), seen(2)], [(0, 0, String::new()), (0, 0, String::new())]);

    lock(&mesh.ports.mute).extend([1, 2]);
    let call = |clusters: &Clusters| {
        clusters.get("c").expect("configured").forward(request(&mesh.conn, frame(REQUEST, 1, b"")))
    };
    let mut calls = [&mesh.clusters, &mesh.clusters, &sibling, &sibling].map(call).map(Box::pin);
    calls.iter_mut().for_each(|call| assert!(call.as_mut().now_or_never().is_none()));
    settle().await;
    assert_eq!([seen(1), seen(2)], [(2, 2, String::new()), (2, 2, String::new())], "two of each worker");
    drop(calls);

    let host = cluster.shared().usage.health.host(&SocketAddr::from(([127, 0, 0, 1], 1)).into(), false);
    (0..5).for_each(|_| cluster.shared().usage.health.note(&host, Ended::Error, &detection()));
    host.leave();
    assert_eq!([seen(1).2, seen(2).2], ["/failed_outlier_check/said_goodbye", ""]);
    mesh.clusters.update([]);
    sibling.update([]);
    settle().await;
    assert_eq!(host.connections.get(), 0, "all have ended");
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_gets_no_requests_before_it_has_passed() {
    let mesh = Mesh::of(&checked(HealthCheckKind::CONNECT));
    tokio::time::sleep(Duration::from_millis(1)).await;
    lock(&mesh.ports.refuse).insert(3);
    let mut more = checked(HealthCheckKind::CONNECT);
    more.endpoints = cluster_of(3).endpoints;
    mesh.clusters.update([more]);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(mesh.calls(30).await, (vec!["1".to_owned(), "2".to_owned()], 0), "the others are still well");
    lock(&mesh.ports.refuse).clear();
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(mesh.calls(30).await.0, ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn one_worker_asks_and_all_know() {
    let config = checked(HealthCheckKind::CONNECT).with_outlier_detection(detection());
    let mesh = Mesh::of(&config);
    let sibling = mesh.clusters.sibling(context(&mesh.ports));
    sibling.update([config]);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(lock(&mesh.ports.made).len(), 6, "two endpoints, three times");
    lock(&mesh.ports.refuse).insert(2);
    tokio::time::sleep(Duration::from_secs(11)).await;
    for _ in 0..10 {
        assert_eq!(mesh.call_on(&sibling).await.as_deref(), Ok("1"));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_once_the_cluster_is_gone() {
    let mesh = Mesh::of(&checked(HealthCheckKind::CONNECT));
    tokio::time::sleep(Duration::from_millis(1)).await;
    mesh.clusters.update([]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(lock(&mesh.ports.made).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_stay_are_judged_by_the_rules_in_force() {
    let mesh = Mesh::of(&cluster_of(2).with_outlier_detection(detection()));
    let mut strict = detection();
    strict.consecutive_errors.threshold = 2;
    mesh.clusters.update([cluster_of(2).with_outlier_detection(strict)]);
    lock(&mesh.ports.refuse).insert(1);
    assert_eq!(mesh.calls(30).await, (vec!["2".to_owned()], 2), "of which there were five before");

    // rules that are new hold for them as well
    let mesh = Mesh::of(&cluster_of(2));
    mesh.clusters.update([cluster_of(2).with_outlier_detection(detection())]);
    lock(&mesh.ports.refuse).insert(1);
    assert_eq!(mesh.calls(30).await.1, 5);
}

#[tokio::test(start_paused = true)]
async fn what_rules_have_found_that_are_no_more_counts_no_more() {
    let mesh = Mesh::of(&cluster_of(2).with_outlier_detection(detection()));
    lock(&mesh.ports.refuse).insert(1);
    mesh.calls(30).await;
    assert_eq!(mesh.count("outlier_detection.ejections_active"), 1);
    lock(&mesh.ports.refuse).clear();
    mesh.clusters.update([cluster_of(2)]);
    assert_eq!(mesh.calls(10).await.0, ["1", "2"]);
    assert_eq!(mesh.count("outlier_detection.ejections_active"), 0);

    let mesh = Mesh::of(&checked(HealthCheckKind::CONNECT));
    lock(&mesh.ports.refuse).insert(1);
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(mesh.calls(10).await.0, ["2"]);
    lock(&mesh.ports.refuse).clear();
    mesh.clusters.update([cluster_of(2)]);
    assert_eq!(mesh.calls(10).await.0, ["1", "2"]);
}

#[test]
fn thousands_of_endpoints_are_put_into_tables_by_another_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mesh = runtime.block_on(async { Mesh::of(&cluster_of(5000).with_outlier_detection(detection())) });
    let cluster = mesh.clusters.get("c").expect("configured");
    let health = &cluster.shared().usage.health;
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let is_in = |port| {
        let mut placement = Placement::default();
        placement.host = Some(at(port).into());
        cluster.pick(Some(&placement)) == Some(at(port).into())
    };
    let allocated = allocation_counter::measure(|| {
        runtime.block_on(async {
            let host = health.host(&at(1).into(), false);
            (0..5).for_each(|_| health.note(&host, Ended::Error, &detection()));
            let out = async {
                while is_in(1) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), out).await.expect("it is taken out");
        });
    });
    assert!(is_in(2));
    assert!(allocated.bytes_total < 50_000, "{allocated:?}");
}

/// A configuration with other endpoints: the ports 1 to `count`.
fn with_ports(config: &config::Cluster, count: u16) -> config::Cluster {
    let mut config = config.clone();
    config.endpoints = cluster_of(count).endpoints;
    config
}

/// Lets seconds pass, with another endpoint that comes or goes every five.
async fn with_updates(mesh: &Mesh, config: &config::Cluster, seconds: u64) {
    for _ in 0..seconds / 5 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let more = mesh.membership()[0] == 2;
        mesh.clusters.update([with_ports(config, if more { 3 } else { 2 })]);
    }
    tokio::time::sleep(Duration::from_secs(seconds % 5)).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_comes_back_however_often_others_come_and_go() {
    let config = cluster_of(2).with_outlier_detection(detection());
    let mesh = Mesh::of(&config);
    lock(&mesh.ports.refuse).insert(1);
    assert_eq!(mesh.calls(30).await.1, 5);
    with_updates(&mesh, &config, 29).await;
    assert_eq!(mesh.count("outlier_detection.ejections_active"), 1);
    with_updates(&mesh, &config, 12).await;
    assert_eq!(mesh.count("outlier_detection.ejections_active"), 0, "after 30 seconds, looked at every ten");
}

#[tokio::test(start_paused = true)]
async fn rates_are_compared_however_often_endpoints_come_and_go() {
    let mut detection = detection();
    detection.consecutive_errors.enforcing = 0;
    (detection.failure_percentage.enforcing, detection.failure_percentage.minimum_hosts) = (100, 1);
    detection.failure_percentage.request_volume = 5;
    let config = cluster_of(2).with_outlier_detection(detection);
    let mesh = Mesh::of(&config);
    lock(&mesh.ports.refuse).insert(1);
    assert!(mesh.calls(30).await.1 > 5);
    with_updates(&mesh, &config, 11).await;
    assert_eq!(mesh.count("outlier_detection.ejections_enforced_failure_percentage"), 1);
}

#[tokio::test(start_paused = true)]
async fn checks_of_endpoints_that_stay_go_on_when_others_come_and_go() {
    let mut config = checked(HealthCheckKind::CONNECT);
    config.health_check.as_mut().expect("is checked").unhealthy_threshold = 3;
    let mesh = Mesh::of(&config);
    let asked = || mem::take(&mut *lock(&mesh.ports.made));
    let moment = || tokio::time::sleep(Duration::from_millis(1));
    moment().await;
    assert_eq!(asked(), [1, 2]);

    let log = Log::begin();
    lock(&mesh.ports.refuse).insert(1);
    mesh.clusters.update([with_ports(&config, 3)]);
    moment().await;
    assert_eq!((asked(), mesh.count("health_check.failure")), (vec![3], 0), "nobody is asked too early");
    assert!(!log.take().contains(":1"));
    for failures in 1..=3 {
        assert_eq!(mesh.membership(), [3, 3, 0], "three in a row are too many");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!((asked(), mesh.count("health_check.failure")), (vec![2, 3], failures));
        mesh.clusters.update([with_ports(&config, 3).with_lb_policy(config::LbPolicy::Random)]);
        mesh.clusters.update([with_ports(&config, 3)]);
    }
    moment().await;
    assert_eq!(mesh.membership(), [3, 2, 0]);
    let told = log.take();
    assert_eq!(told.matches("endpoint fails its checks").count(), 1, "{told}");
    assert!(!told.contains("passes"), "{told}");

    mesh.clusters.update([with_ports(&config, 2)]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(asked(), [2], "who is gone is not asked");
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_stay_are_looked_after_by_the_rules_in_force() {
    let log = Log::begin();
    let mut config = checked(HealthCheckKind::CONNECT).with_outlier_detection(detection());
    let mesh = Mesh::of(&config);
    let asked = || mem::take(&mut *lock(&mesh.ports.made)).len();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(asked(), 2);
    config.health_check.as_mut().expect("is checked").interval = Duration::from_secs(1);
    mesh.clusters.update([config.clone()]);
    tokio::time::sleep(Duration::from_millis(4500)).await;
    assert_eq!(asked(), 10, "and not by both");

    config.health_check = None;
    let detection = config.outlier_detection.as_mut().expect("outliers are detected");
    (detection.interval, detection.base_ejection_time) = (Duration::from_secs(1), Duration::from_secs(1));
    mesh.clusters.update([config]);
    lock(&mesh.ports.refuse).insert(1);
    assert_eq!(mesh.calls(30).await.1, 5);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((asked(), mesh.count("outlier_detection.ejections_active")), (1, 0), "only a request has connected");
    assert!(log.take().contains("endpoint is back"));
}

#[tokio::test(start_paused = true)]
async fn one_worker_goes_on_asking_when_all_have_other_endpoints() {
    let config = checked(HealthCheckKind::CONNECT);
    let mesh = Mesh::of(&config);
    let sibling = mesh.clusters.sibling(context(&mesh.ports));
    for count in [2, 3, 2] {
        // of two with one name the last counts
        for clusters in [&mesh.clusters, &sibling] {
            clusters.update([with_ports(&config, 1), with_ports(&config, count)]);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(mem::take(&mut *lock(&mesh.ports.made)), [1, 2, 3]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(lock(&mesh.ports.made).len(), 2, "by one worker, who is still there");
}
