//! Requests that are answered.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_under_its_own_id() {
    let mut bench = Bench::new(Serving::Serial);
    let request = bench.request(frame(REQUEST, 77, b"hello"));
    let facts = request.facts.clone();
    let call = bench.send(request);
    let mut server = bench.server().await;
    let (kind, id, payload) = server.read().await;
    assert_eq!((kind, payload.as_str()), (REQUEST, "hello"));
    assert_ne!(id, 77, "ids are the connection's own");
    server.write(RESPONSE, id, "world").await;
    assert_eq!(answer(call).await, (77, "world".to_owned()));

    let record = facts.record();
    assert_eq!(record.cluster.as_deref(), Some("c"));
    assert_eq!(record.endpoint, Some(SocketAddr::from(([127, 0, 0, 1], 1)).into()));
    assert_eq!((bench.count("upstream_rq_active"), bench.count("upstream_rq_total")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_serial_server_gets_one_request_a_connection() {
    let mut bench = Bench::new(Serving::Serial);
    let first = bench.call(REQUEST, 1, "first");
    let mut one = bench.server().await;
    let second = bench.call(REQUEST, 1, "second");
    let mut other = bench.server().await;
    other.echo().await;
    assert_eq!(answer(second).await.1, "second");
    one.echo().await;
    assert_eq!(answer(first).await.1, "first");

    let third = bench.call(REQUEST, 1, "third");
    bench.no_server().await;
    one.echo().await;
    assert_eq!(answer(third).await.1, "third");
}

#[tokio::test(start_paused = true)]
async fn many_callers_share_a_connection_and_answers_come_in_any_order() {
    let mut bench = Bench::new(Serving::Concurrent);
    let calls: Vec<Call> = (0..100).map(|n| bench.call(REQUEST, 5, &n.to_string())).collect();
    let mut server = bench.server().await;
    let mut requests = Vec::new();
    for _ in 0..100 {
        requests.push(server.read().await);
    }
    for (_, id, payload) in requests.iter().rev() {
        server.write(RESPONSE, *id, payload).await;
    }
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(answer(call).await, (5, n.to_string()));
    }
    bench.no_server().await;
}

#[tokio::test(start_paused = true)]
async fn the_cluster_may_say_how_its_servers_work() {
    for (serving, concurrent, connections) in
        [(Serving::Serial, true, 1), (Serving::Concurrent, false, 3), (Serving::Concurrent, true, 1)]
    {
        let bench = Bench::with(serving, cluster().with_concurrent(concurrent));
        let _calls: Vec<Call> = (0..3).map(|n| bench.call(REQUEST, n, "x")).collect();
        settle().await;
        assert_eq!(bench.count("upstream_cx_total"), connections, "{serving:?} {concurrent}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_least_loaded_connection_comes_first() {
    let mut bench = Bench::with(Serving::Concurrent, cluster().with_depth(2));
    let calls: Vec<Call> = (0..4).map(|n| bench.call(REQUEST, n, "x")).collect();
    let (mut one, mut other) = (bench.server().await, bench.server().await);
    one.echo().await;
    one.echo().await;
    other.echo().await;
    settle().await;
    let further = bench.call(REQUEST, 9, "y");
    one.echo().await;
    assert_eq!(answer(further).await, (9, "y".to_owned()));
    drop(calls);
}

#[tokio::test(start_paused = true)]
async fn a_one_way_request_ends_when_it_is_written() {
    for serving in [Serving::Serial, Serving::Concurrent] {
        let mut bench = Bench::new(serving);
        let call = bench.call(ONEWAY, 3, "tell");
        assert!(matches!(outcome(call).await, Ok(Response::Oneway)));
        let mut server = bench.server().await;
        assert_eq!(server.read().await.2, "tell");

        let call = bench.call(REQUEST, 4, "ask");
        server.echo().await;
        assert_eq!(answer(call).await, (4, "ask".to_owned()));
        assert_eq!(bench.count("upstream_cx_total"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_request_has_its_connection_alone() {
    let mut bench = Bench::new(Serving::Concurrent);
    let shared = bench.call(REQUEST, 1, "shared");
    let mut first = bench.server().await;
    let exclusive = bench.call_with(Affinity::Exclusive, 2, "alone");
    let mut second = bench.server().await;
    let further = bench.call(REQUEST, 3, "further");
    second.echo().await;
    assert_eq!(answer(exclusive).await.0, 2);
    first.echo().await;
    first.echo().await;
    assert_eq!((answer(shared).await.0, answer(further).await.0), (1, 3));
    let _again = bench.call_with(Affinity::Exclusive, 4, "alone");
    bench.no_server().await;
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_arrives_whole() {
    let mut bench = Bench::new(Serving::Serial);
    let call = bench.call(REQUEST, 1, "x");
    let mut server = bench.server().await;
    let (_, id, _) = server.read().await;
    let large = "l".repeat(500_000);
    server.write(RESPONSE, id, &large).await;
    assert_eq!(answer(call).await, (1, large));
}

#[tokio::test(start_paused = true)]
async fn a_bound_client_keeps_its_connection_until_either_ends() {
    let mut bench = Bench::new(Serving::Concurrent);
    let login = bench.call_with(Affinity::Bound, 1, "login");
    let mut own = bench.server().await;
    own.echo().await;
    assert_eq!(answer(login).await.1, "login");
    let further = bench.call(REQUEST, 2, "further");
    own.echo().await;
    assert_eq!(answer(further).await, (2, "further".to_owned()));

    let stranger = conn(Serving::Concurrent);
    let foreign = bench.send(request(&stranger, frame(REQUEST, 3, b"foreign")));
    bench.server().await.echo().await;
    assert_eq!(answer(foreign).await.1, "foreign");

    bench.conn = stranger;
    assert!(own.is_closed().await, "it belonged to a client that is gone");
}

#[tokio::test(start_paused = true)]
async fn a_bound_client_gets_no_second_connection() {
    let mut bench = Bench::new(Serving::Concurrent);
    let login = bench.call_with(Affinity::Bound, 1, "login");
    drop(bench.server().await);
    assert_eq!(failure(login).await.0, Reason::UpstreamClosed);
    assert_eq!(failure(bench.call(REQUEST, 2, "further")).await.0, Reason::UpstreamClosed);
    bench.no_server().await;
}
