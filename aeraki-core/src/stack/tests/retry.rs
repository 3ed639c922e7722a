//! Further tries: which, when, how many, and where.

use std::net::SocketAddr;

use aeraki_codec::Affinity;
use aeraki_route::config::{FractionalPercent, HedgePolicy, RetryBudget, RetryOn, RetryPolicy, SocketAddress};

use super::*;

/// A retrying service over tries that the test plays.
struct Retried {
    service: Retry<Mock<Routed, Response>>,
    handle: Handle<Routed, Response>,
    metrics: Arc<Metrics>,
    policy: RetryPolicy,
    hedge: Option<HedgePolicy>,
}

impl Retried {
    fn new(policy: RetryPolicy) -> Self {
        let metrics = Metrics::new("lines", "test");
        let (mock, mut handle) = mock::pair();
        handle.allow(100);
        let service = RetryLayer::new(Wheel::spawn(), Arc::clone(&metrics)).layer(mock);
        Self { service, handle, metrics, policy, hedge: None }
    }

    fn routed(&self, line: &str) -> Routed {
        let mut action = RouteAction::cluster("c").with_retry(self.policy.clone());
        action.hedge = self.hedge;
        let rules = rules([Route::new("r", action)]);
        let mut routed = routed(None);
        routed.request = request(line, Arc::clone(&rules));
        routed.retries = rules.table().expect("compiled").routes()[0].retries().cloned();
        routed
    }

    async fn call(&mut self, routed: Routed) -> task::Spawn<RetryFuture<Mock<Routed, Response>>> {
        ready(&mut self.service).await;
        // the mock wants each clone to be ready, which services below the route always are
        task::spawn(self.service.call(routed))
    }

    fn counted(&self) -> [u64; 4] {
        let counters = &self.metrics.counters;
        [&counters.retry, &counters.retry_success, &counters.retry_overflow, &counters.retry_limit_exceeded]
            .map(|counter| counter.get())
    }
}

fn failure(reason: Reason) -> BoxError {
    LocalReply::new(reason, "played").into()
}

fn answer(line: &str) -> Response {
    Response::Message(message(line).into())
}

fn reason(result: Result<Response, BoxError>) -> Option<Reason> {
    result.err()?.downcast_ref::<LocalReply>().map(LocalReply::reason)
}

/// Ends tries with these failures, one after the other, as far as tries are made; then with an answer.
async fn play(retried: &mut Retried, routed: Routed, failures: &[Reason]) -> (Option<Reason>, usize) {
    let future = retried.call(routed).await.into_inner();
    let handle = &mut retried.handle;
    let mut tries = 0;
    let played = async {
        while let Some((_, responder)) = handle.next_request().await {
            match failures.get(tries) {
                Some(reason) => responder.send_error(failure(*reason)),
                None => responder.send_response(answer("R 1 a")),
            }
            tries += 1;
        }
    };
    let result = tokio::select! {
        result = future => result,
        () = played => panic!("the service is still there"),
    };
    (reason(result), tries)
}

#[tokio::test(start_paused = true)]
async fn only_what_was_certainly_not_executed_is_tried_again_unless_it_may_be_repeated() {
    let all = [RetryOn::ConnectFailure, RetryOn::Reset, RetryOn::Timeout];
    for (first, repeatable, expected) in [
        (Reason::ConnectFailure, false, (None, 2)),
        (Reason::NoHealthyUpstream, false, (None, 2)),
        (Reason::UpstreamClosed, false, (Some(Reason::UpstreamClosed), 1)),
        (Reason::UpstreamClosed, true, (None, 2)),
        (Reason::Timeout, true, (None, 2)),
        (Reason::Overflow, true, (Some(Reason::Overflow), 1)),
        (Reason::BadRequest, true, (Some(Reason::BadRequest), 1)),
    ] {
        let mut retried = Retried::new(RetryPolicy::new(1).with_on(all).with_repeatable(repeatable));
        let routed = retried.routed("Q 1 a");
        assert_eq!(play(&mut retried, routed, &[first]).await, expected, "{first}");
        assert_eq!(retried.counted()[1], u64::from(expected.0.is_none()));
    }
}

/// What nobody answers, and what other frames of its connection belong to, could be executed twice unnoticed.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_repeated_is_not_on_routes_that_may_be_either() {
    let oneway = message("O 1 a");
    let bound = {
        let mut head = Head::new();
        head.set_id(Id::Number(1));
        head.set_affinity(Affinity::Bound);
        Message::new("Q 1 a\n".into(), head)
    };
    for request in [oneway, bound] {
        for (first, expected) in [
            (Reason::UpstreamClosed, (Some(Reason::UpstreamClosed), 1)),
            (Reason::Timeout, (Some(Reason::Timeout), 1)),
            (Reason::ConnectFailure, (None, 2)),
        ] {
            let policy = RetryPolicy::new(1).with_on([RetryOn::ConnectFailure, RetryOn::Reset, RetryOn::Timeout]);
            let mut retried = Retried::new(policy.with_repeatable(true));
            let mut routed = retried.routed("Q 1 a");
            routed.request.message = request.clone().into();
            assert_eq!(play(&mut retried, routed, &[first]).await, expected, "{request:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tries_end_with_their_number_and_with_the_budget() {
    use Reason::ConnectFailure as No;
    let mut retried = Retried::new(RetryPolicy::new(2));
    let routed = retried.routed("Q 1 a");
    assert_eq!(play(&mut retried, routed, &[No; 5]).await, (Some(No), 3));
    assert_eq!(retried.counted(), [2, 0, 0, 1]);

    let nothing = RetryBudget::new(FractionalPercent::percent(0), 1);
    let mut retried = Retried::new(RetryPolicy::new(2).with_budget(nothing));
    let routed = retried.routed("Q 1 a");
    assert_eq!(play(&mut retried, routed.clone(), &[No; 5]).await, (Some(No), 2));
    assert_eq!(retried.counted(), [1, 0, 1, 0], "one a second");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(play(&mut retried, routed, &[No]).await, (None, 2), "and the next in the next second");
}

#[tokio::test(start_paused = true)]
async fn a_further_try_waits_and_says_so_and_avoids_the_host() {
    let wait = Duration::from_secs(100);
    let mut retried = Retried::new(RetryPolicy::new(3).with_back_off(wait, wait));
    let routed = retried.routed("Q 1 a");
    let host = address(9);
    let mut future = retried.call(routed).await;
    assert_pending!(future.poll());
    let (first, responder) = retried.handle.next_request().await.expect("called");
    assert!(first.request.message.mutation().is_none() && first.request.avoid.is_none());
    first.request.facts.note(|record| record.endpoint = Some(host.clone()));
    let start = Instant::now();
    responder.send_error(failure(Reason::ConnectFailure));
    assert_pending!(future.poll());
    let next = tokio::select! {
        next = retried.handle.next_request() => next,
        _ = future => panic!("another try"),
    };
    let (second, _) = next.expect("called");
    assert!(start.elapsed() > Duration::from_millis(50), "drawn from 100 seconds");
    assert_eq!(second.request.avoid.as_deref(), Some(&vec![host]));
    let hops = second.request.message.mutation().and_then(|mutation| mutation.get(b"x-aeraki-retries")).cloned();
    assert_eq!(hops, Some(aeraki_codec::Change::Set("1".into())));
}

#[tokio::test(start_paused = true)]
async fn a_try_that_takes_too_long_is_given_up_and_followed() {
    for answered in [true, false] {
        let policy = RetryPolicy::new(1)
            .with_on([RetryOn::Timeout])
            .with_repeatable(true)
            .with_per_try_timeout(Duration::from_millis(100));
        let mut retried = Retried::new(policy);
        let routed = retried.routed("Q 1 a");
        let future = retried.call(routed).await.into_inner();
        let handle = &mut retried.handle;
        let start = Instant::now();
        let played = async {
            let (_, first) = handle.next_request().await.expect("called");
            let (_, second) = handle.next_request().await.expect("called");
            let followed = start.elapsed();
            let given_back = Arc::default();
            first.send_response(watched("R 1 late\n", &given_back));
            assert_eq!(given_back.load(Relaxed), 1, "nobody is there to take it");
            if answered {
                second.send_response(answer("R 1 second"));
                return (followed, None);
            }
            (followed, Some(second))
        };
        let (result, (followed, _second)) = tokio::join!(future, played);
        assert!((100..400).contains(&followed.as_millis()), "{followed:?}");
        match result {
            Ok(Response::Message(message)) if answered => assert_eq!(message.frame(), "R 1 second\n"),
            Err(error) if !answered => {
                assert_eq!(error.to_string(), "timeout: no answer to a try within 100ms");
                assert!(start.elapsed() >= followed + Duration::from_millis(100), "{:?}", start.elapsed());
            }
            other => panic!("{other:?}"),
        }
        let counters = &retried.metrics.counters;
        assert_eq!((retried.counted(), counters.hedged.get()), ([1, u64::from(answered), 0, u64::from(!answered)], 0));
    }
}

#[tokio::test(start_paused = true)]
async fn hedging_lets_the_first_try_go_on_and_takes_the_first_answer() {
    for (winner, text) in [(0, "R 1 first"), (1, "R 1 second")] {
        let policy = RetryPolicy::new(1)
            .with_on([RetryOn::Timeout])
            .with_repeatable(true)
            .with_per_try_timeout(Duration::from_millis(100));
        let mut retried = Retried::new(policy);
        retried.hedge = Some(HedgePolicy::on_per_try_timeout());
        let routed = retried.routed("Q 1 a");
        let facts = routed.request.facts.clone();
        let future = retried.call(routed).await.into_inner();
        let handle = &mut retried.handle;
        let played = async {
            let (one, first) = handle.next_request().await.expect("called");
            one.request.facts.note(|record| record.endpoint = Some(address(10)));
            let (other, second) = handle.next_request().await.expect("called");
            other.request.facts.note(|record| record.endpoint = Some(address(11)));
            let mut both = [Some(first), Some(second)];
            both[winner].take().expect("there").send_response(answer(text));
            // the other one never answers
            std::future::pending::<()>().await;
            drop(both);
        };
        let result = tokio::select! { result = future => result, () = played => unreachable!() };
        let Ok(Response::Message(message)) = result else { panic!("an answer") };
        assert_eq!(message.frame(), &format!("{text}\n"));
        assert_eq!(facts.record().endpoint, Some(address([10, 11][winner])), "the endpoint that answered");
        let counters = &retried.metrics.counters;
        assert_eq!((counters.hedged.get(), counters.retry_success.get()), (1, winner as u64));
    }
}

#[tokio::test(start_paused = true)]
async fn hedged_tries_that_nobody_waits_for_any_more_have_an_endpoint() {
    let policy = RetryPolicy::new(1).with_on([RetryOn::Timeout]).with_repeatable(true);
    let mut retried = Retried::new(policy.with_per_try_timeout(Duration::from_millis(100)));
    retried.hedge = Some(HedgePolicy::on_per_try_timeout());
    let routed = retried.routed("Q 1 a");
    let facts = routed.request.facts.clone();
    let mut future = retried.call(routed).await;
    assert_pending!(future.poll());
    let (one, _first) = retried.handle.next_request().await.expect("called");
    one.request.facts.note(|record| record.endpoint = Some(address(10)));
    drop(future);
    assert_eq!(facts.record().endpoint, Some(address(10)));
}

#[tokio::test(start_paused = true)]
async fn a_try_that_the_cluster_does_not_take_changes_nothing() {
    let mut retried = Retried::new(RetryPolicy::new(2));
    let routed = retried.routed("Q 1 a");
    assert!(!routed.request.retry);
    let reasons = [Reason::ConnectFailure, Reason::Overflow];
    assert_eq!(play(&mut retried, routed.clone(), &reasons).await, (Some(Reason::ConnectFailure), 2));
    assert_eq!(play(&mut retried, routed, &[Reason::Overflow]).await, (Some(Reason::Overflow), 1), "the first one");
}

#[tokio::test(start_paused = true)]
async fn proxies_behind_each_other_do_not_multiply_their_tries() {
    let mut retried = Retried::new(RetryPolicy::new(5));
    let mut routed = retried.routed("Q 1 a");
    let mut head = Head::new();
    head.set_names(&["x-aeraki-retries"]);
    head.insert(b"3", &Limits::default(), aeraki_codec::Text::Name(0), aeraki_codec::Text::Frame(0..1)).expect("fits");
    routed.request.message = Message::new("3".into(), head).into();
    let expected = (Some(Reason::ConnectFailure), 1);
    assert_eq!(play(&mut retried, routed.clone(), &[Reason::ConnectFailure]).await, expected);
    assert_eq!(retried.counted(), [0, 0, 0, 1]);

    routed.request.message.mutation_mut().remove("X-Aeraki-Retries");
    assert_eq!(play(&mut retried, routed, &[Reason::ConnectFailure]).await, (None, 2), "taken out by the route");
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_there_is_one_try() {
    let mut retried = Retried::new(RetryPolicy::new(1));
    let mut routed = retried.routed("Q 1 a");
    routed.retries = None;
    let expected = (Some(Reason::ConnectFailure), 1);
    assert_eq!(play(&mut retried, routed, &[Reason::ConnectFailure]).await, expected);
    assert_eq!(retried.counted(), [0; 4]);
}

fn address(port: u16) -> SocketAddress {
    SocketAddr::from(([127, 0, 0, 1], port)).into()
}
