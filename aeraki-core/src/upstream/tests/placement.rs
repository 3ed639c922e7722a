//! Which endpoint of a cluster a request goes to.

use aeraki_route::{Criteria, Placement};
use config::{
    CommonLb, Decimal, Endpoint, HealthStatus, LbPolicy, Locality, Maglev, PeakEwma, RingHash, SlowStart,
    SocketAddress, SubsetFallback, SubsetSelector, Subsets,
};

use super::*;

/// A cluster "c" of these endpoints, to which no connection is ever made.
fn bench(config: config::Cluster, endpoints: impl IntoIterator<Item = Endpoint>) -> Bench {
    let bench = Bench::with(Serving::Concurrent, endpoints.into_iter().fold(config, config::Cluster::with_endpoint));
    bench.set_mode(Mode::Hang);
    bench
}

fn hashing(policy: LbPolicy) -> Bench {
    bench(config::Cluster::new("c").with_lb_policy(policy), (1..=20).map(local))
}

fn local(port: u16) -> Endpoint {
    Endpoint::new(address(port))
}

fn address(port: u16) -> SocketAddress {
    SocketAddr::from(([127, 0, 0, 1], port)).into()
}

/// Sends a request and gives it up; returns the port of its endpoint.
fn place(bench: &Bench, change: impl FnOnce(&mut Request)) -> Option<u16> {
    let mut request = bench.request(frame(REQUEST, 1, b"x"));
    change(&mut request);
    let facts = request.facts.clone();
    drop(bench.clusters.get("c").expect("configured").forward(request));
    facts.note(|record| record.endpoint.clone()).map(|endpoint| endpoint.as_ip().expect("an IP address").port())
}

#[tokio::test(start_paused = true)]
async fn requests_of_one_hash_go_to_one_endpoint_and_without_one_to_any() {
    for policy in [LbPolicy::RingHash(RingHash::default()), LbPolicy::Maglev(Maglev::default())] {
        let bench = hashing(policy);
        let by = |hash| {
            place(&bench, |request| request.placement.get_or_insert_default().hash = hash).expect("there are some")
        };
        let ports: Vec<u16> = (0..200_u64).map(|key| by(Some(key << 55))).collect();
        assert_eq!(ports, (0..200_u64).map(|key| by(Some(key << 55))).collect::<Vec<_>>());
        let cluster = bench.clusters.get("c").expect("configured");
        let mut placement = Placement::default();
        let told = (0..200_u64).map(|key| {
            placement.hash = Some(key << 55);
            cluster.pick(Some(&placement)).expect("there are some").as_ip().expect("an IP address").port()
        });
        assert!(told.eq(ports.iter().copied()), "what is told without a request is where requests go");
        let spread = |ports: Vec<u16>| ports.into_iter().collect::<std::collections::HashSet<_>>().len();
        assert!(spread(ports) > 10);
        assert!(spread((0..200).map(|_| by(None)).collect()) > 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_a_hashed_request_goes_elsewhere_and_always_to_the_same() {
    for policy in [LbPolicy::RingHash(RingHash::default()), LbPolicy::Maglev(Maglev::default())] {
        let bench = hashing(policy);
        let by = |avoid: &[u16]| {
            place(&bench, |request| {
                request.placement.get_or_insert_default().hash = Some(7);
                request.avoid = Some(Arc::new(avoid.iter().map(|port| address(*port)).collect()));
            })
            .expect("there are some")
        };
        let first = by(&[]);
        let second = by(&[first]);
        assert_ne!(second, first);
        assert_eq!(by(&[first]), second);
        let all_but = |kept: u16| (1..=20).filter(|port| *port != kept).collect::<Vec<_>>();
        assert_eq!(by(&all_but(13)), 13, "whatever the policy says");
        assert!((1..=20).contains(&by(&all_but(0))), "better one to be avoided than none");
    }
}

#[tokio::test(start_paused = true)]
async fn the_endpoint_that_is_wanted_takes_the_request_where_it_exists() {
    let bench = hashing(LbPolicy::RingHash(RingHash::default()));
    let wanted = |port, avoid: &[u16]| {
        place(&bench, |request| {
            request.placement.get_or_insert_default().hash = Some(7);
            request.placement.get_or_insert_default().host = Some(address(port));
            request.avoid = Some(Arc::new(avoid.iter().map(|port| address(*port)).collect()));
        })
    };
    let chosen = wanted(99, &[]);
    assert!(chosen.is_some());
    for port in 1..=20 {
        assert_eq!(wanted(port, &[]), Some(port));
    }
    let other = if chosen == Some(5) { 6 } else { 5 };
    assert_eq!(wanted(other, &[other]), chosen, "it has failed before");
}

#[tokio::test(start_paused = true)]
async fn health_counts_even_against_a_client_that_wants_an_endpoint() {
    let sick = |port| local(port).with_health_status(HealthStatus::Draining);
    let never = CommonLb::default().with_healthy_panic_threshold(Decimal::ZERO);
    let config = || config::Cluster::new("c").with_common_lb(never);
    let bench = bench(config(), [local(1), sick(2)]);
    let wanted = |port| place(&bench, |request| request.placement.get_or_insert_default().host = Some(address(port)));
    assert_eq!([1, 2].map(wanted), [Some(1), Some(1)]);
    bench.clusters.update([config().with_endpoint(sick(1))]);
    assert_eq!(wanted(1), None);
    let (reason, text) = failure(bench.call(REQUEST, 1, "x")).await;
    assert_eq!((reason, text.as_str()), (Reason::NoHealthyUpstream, "cluster \"c\" has no healthy endpoint"));
    assert_eq!(bench.count("upstream_cx_none_healthy"), 1);
    bench.clusters.update([config::Cluster::new("c").with_endpoint(sick(1))]);
    assert_eq!(wanted(9), Some(1), "in panic");
    assert_eq!(bench.count("lb_healthy_panic"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_becomes_healthy_is_as_new() {
    fastrand::seed(1);
    let config = || config::Cluster::new("c").with_slow_start(SlowStart::new(Duration::from_secs(60)));
    let recovering = |status| [local(1), local(2), local(3).with_health_status(status)];
    let with = |status| recovering(status).into_iter().fold(config(), config::Cluster::with_endpoint);
    let bench = bench(config(), recovering(HealthStatus::Unhealthy));
    let shares = || {
        let mut shares = [0; 3];
        (0..1000).filter_map(|_| place(&bench, |_| {})).for_each(|port| shares[usize::from(port) - 1] += 1);
        shares
    };
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(shares(), [500, 500, 0]);
    bench.clusters.update([with(HealthStatus::Healthy)]);
    let cold = shares();
    assert!((20..80).contains(&cold[2]), "a tenth of its share: {cold:?}");
    // being degraded is no illness
    bench.clusters.update([with(HealthStatus::Degraded)]);
    tokio::time::advance(Duration::from_secs(61)).await;
    bench.clusters.update([with(HealthStatus::Healthy)]);
    let warm = shares();
    assert!(warm.iter().all(|share| (330..340).contains(share)), "{warm:?}");
}

#[tokio::test(start_paused = true)]
async fn requests_go_to_the_subset_that_they_ask_for() {
    let of =
        |port, stage: &str, version: &str| local(port).with_metadata("stage", stage).with_metadata("version", version);
    let endpoints =
        || [of(1, "prod", "1"), of(2, "prod", "2"), of(3, "test", "2"), local(4).with_metadata("stage", "new")];
    let subsets = || {
        let both = SubsetSelector::new(["version", "stage"]).with_fallback(SubsetFallback::AnyEndpoint);
        Subsets::new([both, SubsetSelector::new(["stage"])])
    };
    let ports = |bench: &Bench, criteria: &[(&str, &str)]| {
        let criteria = criteria.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let criteria = Criteria::new(&criteria).map(Arc::new);
        let picks = (0..8).filter_map(|_| {
            place(bench, |request| request.placement.get_or_insert_default().criteria = criteria.clone())
        });
        picks.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let strict = bench(config::Cluster::new("c").with_subsets(subsets()), endpoints());
    assert_eq!(ports(&strict, &[("stage", "prod")]), [1, 2]);
    assert_eq!(ports(&strict, &[("stage", "prod"), ("version", "2")]), [2]);
    assert_eq!(ports(&strict, &[("stage", "prod"), ("version", "3")]), [1, 2, 3, 4], "the selector says any");
    assert_eq!(ports(&strict, &[("stage", "none")]), [0; 0]);
    assert_eq!(ports(&strict, &[("version", "2")]), [0; 0], "no selector has these keys");
    assert_eq!(ports(&strict, &[]), [0; 0]);
    assert_eq!((strict.count("lb_subsets_selected"), strict.count("lb_subsets_fallback")), (16, 8));

    let lenient = bench(config::Cluster::new("c").with_subsets(subsets().with_default("stage", "test")), endpoints());
    assert_eq!(ports(&lenient, &[("stage", "none")]), [3]);
    assert_eq!(ports(&lenient, &[]), [3]);
    let asks = |request: &mut Request, host| {
        request.placement.get_or_insert_default().criteria =
            Criteria::new(&[("stage".to_owned(), "prod".to_owned())].into()).map(Arc::new);
        request.placement.get_or_insert_default().host = Some(address(host));
    };
    assert_eq!(place(&lenient, |request| asks(request, 2)), Some(2));
    assert_ne!(place(&lenient, |request| asks(request, 3)), Some(3), "not among those that the route asks for");
    let avoiding = place(&lenient, |request| {
        asks(request, 1);
        request.avoid = Some(Arc::new(vec![address(1), address(2)]));
    });
    assert!(matches!(avoiding, Some(1 | 2)), "a retry does not leave the subset either: {avoiding:?}");
}

#[tokio::test(start_paused = true)]
async fn answers_and_failures_are_what_latencies_are_made_of() {
    let policy = PeakEwma::default().with_decay(Duration::from_secs(3600));
    let config = cluster().with_lb_policy(LbPolicy::PeakEwma(policy));
    let mut bench = Bench::with(Serving::Concurrent, config.with_endpoint(address(2)));
    let first = bench.call(REQUEST, 1, "x");
    let mut slow = bench.server().await;
    let other = bench.call(REQUEST, 2, "x");
    let mut fast = bench.server().await;
    fast.echo().await;
    answer(other).await;
    tokio::time::advance(Duration::from_millis(100)).await;
    slow.echo().await;
    answer(first).await;
    for n in 3..20 {
        let call = bench.call(REQUEST, n, "x");
        fast.echo().await;
        answer(call).await;
    }
    assert!(slow.is_silent().await);

    drop(fast);
    settle().await;
    bench.set_mode(Mode::Refuse);
    assert_eq!(failure(bench.call(REQUEST, 20, "x")).await.0, Reason::ConnectFailure);
    let call = bench.call(REQUEST, 21, "x");
    slow.echo().await;
    answer(call).await;
}

/// Has all servers say goodbye with every answer.
fn leaving(bench: &mut Bench) {
    let mut servers = mem::replace(&mut bench.servers, mpsc::unbounded_channel().1);
    tokio::spawn(async move {
        while let Some(server) = servers.recv().await {
            let mut server = Server(server);
            tokio::spawn(async move {
                let (_, id, _) = server.read().await;
                server.write(LAST, id, "y").await;
            });
        }
    });
}

/// Has the server at this port say goodbye.
async fn leave(bench: &Bench, port: u16) {
    let mut request = bench.request(frame(REQUEST, 1, b"x"));
    request.placement.get_or_insert_default().host = Some(address(port));
    answer(bench.send(request)).await;
}

#[tokio::test(start_paused = true)]
async fn who_says_goodbye_gets_nothing_for_a_while_if_there_are_others() {
    for policy in [LbPolicy::RoundRobin, LbPolicy::RingHash(RingHash::default())] {
        let config = config::Cluster::new("c").with_lb_policy(policy).with_endpoint(address(1));
        let mut bench = Bench::with(Serving::Concurrent, config.with_endpoint(address(2)));
        let ports = |bench: &Bench, avoid: &[u16]| -> Vec<u16> {
            let avoid = Arc::new(avoid.iter().map(|port| address(*port)).collect::<Vec<_>>());
            let mut ports: Vec<u16> = (0..50)
                .map(|_| place(bench, |request| request.avoid = Some(Arc::clone(&avoid))).expect("there are some"))
                .collect();
            ports.sort_unstable();
            ports.dedup();
            ports
        };
        leaving(&mut bench);
        leave(&bench, 1).await;
        assert_eq!(ports(&bench, &[]), [2]);
        assert_eq!(ports(&bench, &[2]), [1], "better than to fail where another try has");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(ports(&bench, &[]), [1, 2], "another server may be there now");
        leave(&bench, 1).await;
        leave(&bench, 2).await;
        assert_eq!(ports(&bench, &[]), [1, 2], "there are no others");
        assert_eq!(ports(&bench, &[1]), [2]);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_stay_in_the_zone_as_the_proxies_of_their_kind_do() {
    let zone = |zone: &str| Locality::new("r", zone, "");
    let near = |port, place| local(port).with_locality(zone(place));
    let cluster = |name: &str, endpoints: Vec<Endpoint>| {
        endpoints.into_iter().fold(config::Cluster::new(name), config::Cluster::with_endpoint)
    };
    let servers = cluster("c", (1..=6).map(|port| near(port, if port <= 3 { "a" } else { "b" })).collect());
    let mut bench = bench(servers.clone(), []);
    let context = Context::new()
        .with_connector(Arc::clone(&bench.pipes) as Arc<dyn Connector>)
        .with_local_cluster(Some(LocalCluster::new("proxies", zone("a"))));
    bench.clusters = Clusters::new(context);
    let counts = |bench: &Bench| {
        let ways = ["all_directly", "sampled", "cross_zone"];
        ways.map(|way| bench.count(&format!("lb_zone_routing_{way}")))
    };
    bench.clusters.update([servers.clone(), cluster("proxies", vec![near(11, "a"), near(12, "b")])]);
    settle().await;
    assert!((0..100).all(|_| place(&bench, |_| {}).is_some_and(|port| port <= 3)));
    assert_eq!(counts(&bench), [100, 0, 0]);
    // three of four proxies are here, and half of the endpoints: two thirds of the requests stay
    let crowded = vec![near(11, "a"), near(12, "b"), near(13, "a"), near(14, "a")];
    bench.clusters.update([servers, cluster("proxies", crowded)]);
    settle().await;
    let stayed = (0..300).filter(|_| place(&bench, |_| {}).is_some_and(|port| port <= 3)).count();
    let [direct, sampled, cross] = counts(&bench);
    assert_eq!((direct, sampled + cross, sampled), (100, 300, stayed.try_into().expect("small")));
    assert!((150..250).contains(&stayed), "{stayed}");
}
