//! Limits, and requests that nobody waits for any more.

use aeraki_route::config::{ClusterLimits, RoutingPriority, Thresholds};

use super::*;

fn limited(connections: u32, pending: u32) -> config::Cluster {
    let limits = Thresholds::default().with_max_connections(connections).with_max_pending_requests(pending);
    cluster().with_limits(limits)
}

#[tokio::test(start_paused = true)]
async fn who_finds_all_busy_waits_in_order_and_the_rest_is_refused() {
    let mut bench = Bench::with(Serving::Serial, limited(1, 2));
    let calls: Vec<Call> = (0..4).map(|n| bench.call(REQUEST, n, &n.to_string())).collect();
    let mut server = bench.server().await;
    settle().await;
    assert_eq!(bench.count("upstream_rq_pending_active"), 2);
    let mut calls = calls.into_iter().collect::<Vec<_>>();
    let (reason, text) = failure(calls.remove(3)).await;
    assert_eq!(reason, Reason::Overflow);
    assert_eq!(text, "cluster \"c\" has no connection free and too many requests wait for one");
    for (n, call) in (0..).zip(calls) {
        server.echo().await;
        assert_eq!(answer(call).await, (n, n.to_string()));
    }
    bench.no_server().await;
    assert_eq!((bench.count("upstream_rq_pending_active"), bench.count("upstream_rq_pending_overflow")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_are_bounded_where_that_is_asked_for() {
    let limits = Thresholds::default().with_max_requests(2);
    let mut bench = Bench::with(Serving::Concurrent, cluster().with_limits(limits));
    let (first, second) = (bench.call(REQUEST, 1, "first"), bench.call(REQUEST, 2, "second"));
    let (reason, text) = failure(bench.call(REQUEST, 3, "third")).await;
    assert_eq!(reason, Reason::Overflow);
    assert_eq!(text, "cluster \"c\" has as many requests under way as it may");
    assert_eq!(bench.count("upstream_rq_pending_overflow"), 1);
    let mut server = bench.server().await;
    server.echo().await;
    assert_eq!(answer(first).await.1, "first");
    let fourth = bench.call(REQUEST, 4, "fourth");
    second.abort();
    settle().await;
    let fifth = bench.call(REQUEST, 5, "fifth");
    assert_eq!(failure(bench.call(REQUEST, 6, "sixth")).await.0, Reason::Overflow);
    for _ in 0..3 {
        server.echo().await;
    }
    assert_eq!((answer(fourth).await.1, answer(fifth).await.1), ("fourth".to_owned(), "fifth".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn further_tries_are_bounded_where_that_is_asked_for() {
    let bench = Bench::with(Serving::Concurrent, cluster().with_limits(Thresholds::default().with_max_retries(1)));
    let retry = |id: u32| {
        let mut request = bench.request(frame(REQUEST, id, b"x"));
        request.retry = true;
        bench.send(request)
    };
    let first = retry(1);
    let _other = bench.call(REQUEST, 2, "no retry");
    let (reason, text) = failure(retry(3)).await;
    assert_eq!(reason, Reason::Overflow);
    assert_eq!(text, "cluster \"c\" has as many further tries under way as it may");
    assert_eq!((bench.count("upstream_rq_retry"), bench.count("upstream_rq_retry_overflow")), (2, 1));
    first.abort();
    settle().await;
    let fourth = retry(4);
    settle().await;
    assert!(!fourth.is_finished());
}

#[tokio::test(start_paused = true)]
async fn urgent_requests_have_connections_and_limits_of_their_own() {
    let few = Thresholds::default().with_max_connections(1).with_max_pending_requests(0).with_track_remaining(true);
    let limits = ClusterLimits::from(few).with_thresholds(RoutingPriority::High, few.with_max_requests(1));
    let mut bench = Bench::with(Serving::Serial, cluster().with_limits(limits));
    let urgent = |id: u32| {
        let mut request = bench.request(frame(REQUEST, id, b"urgent"));
        request.priority = RoutingPriority::High;
        bench.send(request)
    };
    let usual = bench.call(REQUEST, 1, "usual");
    settle().await;
    assert_eq!(failure(bench.call(REQUEST, 2, "too many")).await.0, Reason::Overflow);
    let (first, second) = (urgent(3), urgent(4));
    let (reason, text) = failure(second).await;
    assert_eq!((reason, text.as_str()), (Reason::Overflow, "cluster \"c\" has as many requests under way as it may"));

    let gauges = |priority| {
        let of = |name: &str| bench.count(&format!("circuit_breakers.{priority}.{name}"));
        [of("cx_open"), of("remaining_cx"), of("rq_pending_open"), of("remaining_pending")]
    };
    assert_eq!((gauges("default"), gauges("high")), ([1, 0, 1, 0], [1, 0, 1, 0]));
    assert_eq!(bench.count("circuit_breakers.high.rq_open"), 1);
    for call in [usual, first] {
        let mut server = bench.server().await;
        server.echo().await;
        answer(call).await;
        drop(server);
        settle().await;
    }
    assert_eq!((bench.count("circuit_breakers.default.cx_open"), bench.count("circuit_breakers.high.cx_open")), (0, 0));
    assert_eq!(bench.count("circuit_breakers.high.remaining_rq"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_the_last_request_that_it_may_take() {
    let limits = ClusterLimits::from(Thresholds::default().with_max_connections(1)).with_max_requests_per_connection(2);
    for serving in [Serving::Serial, Serving::Concurrent] {
        let mut bench = Bench::with(serving, cluster().with_limits(limits));
        let calls: Vec<Call> = (0..5).map(|n| bench.call(REQUEST, n, &n.to_string())).collect();
        let mut calls = calls.into_iter();
        for most in [2, 2, 1] {
            let mut server = bench.server().await;
            for _ in 0..most {
                server.echo().await;
                answer(calls.next().expect("five")).await;
            }
            assert_eq!(server.is_closed().await, most == 2);
            if most == 1 {
                let sixth = bench.call(REQUEST, 6, "sixth");
                server.echo().await;
                assert_eq!(answer(sixth).await.1, "sixth");
                assert!(server.is_closed().await);
            }
        }
        assert_eq!((bench.count("upstream_cx_max_requests"), bench.count("upstream_cx_active")), (3, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_served_for_long_finishes_what_it_has() {
    let limits = ClusterLimits::default().with_max_connection_duration(Duration::from_secs(40));
    let mut bench = Bench::with(Serving::Concurrent, cluster().with_limits(limits));
    let slow = bench.call(REQUEST, 1, "slow");
    let mut server = bench.server().await;
    let (_, id, _) = server.read().await;
    tokio::time::sleep(Duration::from_secs(41)).await;
    let next = bench.call(REQUEST, 2, "next");
    bench.server().await.echo().await;
    assert_eq!(answer(next).await.1, "next");
    server.write(RESPONSE, id, "at last").await;
    assert_eq!(answer(slow).await.1, "at last");
    assert!(server.is_closed().await);
    assert_eq!(bench.count("upstream_cx_max_duration_reached"), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_gets_a_new_connection_when_the_old_one_dies() {
    let mut bench = Bench::with(Serving::Serial, limited(1, 10));
    let lost = bench.call(REQUEST, 1, "lost");
    let mut server = bench.server().await;
    server.read().await;
    let waiting = bench.call(REQUEST, 2, "waiting");
    settle().await;
    drop(server);
    assert_eq!(failure(lost).await.0, Reason::UpstreamClosed);
    bench.server().await.echo().await;
    assert_eq!(answer(waiting).await.1, "waiting");
}

#[tokio::test(start_paused = true)]
async fn who_waits_fails_when_no_connection_can_be_made() {
    let bench = Bench::with(Serving::Serial, limited(1, 10));
    bench.set_mode(Mode::Refuse);
    let calls: Vec<Call> = (0..5).map(|n| bench.call(REQUEST, n, "x")).collect();
    for call in calls {
        assert_eq!(failure(call).await.0, Reason::ConnectFailure);
    }
    assert_eq!(bench.count("upstream_rq_pending_active"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_place_in_the_queue_can_be_given_up_at_any_time() {
    let mut bench = Bench::with(Serving::Serial, limited(1, 10));
    let first = bench.call(REQUEST, 1, "first");
    let mut server = bench.server().await;
    server.read().await;
    let waiting: Vec<Call> = (2..5).map(|n| bench.call(REQUEST, n, &n.to_string())).collect();
    settle().await;
    waiting[0].abort();
    waiting[2].abort();
    settle().await;
    assert_eq!(bench.count("upstream_rq_pending_active"), 1);
    first.abort(); // unanswered: its serial connection cannot be used again
    assert!(server.is_closed().await);
    bench.server().await.echo().await;
    assert_eq!(answer(waiting.into_iter().nth(1).expect("three")).await.1, "3");
}

#[tokio::test(start_paused = true)]
async fn workers_share_the_limits() {
    let mut bench = Bench::with(Serving::Serial, limited(2, 10));
    let sibling = bench.clusters.sibling(Context::new().with_connector(Arc::clone(&bench.pipes) as Arc<dyn Connector>));
    sibling.update([limited(2, 10)]);
    let _calls: Vec<Call> = (0..2).map(|n| bench.call(REQUEST, n, "x")).collect();
    let _servers = [bench.server().await, bench.server().await];
    let cluster = sibling.get("c").expect("configured");
    let _own = tokio::spawn(cluster.forward(bench.request(frame(REQUEST, 3, b"y"))));
    let _first = bench.server().await; // one connection a pool there is always
    let _more = tokio::spawn(cluster.forward(bench.request(frame(REQUEST, 4, b"z"))));
    bench.no_server().await;
    assert_eq!(cluster.stats().upstream_rq_pending_active.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_dropped_and_its_slot_is_used_again() {
    let mut bench = Bench::with(Serving::Concurrent, cluster().with_depth(4));
    let call = bench.call(REQUEST, 1, "given up");
    let mut server = bench.server().await;
    let (_, late, _) = server.read().await;
    call.abort();
    settle().await;
    assert_eq!(bench.count("upstream_rq_cancelled"), 1);

    let call = bench.call(REQUEST, 2, "next");
    let (_, id, _) = server.read().await;
    assert_ne!(id, late);
    server.write(RESPONSE, late, "late").await;
    server.write(RESPONSE, id, "in time").await;
    assert_eq!(answer(call).await, (2, "in time".to_owned()));
    assert_eq!((bench.count("upstream_rs_late"), bench.count("upstream_cx_active")), (1, 1));

    let calls: Vec<Call> = (0..4).map(|n| bench.call(REQUEST, n, "x")).collect();
    for call in calls {
        server.echo().await;
        answer(call).await;
    }
    bench.no_server().await;
}

#[tokio::test(start_paused = true)]
async fn too_many_late_answers_retire_the_connection() {
    let mut bench = Bench::with(Serving::Concurrent, cluster().with_depth(4));
    let kept = bench.call(REQUEST, 9, "kept");
    let mut server = bench.server().await;
    let (_, kept_id, _) = server.read().await;
    for n in 0..3 {
        let call = bench.call(REQUEST, n, "given up");
        server.read().await;
        call.abort();
        settle().await;
    }
    let next = bench.call(REQUEST, 5, "next");
    bench.server().await.echo().await;
    assert_eq!(answer(next).await.1, "next");
    server.write(RESPONSE, kept_id, "still answered").await;
    assert_eq!(answer(kept).await, (9, "still answered".to_owned()));
    assert!(server.is_closed().await);
    assert_eq!(bench.count("upstream_cx_retired"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_given_up_before_it_was_written_is_not_sent() {
    let mut bench = Bench::new(Serving::Concurrent);
    let mut gone = bench.clusters.get("c").expect("configured").forward(bench.request(frame(REQUEST, 1, b"gone")));
    assert!((&mut gone).now_or_never().is_none());
    let stays = bench.call(REQUEST, 2, "stays");
    drop(gone); // it is queued, but the driver has not run
    let mut server = bench.server().await;
    assert_eq!(server.read().await.2, "stays");
    assert!(server.is_silent().await);
    stays.abort();
}

#[tokio::test(start_paused = true)]
async fn reading_stops_while_callers_do_not_take_their_answers() {
    let mut bench = Bench::new(Serving::Concurrent);
    let cluster = bench.clusters.get("c").expect("configured");
    let mut calls: Vec<_> = (0..10).map(|n| cluster.forward(bench.request(frame(REQUEST, n, b"x")))).collect();
    for call in &mut calls {
        assert!(call.now_or_never().is_none());
    }
    let mut server = bench.server().await;
    let large = "l".repeat(700_000);
    let mut written = 0;
    for _ in 0..10 {
        let (_, id, _) = server.read().await;
        let answer = frame(RESPONSE, id, large.as_bytes());
        let mut write = std::pin::pin!(server.0.write_all(&answer));
        if tokio::time::timeout(Duration::from_secs(1), &mut write).await.is_err() {
            break;
        }
        written += 1;
    }
    assert!((2..6).contains(&written), "{written} of ten answers were taken in, nobody having asked for one");
    let counted =
        || ["paused", "resumed"].map(|what| bench.count(&format!("upstream_flow_control_{what}_reading_total")));
    assert_eq!(counted(), [1, 0]);
    calls.retain_mut(|call| call.now_or_never().is_none());
    settle().await;
    assert_eq!(counted(), [1, 1], "callers have taken what there was");
}

#[tokio::test(start_paused = true)]
async fn large_requests_that_a_server_does_not_take_are_given_up_with_their_callers() {
    let mut bench = Bench::new(Serving::Concurrent);
    let large = "l".repeat(900_000);
    let calls: Vec<Call> = (0..6).map(|n| bench.call(REQUEST, n, &large)).collect();
    let mut server = bench.server().await;
    settle().await;
    calls.iter().for_each(Call::abort);
    settle().await;
    let last = bench.call(REQUEST, 7, "last");
    for _ in 0..2 {
        assert_eq!(server.read().await.2.len(), large.len(), "what was begun");
    }
    server.echo().await;
    assert_eq!(answer(last).await, (7, "last".to_owned()));
}
