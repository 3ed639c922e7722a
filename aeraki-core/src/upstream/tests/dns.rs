//! Clusters whose names a name server on loopback answers. Time moves where a test says so, since the answers come
//! through sockets.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::atomic::AtomicU32,
};

use aeraki_route::config::{Address, Discovery, Dns};
use hickory_resolver::proto::{
    op::{Message as DnsMessage, ResponseCode},
    rr::{RData, Record, RecordType},
};
use tokio::{net::UdpSocket, time::advance};

use super::{updates::endpoints, *};

/// A name server, and what it answers.
struct NameServer {
    address: SocketAddr,
    says: Arc<Mutex<Says>>,
    /// Questions so far.
    asked: Arc<AtomicU32>,
}

#[derive(Clone, Debug)]
enum Says {
    /// Addresses of both families, and their time to live in seconds.
    Addresses(Vec<IpAddr>, u32),
    NoSuchName,
    Nothing,
}

impl NameServer {
    async fn start(says: Says) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let server = Self {
            address: socket.local_addr().expect("bound"),
            says: Arc::new(Mutex::new(says)),
            asked: Arc::default(),
        };
        let (says, asked) = (Arc::clone(&server.says), Arc::clone(&server.asked));
        tokio::spawn(async move {
            let mut question = [0; 1500];
            while let Ok((len, client)) = socket.recv_from(&mut question).await {
                asked.fetch_add(1, Relaxed);
                let says = lock(&says).clone();
                if let Some(answer) = reply(&question[..len], says) {
                    socket.send_to(&answer, client).await.expect("loopback takes it");
                }
            }
        });
        server
    }

    fn say(&self, says: Says) {
        *lock(&self.says) = says;
    }

    fn resolver(&self) -> Hickory {
        Hickory::with_name_servers([self.address], 5 * SECOND).expect("good settings")
    }
}

fn reply(question: &[u8], says: Says) -> Option<Vec<u8>> {
    let question = DnsMessage::from_vec(question).expect("a question");
    let asked = question.queries[0].clone();
    let mut answer = DnsMessage::response(question.metadata.id, question.metadata.op_code);
    answer.add_query(asked.clone());
    match says {
        Says::Addresses(addresses, ttl) => {
            let data = addresses.into_iter().filter_map(|address| match (address, asked.query_type()) {
                (IpAddr::V4(ip), RecordType::A) => Some(RData::A(ip.into())),
                (IpAddr::V6(ip), RecordType::AAAA) => Some(RData::AAAA(ip.into())),
                _ => None,
            });
            answer.add_answers(data.map(|data| Record::from_rdata(asked.name().clone(), ttl, data)));
        }
        Says::NoSuchName => answer.metadata.response_code = ResponseCode::NXDomain,
        Says::Nothing => return None,
    }
    Some(answer.to_vec().expect("a small answer"))
}

/// Tells how many look-ups have ended.
#[derive(Debug)]
struct Watched(Hickory, Arc<AtomicU32>);

impl Resolver for Watched {
    fn resolve(&self, host: Arc<str>) -> BoxFuture<io::Result<Resolved>> {
        let (found, ended) = (self.0.resolve(host), Arc::clone(&self.1));
        Box::pin(async move {
            let found = found.await;
            ended.fetch_add(1, Relaxed);
            found
        })
    }
}

/// A cluster whose name `server` knows, and the number of look-ups that have ended.
fn resolving(server: &NameServer, dns: Dns) -> (Bench, Arc<AtomicU32>) {
    let ended = Arc::<AtomicU32>::default();
    let mut bench = Bench::new(Serving::Serial);
    let watched = Watched(server.resolver(), Arc::clone(&ended));
    bench.clusters = Clusters::new(
        Context::new()
            .with_connector(Arc::clone(&bench.pipes) as Arc<dyn Connector>)
            .with_resolver(Arc::new(watched) as Arc<dyn Resolver>),
    );
    let cluster = config::Cluster::new("c").with_endpoint(Address::new("some.host", 9));
    bench.clusters.update([cluster.with_discovery(Discovery::StrictDns(dns))]);
    (bench, ended)
}

/// Waits without letting time pass: the runtime never rests, so a paused clock stays where it is.
async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::task::yield_now().await;
    }
    settle().await;
}

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

fn v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into()
}

#[tokio::test]
async fn every_address_of_both_families_is_found_with_its_time_to_live() {
    let addresses = vec![v4(1), v4(2), v6(1), v6(2)];
    let server = NameServer::start(Says::Addresses(addresses.clone(), 30)).await;
    let resolver = server.resolver();
    let mut found = resolver.resolve("some.host".into()).await.expect("an answer");
    found.addresses.sort();
    assert_eq!(found.addresses, addresses);
    let ttl = found.ttl.expect("a name server says it");
    assert!(ttl <= 30 * SECOND && ttl > 20 * SECOND, "{ttl:?}");

    server.say(Says::Addresses(vec![v6(3)], 30));
    let found = resolver.resolve("some.host".into()).await.expect("an answer");
    assert_eq!(found.addresses, [v6(3)], "no answer is kept, and one family is enough");
}

#[tokio::test(start_paused = true)]
async fn the_last_good_addresses_outlast_a_name_that_is_gone() {
    let server = NameServer::start(Says::Addresses(vec![v4(1), v6(1)], 3600)).await;
    let (bench, ended) = resolving(&server, Dns::every(5 * SECOND));
    for (says, expected) in [
        (None, &["127.0.0.1:9", "[fd00::1]:9"][..]),
        (Some(Says::Addresses(vec![v4(2)], 3600)), &["127.0.0.2:9"]),
        (Some(Says::NoSuchName), &["127.0.0.2:9"]),
        (Some(Says::Addresses(vec![], 3600)), &["127.0.0.2:9"]),
        (Some(Says::Addresses(vec![v6(3)], 3600)), &["[fd00::3]:9"]),
    ] {
        if let Some(says) = says {
            let before = ended.load(Relaxed);
            server.say(says);
            advance(5 * SECOND).await;
            until(|| ended.load(Relaxed) > before).await;
        } else {
            until(|| ended.load(Relaxed) == 1).await;
        }
        assert_eq!(endpoints(&bench), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_to_live_says_when_the_name_server_is_asked_again() {
    for (respect_ttl, wait) in [(true, 30), (false, 5)] {
        let server = NameServer::start(Says::Addresses(vec![v4(1)], 30)).await;
        let (_bench, ended) = resolving(&server, Dns::every(5 * SECOND).with_respect_ttl(respect_ttl));
        until(|| ended.load(Relaxed) == 1).await;
        // the time to live is counted from when the answer came, which takes no time here but for the real clock
        advance((wait - 1) * SECOND).await;
        let own = tokio::spawn(server.resolver().resolve("some.host".into()));
        until(|| own.is_finished()).await;
        assert_eq!(server.asked.load(Relaxed), 4, "one question for each family, twice; half of them are our own");
        advance(SECOND).await;
        until(|| ended.load(Relaxed) == 2).await;
    }
}

// Nothing comes through a socket here: the clock may run on by itself.
#[tokio::test(start_paused = true)]
async fn a_silent_name_server_is_given_up_after_its_time() {
    let server = NameServer::start(Says::Nothing).await;
    for (timeout, host) in [(SECOND, "some.host"), (SECOND, "host"), (2 * SECOND, "some.host.")] {
        let start = Instant::now();
        let resolver = Hickory::with_name_servers([server.address, server.address], timeout).expect("good settings");
        resolver.resolve(host.into()).await.expect_err("nobody answers");
        let took = start.elapsed();
        assert!(took >= timeout && took <= 3 * timeout, "{host}: {took:?}");
    }

    let (bench, _) = resolving(&server, Dns::every(5 * SECOND));
    let start = Instant::now();
    assert_eq!(failure(bench.call(REQUEST, 1, "x")).await.0, Reason::NoHealthyUpstream);
    assert!(start.elapsed() <= 15 * SECOND, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_resolver_that_workers_share_outlives_the_one_that_asked_first() {
    let server = NameServer::start(Says::Addresses(vec![v4(1)], 30)).await;
    let resolver = server.resolver();
    for _ in 0..2 {
        let resolver = resolver.clone();
        let worker = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(resolver.resolve("some.host".into())).expect("an answer").addresses
        };
        assert_eq!(tokio::task::spawn_blocking(worker).await.expect("no panic"), [v4(1)]);
    }
}

#[test]
fn a_resolver_needs_a_name_server_and_a_time_out() {
    let somewhere = SocketAddr::from(([127, 0, 0, 1], 53));
    assert!(Hickory::with_name_servers([], SECOND).is_err());
    assert!(Hickory::with_name_servers([somewhere], Duration::ZERO).is_err());
}

const SECOND: Duration = Duration::from_secs(1);
