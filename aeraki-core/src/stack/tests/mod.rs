//! Layers over a service that the test plays itself, with time standing still until everybody waits.

mod exchange;
mod gates;
mod mirror;
mod retry;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use aeraki_codec::{
    Decoded, Demand, Framer, Head, Id, Kind, Limits, LocalReply, Message, Outcome, Protocol, Reason, Replies, Role,
    Status,
};
use aeraki_route::{
    Rules,
    config::{
        self, AttributeMatch, Fault, FractionalPercent, HashPolicy, MutationEntry, Route, RouteAction, RouteConfig,
    },
};
use tokio::time::Instant;
use tokio_test::{assert_pending, assert_ready, task};
use tower_layer::Layer;
use tower_service::Service;
use tower_test::mock::{self, Handle, Mock};

use super::*;
use crate::{
    observe::{Facts, Metrics},
    sync::lock,
    testing::Lines,
};

fn message(line: &str) -> Message {
    // a line that is to be long has long words
    let limits = Limits { attribute_bytes: line.len(), ..Limits::default() };
    let codec = Lines::new(Replies::AnyOrder).codec(Role::Server, &limits);
    match Framer::new(codec).decode(&mut format!("{line}\n").as_bytes().into(), &Demand::all()) {
        Ok(Decoded::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn rules(routes: impl IntoIterator<Item = Route>) -> Arc<Rules> {
    Arc::new(Rules::compile(&RouteConfig::new("table", routes)).expect("good routes"))
}

fn request(line: &str, rules: Arc<Rules>) -> Request {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let conn = ConnInfo::new("test".into(), Lines::new(Replies::AnyOrder), address, address);
    let message = message(line);
    let facts = Facts::new(Instant::now(), message.kind(), message.len() as u64);
    Request::new(message, Arc::new(conn), rules, facts)
}

fn routed(timeout: Option<Duration>) -> Routed {
    let request = request("Q 1 a", Arc::new(Rules::empty()));
    Routed {
        cluster: "c".into(),
        request_changes: None,
        response_changes: None,
        mirrors: Vec::new(),
        timeout,
        caller: None,
        retries: None,
        policies: None,
        streams: None,
        request,
    }
}

fn apply_policies(metrics: &Arc<Metrics>) -> Arc<dyn Gate<Routed>> {
    Arc::new(ApplyPolicies::new(Arc::new(NoRateLimiters), Wheel::spawn(), Arc::clone(metrics)))
}

fn service<T, L: Layer<Mock<T, Response>>>(layer: &L) -> (L::Service, Handle<T, Response>) {
    let (mock, mut handle) = mock::pair();
    handle.allow(10);
    (layer.layer(mock), handle)
}

async fn ready<R, S: Service<R>>(service: &mut S)
where
    S::Error: std::fmt::Debug,
{
    std::future::poll_fn(|cx| service.poll_ready(cx)).await.expect("ready");
}

fn local(response: Result<Response, impl std::fmt::Debug>) -> LocalReply {
    match response {
        Ok(Response::Local(reply)) => reply,
        other => panic!("{other:?}"),
    }
}

/// An answer that tells when it is given back, by one more in `given_back`.
fn watched(frame: &'static str, given_back: &Arc<AtomicU64>) -> Response {
    struct Watched(&'static str, Arc<AtomicU64>);

    impl AsRef<[u8]> for Watched {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            self.1.fetch_add(1, Relaxed);
        }
    }

    let bytes = bytes::Bytes::from_owner(Watched(frame, Arc::clone(given_back)));
    Response::Message(Message::new(bytes, Head::new()).into())
}

#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Outer(#[source] BoxError);

#[tokio::test]
async fn respond_finds_the_reply_among_the_sources() {
    let (mut respond, mut handle) = service::<Request, _>(&RespondLayer::new());
    for (error, reason, text) in [
        (Outer(LocalReply::new(Reason::Denied, "no").into()).into(), Reason::Denied, "no"),
        (BoxError::from("plain"), Reason::Unspecified, "plain"),
    ] {
        ready(&mut respond).await;
        let future = respond.call(request("Q 1 a", Arc::new(Rules::empty())));
        handle.next_request().await.expect("called").1.send_error(error);
        let reply = local(future.await);
        assert_eq!((reply.reason(), reply.text()), (reason, text));
    }
}

#[tokio::test]
async fn observe_notes_how_a_request_ended() {
    let (mut observe, mut handle) = service::<Request, _>(&ObserveLayer::new());
    let mut ended = async |response: Result<Response, BoxError>| {
        ready(&mut observe).await;
        let request = request("Q 1 a", Arc::new(Rules::empty()));
        let facts = request.facts.clone();
        let future = observe.call(request);
        let (_, responder) = handle.next_request().await.expect("called");
        match response {
            Ok(response) => responder.send_response(response),
            Err(error) => responder.send_error(error),
        }
        let _ = future.await;
        facts.record()
    };
    let answered = ended(Ok(Response::Message(message("E 1 x").into()))).await;
    assert_eq!(answered.answer, Some((Kind::Error, Status::new(Outcome::Error, 1))));
    let refused = ended(Err(LocalReply::new(Reason::Overflow, "full").into())).await;
    assert_eq!((refused.answer, refused.reason), (None, Some(Reason::Overflow)));
    let local = ended(Ok(Response::Local(LocalReply::new(Reason::Fault, "injected")))).await;
    assert_eq!(local.reason, Some(Reason::Fault));
    let oneway = ended(Ok(Response::Oneway)).await;
    assert_eq!((oneway.answer, oneway.reason), (None, None));
}

#[tokio::test]
async fn route_picks_the_cluster_of_the_first_match() {
    let (mut select, mut handle) = service::<Routed, _>(&RouteLayer::new(Metrics::new("lines", "test")));
    let special = Route::new("special", RouteAction::cluster("b").with_timeout(Duration::from_secs(3)))
        .with_match(AttributeMatch::exact("method", "special"))
        .with_request_mutation(MutationEntry::set("k", "v"));
    let plain = Route::new("plain", RouteAction::cluster("a")).with_match(AttributeMatch::exact("method", "plain"));
    let rules = rules([special, plain]);
    for (method, cluster) in [("special", "b"), ("plain", "a")] {
        ready(&mut select).await;
        let request = request(&format!("Q 1 {method}"), Arc::clone(&rules));
        let facts = request.facts.clone();
        let _future = select.call(request);
        let (routed, _) = handle.next_request().await.expect("called");
        assert_eq!(&*routed.cluster, cluster);
        assert_eq!(routed.request_changes.is_some(), method == "special");
        assert_eq!(routed.timeout.is_some(), method == "special");
        assert!(routed.response_changes.is_none());
        let record = facts.record();
        assert_eq!((record.route.as_deref(), record.cluster.as_deref()), (Some(method), Some(cluster)));
    }
    ready(&mut select).await;
    let error = select.call(request("Q 1 other", rules)).await.expect_err("no route");
    assert_eq!(error.downcast_ref::<LocalReply>().map(LocalReply::reason), Some(Reason::RouteNotFound));
}

#[tokio::test]
async fn a_request_carries_what_its_route_says_of_the_endpoint() {
    let (mut select, mut handle) = service::<Routed, _>(&RouteLayer::new(Metrics::new("lines", "test")));
    let action = RouteAction::cluster("a").with_hash_policy(HashPolicy::source_ip()).with_override_host("method");
    ready(&mut select).await;
    let _future = select.call(request("Q 1 127.0.0.1:7", rules([Route::new("r", action)])));
    let placement = handle.next_request().await.expect("called").0.request.placement.expect("the route says");
    assert_eq!(placement.hash, Some(xxhash_rust::xxh64::xxh64(b"127.0.0.1", 0)), "of the client");
    assert_eq!(placement.host, Some(std::net::SocketAddr::from(([127, 0, 0, 1], 7)).into()));
}

#[tokio::test]
async fn connections_pick_independently_of_each_other() {
    let (select, mut handle) = service::<Routed, _>(&RouteLayer::new(Metrics::new("lines", "test")));
    let rules = rules([Route::new("half", RouteAction::weighted([("a", 1), ("b", 1)]))]);
    let mut first_picks = std::collections::BTreeSet::new();
    for _ in 0..64 {
        let mut connection = select.clone();
        handle.allow(1);
        ready(&mut connection).await;
        let _future = connection.call(request("Q 1 a", Arc::clone(&rules)));
        first_picks.insert(handle.next_request().await.expect("called").0.cluster.to_string());
    }
    assert_eq!(first_picks.len(), 2);
}

#[tokio::test]
async fn mutate_changes_both_ways_and_counts_what_cannot_change() {
    let metrics = Metrics::new("lines", "test");
    let (mut mutate, mut handle) = service::<Routed, _>(&MutateLayer::new(Arc::clone(&metrics)));
    let entry = || MutationEntry::set("k", "v");
    let changing = changing([entry()], [entry()]);
    for mutable in [true, false] {
        ready(&mut mutate).await;
        let fixed = |line: &str| {
            let mut head = Head::new();
            head.set_id(Id::Number(1));
            head.set_mutable(mutable);
            Message::new(line.to_owned().into(), head)
        };
        let mut routed = routed(None);
        routed.request.message = fixed("Q 1 a\n").into();
        changing(&mut routed);
        let future = mutate.call(routed);
        let (routed, responder) = handle.next_request().await.expect("called");
        assert_eq!(routed.request.message.mutation().is_some(), mutable);
        responder.send_response(Response::Message(fixed("R 1 a\n").into()));
        let Ok(Response::Message(answer)) = future.await else { panic!("an answer") };
        assert_eq!(answer.mutation().is_some(), mutable);
    }
    assert_eq!(metrics.counters.mutation_skipped.get(), 2);
}

/// Gives routed requests the changes of a route.
fn changing<const N: usize, const M: usize>(
    request: [MutationEntry; N],
    response: [MutationEntry; M],
) -> impl Fn(&mut Routed) {
    let mut route = Route::new("r", RouteAction::cluster("c"));
    (route.request_mutation, route.response_mutation) = (request.to_vec(), response.to_vec());
    let rules = rules([route]);
    move |routed| {
        let route = &rules.table().expect("compiled").routes()[0];
        routed.request_changes = route.request_changes().cloned();
        routed.response_changes = route.response_changes().cloned();
    }
}

#[tokio::test]
async fn changes_look_at_the_request_and_at_the_answer() {
    use aeraki_route::config::MutationValue;
    let (mut mutate, mut handle) = service::<Routed, _>(&MutateLayer::new(Metrics::new("lines", "test")));
    let method = || MutationValue::Attribute("method".to_owned());
    let changing = changing(
        [MutationEntry::append("method", "more"), MutationEntry::set("peer", MutationValue::PeerAddress)],
        [MutationEntry::append("method", method()), MutationEntry::set_if_absent("other", method())],
    );
    ready(&mut mutate).await;
    let mut routed = routed(None);
    routed.request.message = message("Q 1 asked").into();
    changing(&mut routed);
    let future = mutate.call(routed);
    let (routed, responder) = handle.next_request().await.expect("called");
    let value =
        |message: &Message, key: &str| match message.mutation().and_then(|mutation| mutation.get(key.as_bytes())) {
            Some(aeraki_codec::Change::Set(value)) => String::from_utf8_lossy(value).into_owned(),
            other => panic!("{other:?}"),
        };
    let request = &routed.request.message;
    assert_eq!((value(request, "method"), value(request, "peer")), ("asked,more".into(), "127.0.0.1".into()));
    responder.send_response(Response::Message(message("R 1 told").into()));
    let Ok(Response::Message(answer)) = future.await else { panic!("an answer") };
    assert_eq!((value(&answer, "method"), value(&answer, "other")), ("told,asked".into(), "asked".into()));
}

#[tokio::test]
async fn changes_see_what_gates_before_them_have_changed() {
    use aeraki_route::config::MutationValue;
    let (mut mutate, mut handle) = service::<Routed, _>(&MutateLayer::new(Metrics::new("lines", "test")));
    let changing = changing(
        [
            MutationEntry::set_if_absent("X-Request-Id", "mine"),
            MutationEntry::append("via", "b"),
            MutationEntry::set("copy", MutationValue::Attribute("x-request-id".to_owned())),
        ],
        [],
    );
    ready(&mut mutate).await;
    let mut routed = routed(None);
    routed.request.message.mutation_mut().set("x-request-id", "given").set("Via", "a");
    changing(&mut routed);
    let _future = mutate.call(routed);
    let (routed, _) = handle.next_request().await.expect("called");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let changes = routed.request.message.mutation().expect("changed").iter().map(|(key, change)| match change {
        aeraki_codec::Change::Set(value) => format!("{}={}", text(key), text(value)),
        _ => text(key),
    });
    assert_eq!(changes.collect::<Vec<_>>(), ["x-request-id=given", "via=a,b", "copy=given"]);
}

/// In these lines the caller says by the method how long it waits.
#[tokio::test(start_paused = true)]
async fn a_caller_that_says_how_long_it_waits_is_not_kept_longer_and_every_try_is_told_the_rest() {
    #[derive(Debug)]
    struct Hands(tokio::sync::mpsc::UnboundedSender<Request>);

    impl Forward for Hands {
        fn forward(&self, request: Request) -> Forwarding {
            self.0.send(request).expect("the test listens");
            Forwarding::boxed(std::future::pending())
        }
    }

    #[derive(Debug)]
    struct One(Arc<Hands>);

    impl Resolve for One {
        fn resolve(&self, _: &str) -> Option<Arc<dyn Forward>> {
            Some(Arc::clone(&self.0) as _)
        }
    }

    let (tell, mut handed) = tokio::sync::mpsc::unbounded_channel();
    let metrics = Metrics::new("lines", "test");
    use aeraki_route::config::{FractionalPercent, RetryBudget, RetryOn, RetryPolicy};
    let retry = RetryPolicy::new(1)
        .with_on([RetryOn::Timeout])
        .with_budget(RetryBudget::new(FractionalPercent::ALWAYS, 100))
        .with_repeatable(true)
        .with_back_off(Duration::from_millis(1), Duration::from_millis(1))
        .with_per_try_timeout(Duration::from_millis(100));
    let action = RouteAction::cluster("c").with_timeout(Duration::from_secs(5)).with_caller_timeout("method");
    let rules = rules([Route::new("r", action.with_retry(retry))]);
    let policies = apply_policies(&metrics);
    let clusters = Arc::new(One(Arc::new(Hands(tell))));
    let mut stack = stack(clusters, Wheel::spawn(), Arc::clone(&metrics), &GateLayer::new([]), policies);
    let left = |request: &Request| match request.message.mutation().and_then(|mutation| mutation.get(b"method")) {
        Some(aeraki_codec::Change::Set(value)) => String::from_utf8_lossy(value).parse::<u64>().expect("a number"),
        _ => 0,
    };

    let started = Instant::now();
    let request = request("Q 1 150", Arc::clone(&rules));
    let reply = local(stack.call(request).await);
    assert_eq!(reply.reason(), Reason::Timeout);
    assert!((150..=170).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    let first = handed.try_recv().expect("a try");
    assert_eq!(left(&first), 0, "nothing has passed yet, and nothing changes");
    let second = left(&handed.try_recv().expect("another try"));
    assert!((20..=50).contains(&second), "{second} ms are left for the second try");

    for line in ["Q 1 0", "Q 1 -5", "Q 1 soon", "Q 1 99999999999"] {
        let started = Instant::now();
        let reply = local(stack.call(self::request(line, Arc::clone(&rules))).await);
        assert!(started.elapsed() < Duration::from_millis(250), "by the tries of the route alone");
        assert_eq!(reply.reason(), Reason::Timeout);
        assert_eq!(left(&handed.try_recv().expect("a try")) + left(&handed.try_recv().expect("another")), 0, "{line}");
    }
    assert_eq!(metrics.counters.caller_timeout_invalid.get(), 4, "each is counted once, whatever its tries");
}

#[tokio::test(start_paused = true)]
async fn deadline_ends_a_request_in_time_and_no_sooner() {
    let (mut deadline, mut handle) = service::<Routed, _>(&DeadlineLayer::new(Wheel::spawn()));
    ready(&mut deadline).await;
    let start = Instant::now();
    let late = deadline.call(routed(Some(Duration::from_millis(300))));
    let _held = handle.next_request().await.expect("called");
    let error = late.await.expect_err("too late");
    assert_eq!(error.to_string(), "timeout: no answer within 300ms");
    let took = start.elapsed().as_millis();
    assert!((300..=320).contains(&took), "{took} ms");

    ready(&mut deadline).await;
    let timely = deadline.call(routed(Some(Duration::from_millis(300))));
    handle.next_request().await.expect("called").1.send_response(Response::Oneway);
    assert!(matches!(timely.await, Ok(Response::Oneway)));

    ready(&mut deadline).await;
    let mut unlimited = task::spawn(deadline.call(routed(None)));
    let (_, responder) = handle.next_request().await.expect("called");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_pending!(unlimited.poll());
    responder.send_response(Response::Oneway);
    assert!(assert_ready!(unlimited.poll()).is_ok());

    ready(&mut deadline).await;
    let passed = routed(Some(Duration::from_millis(300)));
    tokio::time::advance(Duration::from_millis(300)).await;
    let mut passed = task::spawn(deadline.call(passed));
    assert_eq!(assert_ready!(passed.poll()).expect_err("too late").to_string(), "timeout: no answer within 300ms");
    assert_pending!(handle.poll_request(), "nobody is asked");
}

#[derive(Debug)]
struct Nowhere;

impl Resolve for Nowhere {
    fn resolve(&self, _: &str) -> Option<Arc<dyn Forward>> {
        None
    }
}

#[tokio::test]
async fn the_whole_stack_answers_for_clusters_that_are_not_there() {
    let metrics = Metrics::new("lines", "test");
    let policies = apply_policies(&metrics);
    let mut stack = stack(Arc::new(Nowhere), Wheel::spawn(), metrics, &GateLayer::new([]), policies);
    for (rules, reason) in [
        (rules([Route::new("all", RouteAction::cluster("c"))]), Reason::ClusterNotFound),
        (Arc::new(Rules::empty()), Reason::RouteNotFound),
    ] {
        ready(&mut stack).await;
        let request = request("Q 1 a", rules);
        let facts = request.facts.clone();
        assert_eq!(local(stack.call(request).await).reason(), reason);
        assert_eq!(facts.record().reason, Some(reason));
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_what_a_route_holds_back_too() {
    let metrics = Metrics::new("lines", "test");
    let clusters = Arc::new(Inquired::default());
    let (resolve, policies) = (Arc::clone(&clusters) as _, apply_policies(&metrics));
    let mut stack = stack(resolve, Wheel::spawn(), metrics, &GateLayer::new([]), policies);
    let mirror = config::Mirror::new("copies", FractionalPercent::ALWAYS);
    let action = RouteAction::cluster("c").with_mirror(mirror).with_timeout(Duration::from_secs(1));
    let fault = Fault::new().with_delay(Duration::from_secs(10), FractionalPercent::ALWAYS);
    ready(&mut stack).await;
    let start = Instant::now();
    let request = request("Q 1 a", rules([Route::new("r", action).with_fault(fault)]));
    assert_eq!(local(stack.call(request).await).reason(), Reason::Timeout);
    assert!((1000..1020).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(*lock(&clusters.names), [""; 0], "neither the cluster nor the mirror is asked");
}

/// Knows every cluster, and keeps the names that it was asked for.
#[derive(Debug, Default)]
struct Inquired {
    generation: AtomicU64,
    names: Mutex<Vec<String>>,
}

impl Resolve for Inquired {
    fn resolve(&self, cluster: &str) -> Option<Arc<dyn Forward>> {
        lock(&self.names).push(cluster.to_owned());
        (cluster != "unknown").then(|| Arc::new(mirror::Takes::default()) as _)
    }

    fn generation(&self) -> Option<u64> {
        Some(self.generation.load(Relaxed)).filter(|generation| *generation > 0)
    }
}

#[test]
fn clusters_are_looked_up_again_when_they_have_changed() {
    let clusters = Arc::new(Inquired::default());
    let mut upstream = Upstream::new(Arc::clone(&clusters) as _);
    let mut inquired = |names: &[&Arc<str>]| {
        for name in names {
            let mut routed = routed(None);
            routed.cluster = Arc::clone(name);
            drop(upstream.call(routed));
        }
        std::mem::take(&mut *lock(&clusters.names))
    };
    let (a, b, unknown): (Arc<str>, Arc<str>, Arc<str>) = ("a".into(), "b".into(), "unknown".into());
    assert_eq!(inquired(&[&a, &a]), ["a", "a"], "nobody says that they stay");
    clusters.generation.store(1, Relaxed);
    assert_eq!(inquired(&[&a, &b, &a, &b]), ["a", "b"]);
    assert_eq!(inquired(&[&unknown, &unknown]), ["unknown", "unknown"]);
    clusters.generation.store(2, Relaxed);
    assert_eq!(inquired(&[&b, &b, &a]), ["b", "a"]);

    let many: Vec<Arc<str>> = (0..100).map(|n| n.to_string().into()).collect();
    assert_eq!(inquired(&many.iter().collect::<Vec<_>>()).len(), 100);
    assert_eq!(inquired(&[&many[99], &a]), ["a"], "only a few are kept");
}
