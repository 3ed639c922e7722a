//! Connections that end, or never begin.

use super::*;

#[tokio::test(start_paused = true)]
async fn every_pending_request_fails_once_when_the_connection_dies() {
    for serving in [Serving::Concurrent, Serving::Serial] {
        let mut bench = Bench::new(serving);
        let calls: Vec<Call> = (0..10).map(|n| bench.call(REQUEST, n, "x")).collect();
        settle().await;
        while let Ok(mut server) = bench.servers.try_recv() {
            server.read_u32().await.expect("a request");
        }
        for call in calls {
            let (reason, text) = failure(call).await;
            assert_eq!((reason, text.as_str()), (Reason::UpstreamClosed, "127.0.0.1:1 closed the connection"));
        }
        assert_eq!((bench.count("upstream_cx_active"), bench.count("upstream_rq_active")), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn answered_requests_keep_their_answers_when_the_connection_dies() {
    let mut bench = Bench::new(Serving::Concurrent);
    let calls: Vec<Call> = (0..4).map(|n| bench.call(REQUEST, n, &n.to_string())).collect();
    let mut server = bench.server().await;
    server.echo().await;
    server.echo().await;
    let (_, id, _) = server.read().await;
    server.0.write_all(&frame(RESPONSE, id, b"partial")[..10]).await.expect("open");
    drop(server);
    let mut calls = calls.into_iter();
    for n in 0..2 {
        assert_eq!(answer(calls.next().expect("four")).await, (n, n.to_string()));
    }
    for call in calls {
        let (reason, text) = failure(call).await;
        assert_eq!(reason, Reason::UpstreamClosed);
        assert!(text.ends_with("in the middle of a message"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_written_goes_to_another_connection() {
    let mut bench = Bench::new(Serving::Serial);
    let call = bench.call(REQUEST, 1, "first");
    let mut server = bench.server().await;
    server.echo().await;
    answer(call).await;

    let call = bench.call(REQUEST, 2, "second");
    drop(server); // before the driver could write
    bench.server().await.echo().await;
    assert_eq!(answer(call).await, (2, "second".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_fails_all_that_wait_for_it() {
    let bench = Bench::new(Serving::Concurrent);
    bench.set_mode(Mode::Refuse);
    let calls: Vec<Call> = (0..3).map(|n| bench.call(REQUEST, n, "x")).collect();
    for call in calls {
        let (reason, text) = failure(call).await;
        assert_eq!(reason, Reason::ConnectFailure);
        assert_eq!(text, "cannot connect to 127.0.0.1:1: connection refused");
    }
    assert_eq!((bench.count("upstream_cx_connect_fail"), bench.count("upstream_cx_total")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn connecting_takes_no_longer_than_it_may() {
    let bench = Bench::with(Serving::Serial, cluster().with_connect_timeout(Duration::from_secs(2)));
    bench.set_mode(Mode::Hang);
    let begun = Instant::now();
    let (reason, text) = failure(bench.call(REQUEST, 1, "x")).await;
    assert_eq!((reason, text.as_str()), (Reason::ConnectFailure, "cannot connect to 127.0.0.1:1 within 2s"));
    assert_eq!(begun.elapsed().as_secs(), 2);
    assert_eq!(bench.count("upstream_cx_connect_timeout"), 1);

    bench.set_mode(Mode::Refuse);
    assert_eq!(failure(bench.call(REQUEST, 1, "x")).await.0, Reason::ConnectFailure);
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_a_wrong_id_is_never_delivered() {
    for serving in [Serving::Serial, Serving::Concurrent] {
        let mut bench = Bench::new(serving);
        let call = bench.call(REQUEST, 1, "x");
        let mut server = bench.server().await;
        let (_, id, _) = server.read().await;
        server.write(RESPONSE, id ^ 0x4000_0000, "not yours").await;
        assert_eq!(failure(call).await.0, Reason::BadResponse);
        assert!(server.is_closed().await);
        assert_eq!((bench.count("upstream_rs_wrong_id"), bench.count("upstream_cx_protocol_error")), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_answer_ends_a_serial_connection_and_is_dropped_on_a_shared_one() {
    for (serving, survives) in [(Serving::Serial, false), (Serving::Concurrent, true)] {
        let mut bench = Bench::new(serving);
        let call = bench.call(REQUEST, 1, "x");
        let mut server = bench.server().await;
        let (_, id, _) = server.read().await;
        server.write(RESPONSE, id, "one").await;
        assert_eq!(answer(call).await.1, "one");
        server.write(RESPONSE, id, "two").await;
        assert_eq!(server.is_closed().await, !survives);

        let call = bench.call(REQUEST, 2, "next");
        let mut server = if survives { server } else { bench.server().await };
        server.echo().await;
        assert_eq!(answer(call).await, (2, "next".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_fails_its_own_request_only() {
    let mut bench = Bench::new(Serving::Concurrent);
    let (bad, good) = (bench.call(REQUEST, 1, "bad"), bench.call(REQUEST, 2, "good"));
    let mut server = bench.server().await;
    let (_, id, _) = server.read().await;
    server.write(BROKEN, id, "?").await;
    server.echo().await;
    assert_eq!(failure(bad).await.0, Reason::BadResponse);
    assert_eq!(answer(good).await.1, "good");
    assert_eq!(bench.count("upstream_rs_invalid"), 1);
}

#[tokio::test(start_paused = true)]
async fn lost_framing_ends_the_connection() {
    let mut bench = Bench::new(Serving::Concurrent);
    let calls: Vec<Call> = (0..3).map(|n| bench.call(REQUEST, n, "x")).collect();
    let mut server = bench.server().await;
    for _ in 0..3 {
        server.read().await;
    }
    server.0.write_all(&[0xff; 64]).await.expect("open");
    for call in calls {
        assert_eq!(failure(call).await.0, Reason::BadResponse);
    }
    assert!(server.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_encoded_fails_alone() {
    let mut bench = Bench::new(Serving::Concurrent);
    let (good, bad) = (bench.call(REQUEST, 1, "good"), bench.call(REQUEST, 2, "unwritable"));
    let oneway = bench.call(ONEWAY, 3, "unwritable");
    bench.server().await.echo().await;
    assert_eq!(failure(bad).await.0, Reason::BadRequest);
    assert_eq!(failure(oneway).await.0, Reason::BadRequest);
    assert_eq!(answer(good).await.1, "good");
}

#[tokio::test(start_paused = true)]
async fn without_endpoints_there_is_no_healthy_upstream() {
    let bench = Bench::with(Serving::Serial, config::Cluster::new("c"));
    let (reason, text) = failure(bench.call(REQUEST, 1, "x")).await;
    assert_eq!((reason, text.as_str()), (Reason::NoHealthyUpstream, "cluster \"c\" has no healthy endpoint"));
    assert!(bench.clusters.resolve("other").is_none());
}
