//! Clusters and endpoints that come and go.

use std::net::{IpAddr, Ipv4Addr};

use aeraki_route::config::{Address, Discovery, Dns, Endpoint, LbPolicy};

use super::*;

fn at(port: u16) -> Endpoint {
    Endpoint::new(SocketAddr::from(([127, 0, 0, 1], port)))
}

async fn warm(bench: &mut Bench) -> Server {
    let call = bench.call(REQUEST, 1, "warm");
    let mut server = bench.server().await;
    server.echo().await;
    answer(call).await;
    server
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_cluster_keeps_its_connections() {
    let mut bench = Bench::new(Serving::Serial);
    let mut server = warm(&mut bench).await;
    let before = bench.clusters.get("c").expect("configured");
    bench.clusters.update([cluster(), config::Cluster::new("other")]);
    assert!(Arc::ptr_eq(&before, &bench.clusters.get("c").expect("configured")));
    let call = bench.call(REQUEST, 2, "again");
    server.echo().await;
    answer(call).await;
    assert_eq!(bench.clusters.list().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_stay_keep_their_connections_and_others_finish() {
    let mut bench = Bench::with(Serving::Serial, cluster());
    let mut staying = warm(&mut bench).await;
    bench.clusters.update([cluster().with_endpoint(at(2)).with_lb_policy(LbPolicy::RoundRobin)]);
    let calls: Vec<Call> = (0..2).map(|n| bench.call(REQUEST, n, "x")).collect();
    let mut leaving = bench.server().await;
    staying.echo().await;
    let (_, id, _) = leaving.read().await;

    bench.clusters.update([cluster()]);
    assert!(leaving.is_silent().await, "its request is not answered yet");
    leaving.write(RESPONSE, id, "x").await;
    for call in calls {
        assert_eq!(answer(call).await.1, "x");
    }
    assert!(leaving.is_closed().await);
    assert!(staying.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_stay_do_not_keep_the_configuration_that_they_came_with() {
    let bench = Bench::with(Serving::Serial, cluster());
    let config = || Arc::downgrade(bench.clusters.get("c").expect("configured").config());
    let first = config();
    bench.clusters.update([cluster().with_endpoint(at(2))]);
    let second = config();
    bench.clusters.update([cluster().with_endpoint(at(3)).with_lb_policy(LbPolicy::Random)]);
    settle().await;
    assert!(first.upgrade().is_none());
    assert!(second.upgrade().is_none());
    assert_eq!(endpoints(&bench), ["127.0.0.1:1", "127.0.0.1:3"]);
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_each_there_once_wherever_they_are_listed() {
    let bench = Bench::with(Serving::Serial, cluster());
    let listed =
        |ports: &[u16]| ports.iter().fold(config::Cluster::new("c"), |cluster, port| cluster.with_endpoint(at(*port)));
    let kept = || bench.clusters.get("c").expect("configured").shared().clone();
    let before = kept();
    for ports in [&[1, 2, 3, 4][..], &[4, 3, 2, 1], &[2, 4], &[5, 2, 5, 4, 2], &[1], &[]] {
        bench.clusters.update([listed(ports)]);
        let mut once = ports.to_vec();
        once.sort_unstable();
        once.dedup();
        let mut found = endpoints(&bench);
        found.sort_unstable();
        assert_eq!(found, once.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>(), "{ports:?}");
    }
    assert!(Arc::ptr_eq(&before, &kept()), "nothing else has changed");
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_an_endpoint_that_stays_may_change() {
    let bench = Bench::with(Serving::Serial, cluster());
    for weight in [3, 3, 1] {
        bench
            .clusters
            .update([config::Cluster::new("c").with_endpoint(at(1).with_weight(weight)).with_endpoint(at(2))]);
        let cluster = bench.clusters.get("c").expect("configured");
        let picks =
            (0..400).filter(|_| cluster.pick(None).is_some_and(|address| address.to_string() == "127.0.0.1:1")).count();
        assert!(picks.abs_diff(400 * weight as usize / (weight as usize + 1)) < 3, "{picks} of 400 by {weight}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_about_connections_makes_new_ones() {
    let mut bench = Bench::new(Serving::Serial);
    let mut old = warm(&mut bench).await;
    bench.clusters.update([cluster().with_depth(3)]);
    assert!(old.is_closed().await);
    warm(&mut bench).await;
    assert_eq!(bench.count("upstream_cx_total"), 2, "counted on under the same name");
}

#[tokio::test(start_paused = true)]
async fn what_a_cluster_uses_is_forgotten_with_it() {
    let bench = Bench::new(Serving::Serial);
    let sibling = bench.clusters.sibling(bench.clusters.context.clone());
    let names = || {
        let mut names: Vec<_> = lock(&bench.clusters.usage).keys().map(ToString::to_string).collect();
        names.sort();
        names
    };
    let other = config::Cluster::new("d").with_endpoint(at(2));
    for clusters in [&bench.clusters, &sibling] {
        clusters.update([cluster(), other.clone()]);
    }
    bench.clusters.update([cluster()]);
    assert_eq!(names(), ["c", "d"], "another worker has it");
    sibling.update([cluster()]);
    assert_eq!(names(), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_removed_cluster_finishes_what_it_has() {
    let mut bench = Bench::new(Serving::Serial);
    let call = bench.call(REQUEST, 1, "x");
    let mut server = bench.server().await;
    let (_, id, _) = server.read().await;
    let generation = bench.clusters.generation();
    bench.clusters.update([]);
    assert!(bench.clusters.get("c").is_none());
    assert_ne!(bench.clusters.generation(), generation, "who has it at hand looks again");
    server.write(RESPONSE, id, "y").await;
    assert_eq!(answer(call).await.1, "y");
    assert!(server.is_closed().await);
}

/// Answers with what the test says.
#[derive(Debug, Default)]
struct Names(Mutex<Option<Vec<u8>>>, std::sync::atomic::AtomicU32);

impl Resolver for Names {
    fn resolve(&self, host: Arc<str>) -> BoxFuture<io::Result<Resolved>> {
        assert_eq!(&*host, "some.host");
        self.1.fetch_add(1, Relaxed);
        let answer = lock(&self.0).clone().ok_or_else(|| io::Error::other("no such host"));
        let ip = |last: u8| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        let answer =
            answer.map(|last| Resolved { ttl: Some(60 * SECOND), ..Resolved::new(last.into_iter().map(ip).collect()) });
        Box::pin(async move {
            tokio::time::sleep(SECOND / 10).await;
            answer
        })
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn named(discovery: Discovery) -> config::Cluster {
    config::Cluster::new("c").with_endpoint(Address::new("some.host", 9)).with_discovery(discovery)
}

fn resolving(discovery: Discovery) -> (Bench, Arc<Names>) {
    let names = Arc::new(Names::default());
    let mut bench = Bench::new(Serving::Serial);
    let context = Context::new()
        .with_connector(Arc::clone(&bench.pipes) as Arc<dyn Connector>)
        .with_resolver(Arc::clone(&names) as Arc<dyn Resolver>);
    bench.clusters = Clusters::new(context);
    *lock(&names.0) = Some(vec![1, 2]);
    bench.clusters.update([named(discovery)]);
    (bench, names)
}

pub(super) fn endpoints(bench: &Bench) -> Vec<String> {
    bench.clusters.get("c").expect("configured").endpoints().iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_requests_wait_for_the_first_answer_and_the_last_good_one_stays() {
    let (mut bench, names) = resolving(Discovery::StrictDns(Dns::every(5 * SECOND)));
    let call = bench.call(REQUEST, 1, "early");
    bench.server().await.echo().await;
    assert_eq!(answer(call).await.1, "early");
    assert_eq!(endpoints(&bench), ["127.0.0.1:9", "127.0.0.2:9"]);

    *lock(&names.0) = Some(vec![2, 3]);
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(endpoints(&bench), ["127.0.0.2:9", "127.0.0.3:9"]);
    for bad in [None, Some(vec![])] {
        *lock(&names.0) = bad;
        tokio::time::sleep(6 * SECOND).await;
        assert_eq!(endpoints(&bench), ["127.0.0.2:9", "127.0.0.3:9"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_never_resolves_has_no_healthy_upstream() {
    let (bench, names) = resolving(Discovery::StrictDns(Dns::every(5 * SECOND)));
    *lock(&names.0) = None;
    bench.clusters.update([]);
    bench.clusters.update([named(Discovery::StrictDns(Dns::every(5 * SECOND)))]);
    assert_eq!(failure(bench.call(REQUEST, 1, "x")).await.0, Reason::NoHealthyUpstream);
}

#[tokio::test(start_paused = true)]
async fn a_logical_name_is_one_endpoint() {
    let (bench, _) = resolving(Discovery::LogicalDns(Dns::default()));
    tokio::time::sleep(SECOND).await;
    assert_eq!(endpoints(&bench), ["127.0.0.1:9"]);
}

#[tokio::test(start_paused = true)]
async fn the_time_to_live_counts_where_it_shall() {
    let asked = |names: &Names| names.1.load(Relaxed);
    for (respect, expected) in [(false, 7..=7), (true, 1..=1)] {
        let (_bench, names) = resolving(Discovery::StrictDns(Dns::every(5 * SECOND).with_respect_ttl(respect)));
        tokio::time::sleep(33 * SECOND).await;
        assert!(expected.contains(&asked(&names)), "{}", asked(&names));
    }
}

#[tokio::test]
async fn the_system_knows_its_own_host() {
    let found = SystemResolver.resolve("localhost".into()).await.expect("every system has it");
    assert!(found.addresses.iter().all(IpAddr::is_loopback), "{found:?}");
}
