//! Clusters of several names, of which some are answered early, late or never.

use std::net::{IpAddr, Ipv4Addr};

use aeraki_route::config::{Address, Discovery, Dns};

use super::{updates::endpoints, *};
use crate::logged::Log;

/// Answers each host as the test says, and notes when it was asked.
#[derive(Debug)]
struct Script {
    says: Mutex<HashMap<&'static str, Says>>,
    start: Instant,
    /// Hosts, and seconds since the start.
    asked: Mutex<Vec<(String, u64)>>,
}

#[derive(Clone, Copy, Debug)]
enum Says {
    /// These addresses, which are known by their last byte, and the seconds that they live.
    Found(&'static [u8], Option<u64>),
    /// These addresses, after so many seconds.
    Late(&'static [u8], u64),
    Fails,
    Nothing,
}

impl Resolver for Script {
    fn resolve(&self, host: Arc<str>) -> BoxFuture<io::Result<Resolved>> {
        let says = *lock(&self.says).get(&*host).unwrap_or_else(|| panic!("nobody has {host}"));
        lock(&self.asked).push((host.to_string(), self.start.elapsed().as_secs()));
        let found = |bytes: &[u8]| {
            Resolved::new(bytes.iter().map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, *last))).collect())
        };
        Box::pin(async move {
            match says {
                Says::Found(bytes, ttl) => Ok(Resolved { ttl: ttl.map(Duration::from_secs), ..found(bytes) }),
                Says::Late(bytes, wait) => {
                    tokio::time::sleep(Duration::from_secs(wait)).await;
                    Ok(found(bytes))
                }
                Says::Fails => Err(io::Error::other("no such host")),
                Says::Nothing => std::future::pending().await,
            }
        })
    }

    fn tells_ttl(&self) -> bool {
        false
    }
}

impl Script {
    fn say(&self, host: &'static str, says: Says) {
        lock(&self.says).insert(host, says);
    }

    /// Returns the seconds at which a host was asked for.
    fn asked(&self, host: &str) -> Vec<u64> {
        lock(&self.asked).iter().filter(|(asked, _)| asked == host).map(|(_, when)| *when).collect()
    }
}

/// A cluster of these hosts, each at port 9.
fn of(dns: Dns, hosts: &[&str]) -> config::Cluster {
    let hosts = hosts.iter().map(|host| Address::new(*host, 9));
    let cluster = config::Cluster::new("c").with_discovery(Discovery::StrictDns(dns));
    hosts.fold(cluster, |cluster, address| cluster.with_endpoint(address))
}

fn every_5_s() -> Dns {
    Dns::every(Duration::from_secs(5))
}

fn resolving(config: config::Cluster, says: &[(&'static str, Says)]) -> (Bench, Arc<Script>) {
    let says = Mutex::new(says.iter().copied().collect());
    let script = Arc::new(Script { says, start: Instant::now(), asked: Mutex::default() });
    let mut bench = Bench::new(Serving::Serial);
    let context = Context::new()
        .with_connector(Arc::clone(&bench.pipes) as Arc<dyn Connector>)
        .with_resolver(Arc::clone(&script) as Arc<dyn Resolver>);
    bench.clusters = Clusters::new(context);
    bench.clusters.update([config]);
    (bench, script)
}

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_name_whose_server_is_silent_holds_nobody_up() {
    let config = of(every_5_s(), &["silent", "there", "127.0.0.9"]);
    let (mut bench, script) = resolving(config, &[("silent", Says::Nothing), ("there", Says::Found(&[1, 2], None))]);
    assert_eq!(endpoints(&bench), ["127.0.0.9:9"], "what is known serves at once");
    settle().await;
    assert_eq!(endpoints(&bench), ["127.0.0.1:9", "127.0.0.2:9", "127.0.0.9:9"]);
    let call = bench.call(REQUEST, 1, "early");
    bench.server().await.echo().await;
    assert_eq!(answer(call).await.1, "early");
    assert_eq!(script.start.elapsed(), Duration::ZERO);

    script.say("there", Says::Found(&[3], None));
    seconds(5).await;
    assert_eq!(endpoints(&bench), ["127.0.0.3:9", "127.0.0.9:9"]);
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_the_first_name_that_is_found() {
    let config = of(every_5_s(), &["gone", "late", "silent"]);
    let says = [("gone", Says::Fails), ("late", Says::Late(&[1], 2)), ("silent", Says::Nothing)];
    let (mut bench, script) = resolving(config, &says);
    let call = bench.call(REQUEST, 1, "x");
    bench.server().await.echo().await;
    assert_eq!(answer(call).await.1, "x");
    assert_eq!(script.start.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn every_name_is_looked_up_again_in_its_own_time() {
    let hosts = ["short", "long", "none", "gone"];
    let says = [
        ("short", Says::Found(&[1], Some(20))),
        ("long", Says::Found(&[2], Some(60))),
        ("none", Says::Found(&[3], None)),
        ("gone", Says::Fails),
    ];
    for (respect, expected) in [(true, [4, 2, 13, 13]), (false, [13; 4])] {
        let (_bench, script) = resolving(of(every_5_s().with_respect_ttl(respect), &hosts), &says);
        seconds(61).await;
        assert_eq!(hosts.map(|host| script.asked(host).len()), expected);
        assert_eq!(script.asked("short")[1], if respect { 20 } else { 5 });
    }
    // nothing that a name server says has it asked all the time
    let (_bench, script) =
        resolving(of(every_5_s().with_respect_ttl(true), &["a"]), &[("a", Says::Found(&[1], Some(0)))]);
    seconds(3).await;
    assert_eq!(script.asked("a"), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_is_given_up_after_its_time_and_begun_again() {
    let (bench, script) = resolving(of(every_5_s(), &["a"]), &[("a", Says::Nothing)]);
    seconds(29).await;
    script.say("a", Says::Found(&[1], None));
    assert_eq!(script.asked("a"), [0, 15]);
    assert!(endpoints(&bench).is_empty());
    seconds(1).await;
    assert_eq!(endpoints(&bench), ["127.0.0.1:9"]);
}

#[tokio::test(start_paused = true)]
async fn an_update_keeps_what_was_found_until_there_is_another_answer() {
    let (bench, script) = resolving(of(every_5_s(), &["a"]), &[("a", Says::Found(&[1, 2], None))]);
    settle().await;
    script.say("a", Says::Nothing);
    script.say("b", Says::Found(&[3], None));
    let found = |bench: &Bench| endpoints(bench).iter().map(|at| at["127.0.0.".len()..].to_owned()).collect::<Vec<_>>();

    bench.clusters.update([of(every_5_s(), &["127.0.0.9", "a", "b"])]);
    assert_eq!(found(&bench), ["9:9", "1:9", "2:9"], "and what was known at once is in force at once");
    settle().await;
    assert_eq!(found(&bench), ["9:9", "1:9", "2:9", "3:9"]);

    bench.clusters.update([of(every_5_s(), &["a", "b"]).with_depth(3)]);
    assert_eq!(found(&bench), ["1:9", "2:9", "3:9"], "with other connections, too");
    script.say("c", Says::Nothing);
    bench.clusters.update([of(every_5_s(), &["c"]).with_depth(3)]);
    seconds(9).await;
    assert_eq!(found(&bench), ["1:9", "2:9", "3:9"], "better than none");
    seconds(1).await;
    assert!(found(&bench).is_empty(), "the name is given up");
}

#[tokio::test(start_paused = true)]
async fn answers_of_one_worker_are_good_for_the_next() {
    let (bench, script) = resolving(of(every_5_s(), &["a"]), &[("a", Says::Found(&[1], None))]);
    settle().await;
    script.say("a", Says::Nothing);
    let sibling = bench.clusters.sibling(bench.clusters.context.clone());
    sibling.update([of(every_5_s(), &["a"])]);
    assert_eq!(sibling.get("c").expect("configured").endpoints().len(), 1);

    for clusters in [&bench.clusters, &sibling] {
        clusters.update([of(every_5_s(), &["127.0.0.9"])]);
        clusters.update([of(every_5_s(), &["a"])]);
    }
    settle().await;
    assert_eq!(
        endpoints(&bench),
        ["127.0.0.9:9"],
        "nobody had the name any more: what is before it is better than none"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_turned_round_changes_nothing() {
    let (bench, script) = resolving(of(every_5_s(), &["a"]), &[("a", Says::Found(&[1, 2], None))]);
    settle().await;
    let members = || bench.clusters.get("c").expect("configured").directory().members();
    let before = members();
    for same in [&[2, 1][..], &[2, 1, 2]] {
        script.say("a", Says::Found(same, None));
        seconds(5).await;
        assert!(Arc::ptr_eq(&before, &members()));
    }
    script.say("a", Says::Found(&[2], None));
    seconds(5).await;
    assert_eq!(endpoints(&bench), ["127.0.0.2:9"]);
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_once_which_cluster_has_a_name_that_cannot_be_found() {
    let log = Log::begin();
    let (_bench, script) = resolving(of(every_5_s(), &["a"]), &[("a", Says::Fails)]);
    seconds(11).await;
    let said = log.take();
    assert_eq!(said.lines().count(), 1, "{said}");
    let expected = "cannot resolve; the last answer stays in force cluster=\"c\" endpoint=a:9 error=no such host";
    assert!(said.contains("WARN") && said.contains(expected), "{said}");
    script.say("a", Says::Found(&[1], None));
    seconds(5).await;
    let said = log.take();
    assert!(said.contains("can be resolved again cluster=\"c\" endpoint=a:9"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_time_to_live_that_nobody_tells_is_warned_about() {
    let log = Log::begin();
    let asks = of(every_5_s().with_respect_ttl(true), &["a"]);
    warn_of_ttl(&[asks.clone(), of(every_5_s(), &["a"])], &SystemResolver);
    let said = log.take();
    assert!(said.lines().count() == 1 && said.contains("respect_dns_ttl has no effect cluster=\"c\""), "{said}");
    #[cfg(feature = "dns")]
    {
        let somewhere = SocketAddr::from(([127, 0, 0, 1], 53));
        let resolver = Hickory::with_name_servers([somewhere], Duration::from_secs(1)).expect("good settings");
        warn_of_ttl(&[asks], &resolver);
        assert_eq!(log.take(), "");
        let of_the_system = Hickory::new();
        assert_eq!(DefaultResolver::default().tells_ttl(), of_the_system.is_ok(), "{of_the_system:?}");
    }
}
