//! Servers that answer what they were not asked, and clients that take more than their share.

use aeraki_route::config::Thresholds;

use super::*;

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_oneway_request_that_is_still_written_ends_nobody_elses_request() {
    let mut bench = Bench::new(Serving::Concurrent);
    // together more than the pipe takes
    let large = "l".repeat(900_000);
    let oneways = [bench.call(ONEWAY, 1, &large), bench.call(ONEWAY, 2, &large)];
    let mut server = bench.server().await;
    server.0.read_u32().await.expect("a frame");
    server.0.read_u8().await.expect("a frame");
    let id = server.0.read_u32().await.expect("a frame");
    server.write(RESPONSE, id, "too early").await;
    settle().await;
    let call = bench.call(REQUEST, 3, "x");
    settle().await;
    let mut rest = Vec::new();
    let reading = tokio::spawn(async move { server.0.read_to_end(&mut rest).await });
    bench.server().await.echo().await;
    assert_eq!(answer(call).await, (3, "x".to_owned()));
    for oneway in oneways {
        assert_eq!(failure(oneway).await.0, Reason::BadResponse);
    }
    reading.await.expect("no panic").expect("the end");
    assert_eq!(bench.count("upstream_rs_wrong_id"), 1);
}

#[tokio::test(start_paused = true)]
async fn connections_of_clients_own_count_towards_the_limit() {
    let limits = Thresholds::default().with_max_connections(2);
    let mut bench = Bench::with(Serving::Concurrent, cluster().with_limits(limits));
    let mut servers = Vec::new();
    let mut clients = Vec::new();
    for n in 0..2 {
        let call = bench.call_with(Affinity::Bound, n, "login");
        let mut own = bench.server().await;
        own.echo().await;
        answer(call).await;
        servers.push(own);
        clients.push(mem::replace(&mut bench.conn, conn(Serving::Concurrent)));
    }
    let (reason, text) = failure(bench.call_with(Affinity::Bound, 3, "login")).await;
    assert_eq!(reason, Reason::Overflow);
    assert_eq!(text, "cluster \"c\" has no room for a connection of the client's own");
    bench.no_server().await;

    clients.clear();
    settle().await;
    let call = bench.call_with(Affinity::Bound, 4, "login");
    bench.server().await.echo().await;
    assert_eq!(answer(call).await, (4, "login".to_owned()), "there is room again");
}
