//! Signs of life, drain, and what servers send unasked.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn heartbeats_of_the_server_are_answered_between_answers() {
    let mut bench = Bench::new(Serving::Serial);
    let call = bench.call(REQUEST, 1, "x");
    let mut server = bench.server().await;
    let (_, id, _) = server.read().await;
    let mut both = frame(PING, 7, b"").to_vec();
    both.extend_from_slice(&frame(RESPONSE, id, b"y"));
    server.0.write_all(&both).await.expect("open");
    assert_eq!(server.read().await.0, PONG);
    assert_eq!(answer(call).await.1, "y");
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_pinged_and_closed_when_it_stays_silent() {
    let mut bench = Bench::with(Serving::Concurrent, cluster().with_heartbeat_interval(Some(MINUTE)));
    let begun = Instant::now();
    let call = bench.call(REQUEST, 1, "x");
    let mut server = bench.server().await;
    server.read().await;
    assert_eq!(server.read().await.0, PING);
    server.write(PONG, 0, "").await;
    for _ in 0..3 {
        assert_eq!(server.read().await.0, PING);
    }
    assert_eq!(failure(call).await, (Reason::UpstreamClosed, "127.0.0.1:1 did not answer signs of life".to_owned()));
    assert_eq!(begun.elapsed().as_secs() / 60, 6, "a ping, an answer, three pings and the end");
    assert_eq!(bench.count("upstream_heartbeats"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_server_does_not_read_ends_with_its_last_request() {
    let mut bench = Bench::with(Serving::Serial, cluster().with_heartbeat_interval(None));
    let call = bench.call(REQUEST, 1, &"x".repeat(2 << 20));
    let _server = bench.server().await;
    settle().await;
    call.abort();
    settle().await;
    assert_eq!((bench.count("upstream_rq_active"), bench.count("upstream_cx_active")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_uses_is_closed() {
    let config = cluster().with_idle_timeout(Some(8 * MINUTE)).with_heartbeat_interval(None);
    let mut bench = Bench::with(Serving::Concurrent, config);
    let call = bench.call(REQUEST, 1, "slow");
    let mut server = bench.server().await;
    let (_, id, _) = server.read().await;
    tokio::time::sleep(30 * MINUTE).await;
    server.write(RESPONSE, id, "at last").await;
    assert_eq!(answer(call).await.1, "at last");

    let begun = Instant::now();
    soon(server.0.read_u8()).await.expect_err("closed");
    assert!((8..=12).contains(&(begun.elapsed().as_secs() / 60)), "{:?}", begun.elapsed());
    assert_eq!((bench.count("upstream_cx_idle_timeout"), bench.count("upstream_cx_active")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drains_answers_what_it_has_and_gets_no_more() {
    let mut bench = Bench::new(Serving::Concurrent);
    let call = bench.call(REQUEST, 1, "old");
    let mut server = bench.server().await;
    let (_, id, _) = server.read().await;
    server.write(DRAIN, 0, "").await;
    settle().await;
    let next = bench.call(REQUEST, 2, "new");
    bench.server().await.echo().await;
    assert_eq!(answer(next).await.1, "new");
    assert!(server.is_silent().await);
    server.write(RESPONSE, id, "done").await;
    assert_eq!(answer(call).await, (1, "done".to_owned()));
    assert!(server.is_closed().await);
    assert_eq!(bench.count("upstream_cx_drain_close"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_may_say_with_an_answer_that_it_drains() {
    for serving in [Serving::Concurrent, Serving::Serial] {
        let mut bench = Bench::new(serving);
        let (first, second) = (bench.call(REQUEST, 1, "one"), bench.call(REQUEST, 2, "two"));
        let mut server = bench.server().await;
        let (_, id, _) = server.read().await;
        server.write(LAST, id, "done").await;
        assert_eq!(answer(first).await, (1, "done".to_owned()));
        if serving == Serving::Concurrent {
            let (_, id, _) = server.read().await;
            let next = bench.call(REQUEST, 3, "next");
            bench.server().await.echo().await;
            assert_eq!(answer(next).await.1, "next");
            // once more, as servers do
            server.write(LAST, id, "two").await;
        } else {
            bench.server().await.echo().await;
        }
        assert_eq!(answer(second).await, (2, "two".to_owned()));
        assert!(server.is_closed().await);
        assert_eq!((bench.count("upstream_cx_drain_close"), bench.count("upstream_cx_total")), (1, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_a_server_takes_with_it_fail_once() {
    let mut bench = Bench::new(Serving::Concurrent);
    let calls: Vec<Call> = (0..5).map(|n| bench.call(REQUEST, n, "x")).collect();
    let mut server = bench.server().await;
    for _ in 0..4 {
        server.read().await;
    }
    let (_, id, _) = server.read().await;
    server.write(LAST, id, "done").await;
    drop(server);
    let mut ends = Vec::new();
    for call in calls {
        ends.push(outcome(call).await.map_err(|error| error.to_string()));
    }
    assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), 1);
    assert!(ends.iter().filter_map(|end| end.as_ref().err()).all(|error| error.ends_with("closed the connection")));
    assert_eq!((bench.count("upstream_rq_active"), bench.count("upstream_cx_active")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_of_the_server_is_refused_and_counted() {
    let mut bench = Bench::new(Serving::Concurrent);
    let call = bench.call(REQUEST, 1, "x");
    let mut server = bench.server().await;
    let (_, id, _) = server.read().await;
    server.write(REQUEST, 99, "callback").await;
    server.write(ONEWAY, 98, "notice").await;
    assert_eq!(server.read().await, (RESPONSE, 99, "the proxy takes no requests from servers".to_owned()));
    server.write(RESPONSE, id, "y").await;
    assert_eq!(answer(call).await.1, "y");
    assert_eq!(bench.count("upstream_rq_from_server"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_instead_of_an_answer_ends_what_waits_for_that() {
    for kind in [REQUEST, ONEWAY] {
        let mut bench = Bench::new(Serving::Serial);
        let call = bench.call(REQUEST, 1, "x");
        let mut server = bench.server().await;
        let (_, id, _) = server.read().await;
        server.write(kind, id, "what?").await;
        let (reason, text) = failure(call).await;
        assert_eq!(reason, Reason::BadResponse);
        assert!(text.ends_with("sent a request"), "{text}");
        assert!(server.is_closed().await);
        assert_eq!((bench.count("upstream_rq_from_server"), bench.count("upstream_cx_protocol_error")), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_floods_without_reading_is_cut_off() {
    let mut bench = Bench::new(Serving::Concurrent);
    let call = bench.call(REQUEST, 1, "x");
    let mut server = bench.server().await;
    let pings = frame(PING, 0, b"").repeat(10_000);
    let flood = async { while server.0.write_all(&pings).await.is_ok() {} };
    soon(flood).await;
    assert_eq!(failure(call).await.0, Reason::BadResponse);
}
