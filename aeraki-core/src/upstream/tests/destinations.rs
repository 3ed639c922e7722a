//! Requests that go where their clients meant them to go.

use aeraki_route::config::{Discovery, OriginalDst};

use super::*;

fn as_meant(original: OriginalDst) -> config::Cluster {
    config::Cluster::new("c").with_discovery(Discovery::OriginalDst(original))
}

impl Bench {
    /// Begins a call of a client that meant this port.
    fn call_to(&self, port: u16) -> Call {
        let [peer, local] = [1, port].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let mut conn = ConnInfo::new("test".into(), Arc::clone(&self.conn.protocol), peer, local);
        conn.restored = true;
        self.send(request(&Arc::new(conn), frame(REQUEST, 1, b"hello")))
    }
}

fn endpoints(bench: &Bench) -> Vec<u16> {
    let mut ports: Vec<_> = bench
        .clusters
        .get("c")
        .expect("configured")
        .endpoints()
        .iter()
        .filter_map(config::SocketAddress::as_ip)
        .map(|address| address.port())
        .collect();
    ports.sort_unstable();
    ports
}

#[tokio::test(start_paused = true)]
async fn who_meant_the_same_address_shares_its_connections() {
    let mut bench = Bench::with(Serving::Concurrent, as_meant(OriginalDst::default()));
    let mut servers = Vec::new();
    for port in [80, 81] {
        let call = bench.call_to(port);
        let mut server = bench.server().await;
        server.echo().await;
        answer(call).await;
        servers.push(server);
    }
    assert_eq!(endpoints(&bench), [80, 81]);
    assert_eq!(["total", "healthy"].map(|name| bench.count(&format!("membership_{name}"))), [2, 2]);
    let call = bench.call_to(81);
    servers[1].echo().await;
    answer(call).await;
    bench.no_server().await;
}

#[tokio::test(start_paused = true)]
async fn without_an_address_that_was_meant_there_is_no_endpoint() {
    let bench = Bench::with(Serving::Concurrent, as_meant(OriginalDst::default()));
    let call = bench.call(REQUEST, 1, "not intercepted");
    assert_eq!(failure(call).await.0, Reason::NoHealthyUpstream);
    assert_eq!(endpoints(&bench), [0_u16; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_address_is_forgotten_once_nobody_asks_for_it() {
    let interval = Duration::from_secs(10);
    let original = OriginalDst::default().with_cleanup_interval(interval).with_port_override(9);
    let mut bench = Bench::with(Serving::Concurrent, as_meant(original));
    let call = bench.call_to(80);
    let mut server = bench.server().await;
    let (_, id, _) = server.read().await;
    assert_eq!(endpoints(&bench), [9], "the port is another one");
    tokio::time::sleep(3 * interval).await;
    assert_eq!(endpoints(&bench), [9], "a request is under way");
    server.write(RESPONSE, id, "done").await;
    answer(call).await;
    tokio::time::sleep(interval + Duration::from_secs(1)).await;
    assert_eq!(endpoints(&bench), [0_u16; 0]);
    assert!(server.is_closed().await);
    assert_eq!(bench.count("upstream_cx_active"), 0);
}

#[tokio::test(start_paused = true)]
async fn addresses_are_bounded_and_idle_ones_make_room() {
    let mut bench = Bench::with(Serving::Concurrent, as_meant(OriginalDst::default()));
    let call = bench.call_to(1);
    let mut busy = bench.server().await;
    let (_, id, _) = busy.read().await;
    for port in 2..=5000 {
        let call = bench.call_to(port);
        bench.server().await.echo().await;
        answer(call).await;
    }
    let known = endpoints(&bench);
    assert!(known.len() <= 4096, "{}", known.len());
    assert!(known.contains(&1) && known.contains(&5000));
    busy.write(RESPONSE, id, "done").await;
    answer(call).await;
}
