//! Connections over an in-memory pipe, with time standing still until everybody waits.

mod lazy;
mod memory;
mod property;
mod streams;
mod unread;

use std::{sync::Arc, time::Duration};

use aeraki_codec::{Demand, LocalReply, Message, Reason, Replies};
use aeraki_route::{Rules, SharedRules, config::ListenerLimits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower_layer::Layer;
use tower_test::mock::{self, SendResponse};

use self::unread::stuff;
use super::{Accepted, Budget, Drain, Rpc, Serve};
use crate::{
    io::Io,
    observe::Metrics,
    stack::{ObserveLayer, Request, RespondLayer, Response},
    testing::Lines,
};

/// A client, and the stack behind the connection in the hands of the test.
struct Fixture {
    client: DuplexStream,
    stack: mock::Handle<Request, Response>,
    metrics: Arc<Metrics>,
    rules: Arc<SharedRules>,
    drain: Drain,
    served: JoinHandle<()>,
}

impl Fixture {
    fn new(protocol: Arc<Lines>) -> Self {
        Self::with(protocol, |rpc| rpc)
    }

    fn with<F>(protocol: Arc<Lines>, adjust: F) -> Self
    where
        F: FnOnce(Rpc<Stack>) -> Rpc<Stack>,
    {
        let (client, server) = tokio::io::duplex(64 * 1024);
        Self::on(client, Box::new(server), protocol, adjust)
    }

    /// Serves the other end of the client's pipe.
    fn on<F>(client: DuplexStream, server: Box<dyn Io>, protocol: Arc<Lines>, adjust: F) -> Self
    where
        F: FnOnce(Rpc<Stack>) -> Rpc<Stack>,
    {
        let (mock, mut stack) = mock::pair();
        stack.allow(1000);
        let metrics = Metrics::new("lines", "test");
        let rules = Arc::new(SharedRules::new(Rules::empty().with_demand(&Demand::of(["method"]))));
        let layered = RespondLayer::new().layer(ObserveLayer::new().layer(mock));
        let rpc = adjust(Rpc::new("test", protocol, Arc::clone(&rules), Arc::clone(&metrics), layered));
        let drain = Drain::new();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let served = tokio::spawn(rpc.serve(server, Accepted::new(address, address), drain.clone()));
        Self { client, stack, metrics, rules, drain, served }
    }

    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.expect("the connection is open");
    }

    /// Reads exactly what is expected.
    async fn expect(&mut self, text: &str) {
        let mut got = vec![0; text.len()];
        self.client.read_exact(&mut got).await.expect("as many bytes as expected");
        assert_eq!(String::from_utf8_lossy(&got), text);
    }

    /// Reads to the end.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.client.read_to_string(&mut rest).await.expect("text");
        rest
    }

    async fn request(&mut self) -> (Request, SendResponse<Response>) {
        self.stack.next_request().await.expect("the stack is called")
    }

    /// Asserts that nothing more reaches the stack or the client, however long they wait.
    async fn expect_silence(&mut self) {
        let mut byte = [0];
        tokio::select! {
            biased;
            request = self.stack.next_request() => panic!("{:?}", request.map(|(request, _)| request)),
            read = self.client.read(&mut byte) => panic!("{read:?} {byte:?}"),
            () = sleep(Duration::from_millis(50)) => {}
        }
    }

    fn count(&self, name: &str) -> u64 {
        let mut samples = crate::observe::Samples::default();
        crate::observe::Collect::collect(&*self.metrics, &mut samples);
        match samples.get(&format!("meta_protocol.lines.test.{name}")) {
            Some(crate::observe::Value::Counter(count)) => count,
            Some(crate::observe::Value::Gauge(count)) => u64::try_from(count).expect("never negative"),
            Some(crate::observe::Value::Histogram(seen)) => seen.count(),
            None => panic!("no metric {name}"),
        }
    }
}

type Stack = crate::stack::Respond<crate::stack::Observe<mock::Mock<Request, Response>>>;

/// Makes the upstream's answer to a request, under a strange id as a shared connection would give it.
fn answer(request: &Request, text: &str) -> Response {
    let mut framer = aeraki_codec::Framer::new(aeraki_codec::Protocol::codec(
        &*Lines::new(Replies::AnyOrder),
        aeraki_codec::Role::Client,
        &aeraki_codec::Limits::default(),
    ));
    let line = format!("{text}\n").replacen(' ', &format!(" {} ", request.message.id().number() + 1000), 1);
    let mut input = bytes::BytesMut::from(line.as_bytes());
    match framer.decode(&mut input, &Demand::none()) {
        Ok(aeraki_codec::Decoded::Message(message)) => Response::Message(message.into()),
        other => panic!("{other:?}"),
    }
}

fn text(message: &Message) -> &str {
    std::str::from_utf8(message.frame()).expect("text").trim_end()
}

#[tokio::test(start_paused = true)]
async fn answers_leave_as_they_come_under_their_own_ids() {
    let mut fixture = Fixture::new(Lines::new(Replies::AnyOrder));
    fixture.send("Q 7 a\nQ 8 b\n").await;
    let (first, first_answer) = fixture.request().await;
    let (second, second_answer) = fixture.request().await;
    assert_eq!((text(&first.message), text(&second.message)), ("Q 7 a", "Q 8 b"));
    assert_eq!(first.message.attr("method"), Some(&b"a"[..]));
    second_answer.send_response(answer(&second, "R two"));
    fixture.expect("R 8 two\n").await;
    first_answer.send_response(answer(&first, "R one"));
    fixture.expect("R 7 one\n").await;
    assert_eq!((fixture.count("response"), fixture.count("response_success")), (2, 2));
    assert_eq!((fixture.count("request_twoway"), fixture.count("request_active")), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn answers_wait_for_earlier_ones_where_clients_expect_order() {
    let mut fixture = Fixture::new(Lines::new(Replies::InOrder));
    fixture.send("Q 7 a\nO 8 b\nX 9 bad\nQ 10 c\n").await;
    let (first, first_answer) = fixture.request().await;
    let (_, oneway) = fixture.request().await;
    let (third, third_answer) = fixture.request().await;
    third_answer.send_response(answer(&third, "R three"));
    oneway.send_response(Response::Oneway);
    fixture.expect_silence().await;
    first_answer.send_response(answer(&first, "R one"));
    fixture.expect("R 7 one\nE 9 bad_request\nR 10 three\n").await;
    assert_eq!((fixture.count("request"), fixture.count("request_oneway")), (4, 1));
    assert_eq!(fixture.count("request_time_ms"), 4);
}

#[tokio::test(start_paused = true)]
async fn stops_reading_at_the_bound_and_goes_on_writing() {
    let limits = ListenerLimits::default().with_max_requests_in_flight(2);
    let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_limits(limits));
    fixture.send("Q 1 a\nQ 2 b\nQ 3 c\n").await;
    let (first, first_answer) = fixture.request().await;
    let _second = fixture.request().await;
    fixture.expect_silence().await;
    assert_eq!(fixture.count("read_paused"), 1);
    first_answer.send_response(answer(&first, "R one"));
    fixture.expect("R 1 one\n").await;
    assert_eq!(text(&fixture.request().await.0.message), "Q 3 c");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_an_earlier_answer_is_still_in_flight() {
    let limits = ListenerLimits::default().with_max_requests_in_flight(2);
    let mut fixture = Fixture::with(Lines::new(Replies::InOrder), |rpc| rpc.with_limits(limits));
    fixture.send("Q 1 a\nO 2 b\nO 3 c\n").await;
    let (first, first_answer) = fixture.request().await;
    fixture.request().await.1.send_response(Response::Oneway);
    fixture.expect_silence().await;
    first_answer.send_response(answer(&first, "R one"));
    fixture.expect("R 1 one\n").await;
    assert_eq!(text(&fixture.request().await.0.message), "O 3 c");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_not_read() {
    let limits = ListenerLimits::default().with_max_buffered_bytes(1000);
    let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_limits(limits));
    let long = "x".repeat(10_000);
    let mut taken = 0;
    loop {
        fixture.send("Q 1 a\n").await;
        let Ok(called) = timeout(Duration::from_millis(10), fixture.stack.next_request()).await else { break };
        let (request, responder) = called.expect("the stack is called");
        responder.send_response(answer(&request, &format!("R {long}")));
        taken += 1;
        assert!(taken < 20, "reading never stopped");
    }
    assert!(taken >= 6, "{taken}");
    for _ in 0..taken {
        fixture.expect(&format!("R 1 {long}\n")).await;
    }
    assert_eq!(text(&fixture.request().await.0.message), "Q 1 a");
}

#[tokio::test(start_paused = true)]
async fn a_full_budget_pauses_reading_until_it_has_room() {
    let budget = Budget::new(100);
    let shared = budget.clone();
    let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_budget(shared));
    let mut other = budget.charge();
    other.set(101);
    fixture.send("Q 1 a\n").await;
    fixture.expect_silence().await;
    other.set(0);
    let (request, responder) = fixture.request().await;
    responder.send_response(answer(&request, "R one"));
    fixture.expect("R 1 one\n").await;
    drop(fixture);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_frame_does_not_hold_a_full_budget_for_ever() {
    let budget = Budget::new(100);
    let shared = budget.clone();
    let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_budget(shared));
    let mut other = budget.charge();
    other.set(99);
    fixture.send("Q 1 ").await;
    let start = Instant::now();
    assert_eq!(fixture.rest().await, "");
    assert_eq!((start.elapsed().as_secs(), fixture.count("idle_timeout")), (10, 1));
    fixture.served.await.expect("no panic");
    assert_eq!(budget.used(), 99);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_comes_byte_by_byte_does_not_hold_a_full_budget_for_ever() {
    // little enough that it is read all the same
    let budget = Budget::new(1 << 20);
    let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_budget(budget.clone()));
    let mut other = budget.charge();
    other.set((1 << 20) + 1);
    let start = Instant::now();
    fixture.send("Q 1 a\nQ 2 ").await;
    let (request, responder) = fixture.request().await;
    responder.send_response(answer(&request, "R one"));
    for _ in 0..4 {
        sleep(Duration::from_secs(2)).await;
        fixture.send("x").await;
    }
    assert_eq!(fixture.rest().await, "R 1 one\n");
    assert_eq!((start.elapsed().as_secs(), fixture.count("idle_timeout")), (10, 1));
}

#[tokio::test]
async fn a_client_that_sends_much_at_once_leaves_others_their_turn() {
    let mut fixture = Fixture::new(Lines::new(Replies::AnyOrder));
    fixture.send(&"H 2\n".repeat(2000)).await;
    let others = tokio::spawn(async move {
        let (mut events, mut turns) = (0, 0);
        while events < 2000 {
            let before = std::mem::replace(&mut events, fixture.count("request_event"));
            assert!(events - before <= 256, "{}", events - before);
            turns += u32::from(events > before);
            let mut waited = false;
            std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if std::mem::replace(&mut waited, true) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
        }
        turns
    });
    assert_eq!(others.await.expect("no panic"), 8);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_large_frame_does_not_hold_it_behind_a_request_either() {
    for (len, cut) in [(20_000, true), (1000, false)] {
        let budget = Budget::new(100_000);
        let shared = budget.clone();
        let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_budget(shared));
        fixture.send("Q 1 a\n").await;
        let _never_answered = fixture.request().await;
        fixture.send(&format!("Q 2 {}", "x".repeat(len))).await;
        sleep(Duration::from_millis(1)).await;
        let mut other = budget.charge();
        other.set(100_000);
        sleep(Duration::from_secs(11)).await;
        assert_eq!((fixture.served.is_finished(), fixture.count("idle_timeout")), (cut, u64::from(cut)), "{len}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_is_noticed_though_nothing_is_read_of_it() {
    let limits = ListenerLimits::default().with_max_requests_in_flight(1);
    for finishes in [false, true] {
        let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_limits(limits));
        fixture.send("Q 1 a\n").await;
        let _never_answered = fixture.request().await;
        if finishes {
            fixture.client.shutdown().await.expect("the connection is open");
        } else {
            fixture.send("Q 2 b\n").await;
        }
        sleep(Duration::from_secs(100)).await;
        assert!(!fixture.served.is_finished(), "it waits for its answer");
        fixture.client = tokio::io::duplex(1).0;
        timeout(Duration::from_secs(2), &mut fixture.served).await.expect("it is noticed").expect("no panic");
        assert_eq!((fixture.count("cx_destroy_remote_with_active_rq"), fixture.count("request_active")), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn last_answers_that_nobody_reads_are_given_up() {
    let mut fixture = Fixture::new(Lines::new(Replies::AnyOrder));
    stuff(&mut fixture).await;
    fixture.send("!").await;
    timeout(Duration::from_secs(100), &mut fixture.served).await.expect("it is cut").expect("no panic");
    assert_eq!((fixture.count("request_active"), fixture.count("idle_timeout")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn small_answers_that_nobody_reads_are_held_with_what_is_known_of_them() {
    let limits = ListenerLimits::default().with_max_buffered_bytes(10_000).with_max_requests_in_flight(4);
    let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_limits(limits));
    stuff(&mut fixture).await;
    fixture.send(&"Q 1 a\n".repeat(500)).await;
    let mut taken = 0;
    while let Ok((request, responder)) = timeout(Duration::from_millis(1), fixture.request()).await {
        responder.send_response(answer(&request, "R x"));
        taken += 1;
    }
    assert!((1..50).contains(&taken), "{taken} requests");
}

#[tokio::test(start_paused = true)]
async fn a_frame_beyond_the_limit_is_refused() {
    let limits = ListenerLimits::default().with_max_frame_bytes(20);
    let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_limits(limits));
    fixture.send("Q 1 a\nQ 2 much too long for this").await;
    let (request, responder) = fixture.request().await;
    responder.send_response(answer(&request, "R one"));
    assert_eq!(fixture.rest().await, "R 1 one\n");
    assert_eq!(fixture.count("decode_error.frame_too_large"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_finished_still_gets_its_answers() {
    let mut fixture = Fixture::new(Lines::new(Replies::AnyOrder));
    fixture.send("Q 1 a\nQ 2 b\n").await;
    fixture.client.shutdown().await.expect("the connection is open");
    let (first, first_answer) = fixture.request().await;
    let (second, second_answer) = fixture.request().await;
    sleep(Duration::from_secs(10)).await;
    first_answer.send_response(answer(&first, "R one"));
    second_answer.send_response(answer(&second, "R two"));
    assert_eq!(fixture.rest().await, "R 1 one\nR 2 two\n");
    (&mut fixture.served).await.expect("no panic");
    assert_eq!(fixture.count("cx_destroy_remote_with_active_rq"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_frame_at_the_end_is_counted() {
    let mut fixture = Fixture::new(Lines::new(Replies::AnyOrder));
    fixture.send("Q 1").await;
    fixture.client.shutdown().await.expect("the connection is open");
    assert_eq!(fixture.rest().await, "");
    assert_eq!(fixture.count("decode_error.incomplete"), 1);
}

#[tokio::test(start_paused = true)]
async fn is_idle_only_when_idle() {
    let idle = Some(Duration::from_secs(5));
    let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_idle_timeout(idle));
    fixture.send("Q 1 a\n").await;
    let (request, responder) = fixture.request().await;
    sleep(Duration::from_secs(60)).await;
    responder.send_response(answer(&request, "R one"));
    fixture.expect("R 1 one\n").await;
    sleep(Duration::from_secs(4)).await;
    fixture.send("H 2\n").await;
    fixture.expect("H 2\n").await;
    let quiet_since = Instant::now();
    assert_eq!(fixture.rest().await, "");
    assert_eq!(quiet_since.elapsed().as_secs(), 5);
    assert_eq!((fixture.count("idle_timeout"), fixture.count("request_event")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_frame_does_not_stay_away_for_ever() {
    let mut fixture = Fixture::new(Lines::new(Replies::AnyOrder));
    sleep(Duration::from_secs(3600)).await;
    fixture.send("Q 1 a\nQ 2").await;
    let (request, responder) = fixture.request().await;
    sleep(Duration::from_secs(600)).await;
    responder.send_response(answer(&request, "R one"));
    fixture.expect("R 1 one\n").await;
    let answered = Instant::now();
    sleep(Duration::from_secs(59)).await;
    fixture.send(" ").await;
    assert_eq!(fixture.rest().await, "");
    assert_eq!(answered.elapsed().as_secs(), 60);
    assert_eq!((fixture.count("unfinished_frame_timeout"), fixture.count("idle_timeout")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_comes_at_a_least_rate_has_time() {
    let limits = ListenerLimits::default().with_unfinished_frame_timeout(Some(Duration::from_secs(5)));
    let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_limits(limits));
    let start = Instant::now();
    fixture.send("Q 1 ").await;
    for _ in 0..10 {
        sleep(Duration::from_secs(1)).await;
        fixture.send(&"x".repeat(64 * 1024)).await;
    }
    assert!(!fixture.served.is_finished());
    for _ in 0..5 {
        sleep(Duration::from_millis(900)).await;
        fixture.send("x").await;
    }
    assert_eq!(fixture.rest().await, "");
    assert_eq!(start.elapsed().as_secs(), 10 + 5);
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_frame_may_stay_away_where_no_limit_is_set() {
    let limits = ListenerLimits::default().with_unfinished_frame_timeout(None);
    let mut fixture = Fixture::with(Lines::new(Replies::AnyOrder), |rpc| rpc.with_limits(limits));
    fixture.send("Q 1").await;
    sleep(Duration::from_secs(3600)).await;
    fixture.send(" a\n").await;
    assert_eq!(text(&fixture.request().await.0.message), "Q 1 a");
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_frame_that_is_not_read_does_not_stay_away() {
    let mut fixture = Fixture::new(Lines::new(Replies::AnyOrder));
    fixture.stack.allow(1);
    fixture.send("Q 1").await;
    fixture.expect_silence().await;
    fixture.send(" a\nQ 2").await;
    let (request, responder) = fixture.request().await;
    responder.send_response(answer(&request, "R one"));
    fixture.expect("R 1 one\n").await;
    fixture.send(" b\n").await;
    sleep(Duration::from_secs(3600)).await;
    fixture.stack.allow(1);
    assert_eq!(text(&fixture.request().await.0.message), "Q 2 b");
}

#[tokio::test(start_paused = true)]
async fn what_has_no_place_is_counted_and_dropped() {
    let mut fixture = Fixture::new(Lines::new(Replies::AnyOrder));
    fixture.send("R 1 stray\nE 2 stray\nV 3 event\nX 4 bad\nQ 5 a\n").await;
    fixture.expect("E 4 bad_request\n").await;
    assert_eq!(text(&fixture.request().await.0.message), "Q 5 a");
    assert_eq!((fixture.count("request_stray"), fixture.count("request_event")), (2, 1));
    assert_eq!((fixture.count("decode_error.bad_message_type"), fixture.count("local_reply.bad_request")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_id_cannot_be_answered() {
    let mut fixture = Fixture::new(Lines::new(Replies::AnyOrder));
    fixture.send("Q 1 a\nQ nothing\nQ 2 b\n").await;
    let (request, responder) = fixture.request().await;
    fixture.expect("E 0 bad_request\n").await;
    responder.send_response(answer(&request, "R one"));
    assert_eq!(fixture.rest().await, "R 1 one\n");
}

#[tokio::test(start_paused = true)]
async fn lost_framing_ends_the_connection_behind_the_pending_answers() {
    let mut fixture = Fixture::new(Lines::new(Replies::AnyOrder));
    fixture.send("Q 1 a\n!!!\nQ 2 b\n").await;
    let (request, responder) = fixture.request().await;
    fixture.expect_silence().await;
    responder.send_response(answer(&request, "R one"));
    assert_eq!(fixture.rest().await, "R 1 one\n");
    assert_eq!(fixture.count("decode_error.bad_magic"), 1);
    assert_eq!(fixture.count("request"), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_that_cannot_be_written_become_local_ones() {
    let mut fixture = Fixture::new(Lines::new(Replies::AnyOrder));
    fixture.send("Q 1 a\nQ 2 b\nQ 3 c\n").await;
    let (request, responder) = fixture.request().await;
    responder.send_response(answer(&request, "R unwritable"));
    fixture.expect("E 1 bad_response\n").await;
    fixture.request().await.1.send_error("something else");
    fixture.expect("E 2 unspecified\n").await;
    fixture.request().await.1.send_response(Response::Local(LocalReply::new(Reason::Denied, "unspeakable")));
    assert_eq!(fixture.rest().await, "");
    assert_eq!((fixture.count("response_decoding_error"), fixture.count("local_reply.denied")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn drains_with_a_goodbye_where_there_is_one() {
    let protocol = Arc::new(Lines { goodbye: true, ..*Lines::new(Replies::AnyOrder) });
    let mut fixture = Fixture::new(protocol);
    fixture.send("Q 1 a\n").await;
    let (request, responder) = fixture.request().await;
    fixture.drain.begin();
    fixture.expect("V 0 bye\n").await;
    // what was on its way is still taken
    fixture.send("Q 2 b\n").await;
    let (late, late_responder) = fixture.request().await;
    sleep(Duration::from_secs(20)).await;
    responder.send_response(answer(&request, "R one"));
    late_responder.send_response(answer(&late, "R two"));
    assert_eq!(fixture.rest().await, "R 1 one\nR 2 two\n");
    assert_eq!(fixture.count("cx_destroy_local_with_active_rq"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_heed_a_goodbye_is_left_between_two_requests() {
    let mut fixture = Fixture::new(Arc::new(Lines { goodbye: true, ..*Lines::new(Replies::AnyOrder) }));
    fixture.drain.begin();
    fixture.expect("V 0 bye\n").await;
    let start = Instant::now();
    let mut answered = 0;
    while fixture.client.write_all(b"Q 1 a\n").await.is_ok()
        && let Ok(Some((request, responder))) = timeout(Duration::from_secs(1), fixture.stack.next_request()).await
    {
        sleep(Duration::from_millis(60)).await;
        responder.send_response(answer(&request, "R one"));
        fixture.expect("R 1 one\n").await;
        answered += 1;
    }
    assert!(answered > 50, "{answered}");
    assert!((5..7).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert_eq!((fixture.rest().await, fixture.count("response")), (String::new(), answered));
}

#[tokio::test(start_paused = true)]
async fn drains_without_a_goodbye_when_the_client_is_quiet() {
    let mut fixture = Fixture::new(Lines::new(Replies::InOrder));
    fixture.send("Q 1 a\n").await;
    let (first, first_answer) = fixture.request().await;
    fixture.drain.begin();
    // a client that cannot know that it is to leave
    sleep(Duration::from_secs(1)).await;
    fixture.send("Q 2 b\n").await;
    let (second, second_answer) = fixture.request().await;
    first_answer.send_response(answer(&first, "R one"));
    second_answer.send_response(answer(&second, "R two"));
    let answered = Instant::now();
    assert_eq!(fixture.rest().await, "R 1 one\nR 2 two\n");
    assert_eq!(answered.elapsed().as_millis(), 100);
    (&mut fixture.served).await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_busy_client_without_a_goodbye_is_left_between_two_requests() {
    let mut fixture = Fixture::new(Lines::new(Replies::InOrder));
    fixture.send("Q 1 a\nQ 2 b\n").await;
    let (first, first_answer) = fixture.request().await;
    let (second, second_answer) = fixture.request().await;
    fixture.drain.begin();
    fixture.expect_silence().await;
    sleep(Duration::from_secs(5)).await;
    fixture.send("Q 3 too late\n").await;
    second_answer.send_response(answer(&second, "R two"));
    fixture.expect_silence().await;
    first_answer.send_response(answer(&first, "R one"));
    assert_eq!(fixture.rest().await, "R 1 one\nR 2 two\n");
    (&mut fixture.served).await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn what_came_before_the_drain_is_answered() {
    let mut fixture = Fixture::new(Lines::new(Replies::InOrder));
    fixture.drain.begin();
    // the connection has not looked yet
    fixture.send("Q 1 a\n").await;
    let (request, responder) = fixture.request().await;
    responder.send_response(answer(&request, "R one"));
    assert_eq!(fixture.rest().await, "R 1 one\n");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_finish_in_time_is_cut() {
    let mut fixture = Fixture::new(Lines::new(Replies::AnyOrder));
    fixture.send("Q 1 a\n").await;
    let _request = fixture.request().await;
    fixture.drain.begin();
    fixture.expect_silence().await;
    fixture.drain.close();
    assert_eq!(fixture.rest().await, "");
    assert_eq!((fixture.count("cx_destroy_local_with_active_rq"), fixture.count("request_time_ms")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_drops_its_requests() {
    let Fixture { client, mut stack, metrics, served, .. } = Fixture::new(Lines::new(Replies::AnyOrder));
    let mut client = client;
    client.write_all(b"Q 1 a\n").await.expect("the connection is open");
    let (request, responder) = stack.next_request().await.expect("the stack is called");
    drop(client);
    // the pipe tells the end like a half-closed socket; the loss shows when the answer is written
    responder.send_response(answer(&request, "R one"));
    served.await.expect("no panic");
    assert_eq!(metrics.counters.cx_destroy_remote_with_active_rq.get(), 1);
    assert_eq!(metrics.counters.response_error_caused_connection_close.get(), 1);
    assert_eq!(metrics.counters.response.get(), 0);
    assert_eq!(metrics.request_active.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_judged_by_the_rules_of_its_read() {
    let mut fixture = Fixture::new(Lines::new(Replies::AnyOrder));
    fixture.send("Q 1 a\n").await;
    let (before, _responder) = fixture.request().await;
    fixture.rules.swap(Rules::empty());
    fixture.send("Q 2 a\n").await;
    let (after, _responder) = fixture.request().await;
    assert!(!Arc::ptr_eq(&before.rules, &after.rules));
    assert_eq!((before.message.attr("method"), after.message.attr("method")), (Some(&b"a"[..]), None));
}
