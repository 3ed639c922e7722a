//! What a request costs.

use super::*;

#[tokio::test(start_paused = true)]
async fn all_requests_of_a_turn_are_one_write() {
    let mut bench = Bench::new(Serving::Concurrent);
    let first = bench.call(REQUEST, 0, "first");
    let mut server = bench.server().await;
    server.echo().await;
    answer(first).await;
    assert_eq!(bench.pipes.writes.swap(0, Relaxed), 1);

    let calls: Vec<Call> = (0..50).map(|n| bench.call(REQUEST, n, "x")).collect();
    settle().await;
    assert_eq!(bench.pipes.writes.load(Relaxed), 1);
    for call in calls {
        server.echo().await;
        answer(call).await;
    }
}

#[test]
fn a_request_allocates_nothing() {
    const REQUESTS: u64 = 1000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut bench = runtime.block_on(async { Bench::new(Serving::Concurrent) });
    let cluster = bench.clusters.get("c").expect("configured");
    let mut server: Option<Server> = None;
    let mut exchange = |requests: Vec<Request>| {
        let cluster = &cluster;
        runtime.block_on(async {
            for request in requests {
                let mut call = cluster.forward(request);
                assert!((&mut call).now_or_never().is_none());
                let server = match &mut server {
                    Some(server) => server,
                    none => none.insert(bench.server().await),
                };
                let mut frame = [0; 10];
                server.0.read_exact(&mut frame).await.expect("a request");
                frame[4] = RESPONSE;
                server.0.write_all(&frame).await.expect("open");
                call.await.expect("an answer");
            }
        });
    };
    let nowhere = conn(Serving::Concurrent);
    let requests = || (0..REQUESTS).map(|_| request(&nowhere, frame(REQUEST, 1, b"x"))).collect::<Vec<_>>();
    exchange(requests());
    let requests = requests();
    let counted = allocation_counter::measure(|| exchange(requests));
    assert!(counted.count_total <= REQUESTS / 10, "{counted:?}");
}
