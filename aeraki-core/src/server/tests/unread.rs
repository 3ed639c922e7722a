//! Clients that do not take their answers.

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::stack::BoxError;

/// Leaves a client with more answers than its pipe takes.
pub(super) async fn stuff(fixture: &mut Fixture) {
    fixture.send("Q 1 a\n").await;
    let (request, responder) = fixture.request().await;
    responder.send_response(answer(&request, &format!("R {}", "long".repeat(17_000))));
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_nobody_reads_do_not_hold_a_full_budget_for_ever() {
    for before in [99_000, 0] {
        let budget = Budget::new(100_000);
        let shared = budget.clone();
        let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_budget(shared));
        let mut other = budget.charge();
        other.set(before);
        fixture.send("Q 2 b\n").await;
        let _never_answered = fixture.request().await;
        stuff(&mut fixture).await;
        let start = Instant::now();
        other.set(99_000);
        timeout(Duration::from_secs(60), &mut fixture.served).await.expect("it is cut").expect("no panic");
        assert!(start.elapsed() <= Duration::from_secs(20), "{:?}", start.elapsed());
        assert_eq!((budget.used(), fixture.count("tx_flush_timeout")), (99_000, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_no_harm_while_there_is_room() {
    let mut fixture = Fixture::new(Lines::new(Replies::AnyOrder));
    stuff(&mut fixture).await;
    sleep(Duration::from_secs(3600)).await;
    let mut answer = vec![0; 68_004];
    fixture.client.read_exact(&mut answer).await.expect("the whole answer");
    assert_eq!(fixture.count("response"), 1);
}

/// A client whose pipe takes 64 KiB, with a bound of 10 kB and a budget of 100 kB.
fn bounded() -> (Fixture, Budget) {
    let budget = Budget::new(100_000);
    let limits = ListenerLimits::default().with_max_buffered_bytes(10_000);
    let adjust = |rpc: Rpc<Stack>| rpc.with_budget(budget.clone()).with_limits(limits);
    (Fixture::with(Lines::new(Replies::AnyOrder), adjust), budget)
}

#[tokio::test(start_paused = true)]
async fn more_than_one_answer_that_nobody_reads_is_too_much_once_memory_is_short() {
    let (mut fixture, budget) = bounded();
    fixture.send("Q 1 a\nQ 2 b\nQ 3 c\n").await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(fixture.request().await);
    }
    let start = Instant::now();
    for (request, responder) in answers {
        assert!(!fixture.served.is_finished());
        responder.send_response(answer(&request, &format!("R {}", "x".repeat(60_000))));
        sleep(Duration::from_millis(1)).await;
    }
    (&mut fixture.served).await.expect("no panic");
    assert!(start.elapsed() < Duration::from_millis(10), "{:?}", start.elapsed());
    assert_eq!((fixture.count("outbound_flood"), fixture.count("cx_destroy_local_with_active_rq")), (1, 2));
    assert_eq!(budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn answers_that_wait_for_an_earlier_one_are_no_flood_while_there_is_any_memory() {
    for (others, flood) in [(50_000, 0), (100_000, 1)] {
        let budget = Budget::new(100_000);
        let limits = ListenerLimits::default().with_max_buffered_bytes(10_000);
        let adjust = |rpc: Rpc<Stack>| rpc.with_budget(budget.clone()).with_limits(limits);
        let mut fixture = Fixture::with(Lines::new(Replies::InOrder), adjust);
        let mut other = budget.charge();
        other.set(others);
        fixture.send("Q 1 a\nQ 2 b\nQ 3 c\n").await;
        let (first, first_answer) = fixture.request().await;
        for _ in 0..2 {
            let (request, responder) = fixture.request().await;
            responder.send_response(answer(&request, &format!("R {}", "x".repeat(60_000))));
        }
        sleep(Duration::from_secs(100)).await;
        assert_eq!(fixture.count("outbound_flood"), flood, "{others}");
        if flood == 0 {
            // more falls due at once than its pipe takes
            first_answer.send_response(answer(&first, "R one"));
            let long = "x".repeat(60_000);
            fixture.expect(&format!("R 1 one\nR 2 {long}\nR 3 {long}\n")).await;
        }
    }
}

/// Leaves a client with one answer of 150 kB, of which its pipe takes 64 KiB, while others hold so much.
async fn large(others: usize) -> (Fixture, impl Drop) {
    let (mut fixture, budget) = bounded();
    let mut other = budget.charge();
    fixture.send("Q 1 a\n").await;
    let (request, responder) = fixture.request().await;
    other.set(others);
    responder.send_response(answer(&request, &format!("R {}", "x".repeat(150_000))));
    (fixture, other)
}

#[tokio::test(start_paused = true)]
async fn an_answer_takes_its_memory_until_its_last_byte_is_gone() {
    let budget = Budget::new(1 << 20);
    let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_budget(budget.clone()));
    stuff(&mut fixture).await;
    assert!((68_004..69_000).contains(&budget.used()), "{}", budget.used());
    fixture.client.read_exact(&mut [0; 1000]).await.expect("the beginning");
    sleep(Duration::from_millis(1)).await;
    assert!((68_004..69_000).contains(&budget.used()), "{}", budget.used());
    fixture.client.read_exact(&mut [0; 67_004]).await.expect("the rest");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_large_answer_passes_while_memory_is_short() {
    let (mut fixture, _other) = large(40_000).await;
    sleep(Duration::from_secs(4)).await;
    fixture.expect(&format!("R 1 {}\n", "x".repeat(150_000))).await;
}

#[tokio::test(start_paused = true)]
async fn one_large_answer_must_be_taken_the_sooner_the_shorter_memory_is() {
    for (others, seconds, reason) in
        [(100_000, 0, "outbound_flood"), (40_000, 5, "tx_flush_timeout"), (0, 5, "tx_flush_timeout")]
    {
        let (mut fixture, _other) = large(others).await;
        let start = Instant::now();
        timeout(Duration::from_secs(100), &mut fixture.served).await.expect("it is cut").expect("no panic");
        assert_eq!((start.elapsed().as_secs(), fixture.count(reason)), (seconds, 1), "{others}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_bytes_now_and_then_are_not_enough_while_memory_is_short() {
    let (mut fixture, _other) = large(40_000).await;
    let start = Instant::now();
    while !fixture.served.is_finished() && start.elapsed() < Duration::from_secs(100) {
        sleep(Duration::from_millis(500)).await;
        fixture.client.read_exact(&mut [0; 100]).await.expect("more is there");
    }
    assert_eq!((start.elapsed().as_secs(), fixture.count("tx_flush_timeout")), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn who_takes_something_all_the_time_is_served_while_there_is_room() {
    let limits = ListenerLimits::default().with_max_buffered_bytes(10_000);
    let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_limits(limits));
    fixture.send("Q 1 a\n").await;
    let (request, responder) = fixture.request().await;
    responder.send_response(answer(&request, &format!("R {}", "x".repeat(200_000))));
    for _ in 0..10 {
        sleep(Duration::from_secs(50)).await;
        fixture.client.read_exact(&mut [0; 10_000]).await.expect("more is there");
    }
    let start = Instant::now();
    timeout(Duration::from_secs(100), &mut fixture.served).await.expect("it is cut").expect("no panic");
    assert_eq!((start.elapsed().as_secs(), fixture.count("tx_flush_timeout")), (60, 1));
}

/// Answers everything with 256 KiB, and `small` with little.
async fn serve(request: Request) -> Result<Response, BoxError> {
    let len = if request.message.attr("method") == Some(b"small") { 1 } else { 256 << 10 };
    tokio::task::yield_now().await;
    Ok(answer(&request, &format!("R {}", "x".repeat(len))))
}

#[tokio::test]
async fn clients_that_ask_for_much_and_read_nothing_neither_fill_the_memory_nor_stop_others() {
    const LIMIT: usize = 16 << 20;
    let budget = Budget::new(LIMIT as u64);
    let rules = Arc::new(SharedRules::new(Rules::empty().with_demand(&Demand::of(["method"]))));
    let stack = RespondLayer::new().layer(ObserveLayer::new().layer(tower::service_fn(serve)));
    let metrics = Metrics::new("lines", "test");
    let rpc =
        Rpc::new("test", Lines::new(Replies::AnyOrder), rules, Arc::clone(&metrics), stack).with_budget(budget.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.expect("connections");
            tokio::spawn(rpc.serve(Box::new(stream), Accepted::new(peer, address), Drain::new()));
        }
    });
    let mut other = TcpStream::connect(address).await.expect("it listens");
    let mut greedy = Vec::new();
    for _ in 0..8 {
        let mut client = TcpStream::connect(address).await.expect("it listens");
        client.write_all("Q 1 large\n".repeat(128).as_bytes()).await.expect("the connection is open");
        greedy.push(client);
    }
    let (mut most, start) = (0, Instant::now());
    while metrics.counters.outbound_flood.get() < 8 {
        other.write_all(b"Q 1 small\n").await.expect("the connection is open");
        let mut got = [0; 6];
        timeout(Duration::from_secs(5), other.read_exact(&mut got)).await.expect("soon").expect("an answer");
        assert_eq!(&got, b"R 1 x\n");
        most = most.max(budget.used());
        assert!(start.elapsed() < Duration::from_secs(60), "memory is held");
    }
    assert!(most as usize <= LIMIT + (2 << 20), "{most}");
}
