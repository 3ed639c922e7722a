//! Copies: where they go, what becomes of them, and that nobody notices.

use std::sync::Mutex;

use aeraki_codec::Affinity;
use aeraki_route::{
    MirrorTarget,
    config::{self, FractionalPercent},
};

use super::*;

/// Takes copies: the cluster `mute` never answers, `echo` does at once.
#[derive(Debug, Default)]
pub(super) struct Takes {
    copies: Mutex<Vec<String>>,
    answers: Option<&'static str>,
}

impl Forward for Takes {
    fn forward(&self, request: Request) -> Forwarding {
        assert_eq!(request.placement, None, "another cluster has other endpoints");
        let text = String::from_utf8_lossy(request.message.frame()).into_owned();
        self.copies.lock().expect("no panic").push(text);
        match self.answers {
            Some(line) => Forwarding::boxed(std::future::ready(Ok(Response::Message(message(line).into())))),
            None => Forwarding::boxed(std::future::pending()),
        }
    }
}

#[derive(Debug)]
struct Two {
    mute: Arc<Takes>,
    echo: Arc<Takes>,
}

impl Resolve for Two {
    fn resolve(&self, cluster: &str) -> Option<Arc<dyn Forward>> {
        match cluster {
            "mute" => Some(Arc::clone(&self.mute) as _),
            "echo" => Some(Arc::clone(&self.echo) as _),
            _ => None,
        }
    }
}

struct Mirrored {
    service: Mirror<Mock<Routed, Response>>,
    handle: Handle<Routed, Response>,
    metrics: Arc<Metrics>,
    two: Arc<Two>,
}

impl Mirrored {
    fn answering(line: &'static str) -> Self {
        let metrics = Metrics::new("lines", "test");
        let echo = Takes { answers: Some(line), ..Takes::default() };
        let two = Arc::new(Two { mute: Arc::default(), echo: Arc::new(echo) });
        let layer = MirrorLayer::new(Arc::clone(&two) as _, Arc::clone(&metrics));
        let (service, handle) = service::<Routed, _>(&layer);
        Self { service, handle, metrics, two }
    }

    /// Sends a request with these mirrors, which is answered by `line`.
    async fn call(&mut self, mirrors: &[Arc<MirrorTarget>], line: &str) {
        self.call_with(mirrors, message("Q 1 a"), line).await;
    }

    async fn call_with(&mut self, mirrors: &[Arc<MirrorTarget>], request: Message, line: &str) {
        self.handle.allow(1);
        ready(&mut self.service).await;
        let mut routed = routed(None);
        routed.request.message = request.into();
        routed.request.placement.get_or_insert_default().hash = Some(1);
        routed.mirrors = mirrors.to_vec();
        let facts = routed.request.facts.clone();
        let future = self.service.call(routed);
        let answer = Response::Message(message(line).into());
        self.handle.next_request().await.expect("called").1.send_response(answer);
        let Ok(Response::Message(got)) = future.await else { panic!("an answer") };
        assert_eq!(got.frame(), &format!("{line}\n"), "the client's own answer");
        assert_eq!(facts.record().answer, None, "a copy has facts of its own");
        tokio::task::yield_now().await;
    }

    fn compared(&self) -> [u64; 3] {
        let counters = &self.metrics.counters;
        [&counters.mirror_equal, &counters.mirror_different, &counters.mirror_failed].map(|counter| counter.get())
    }
}

fn targets(mirrors: impl IntoIterator<Item = config::Mirror>) -> Vec<Arc<MirrorTarget>> {
    let mut route = Route::new("r", RouteAction::cluster("c"));
    route.action.mirrors = mirrors.into_iter().collect();
    rules([route]).table().expect("compiled").routes()[0].mirrors().to_vec()
}

fn mirror(cluster: &str) -> config::Mirror {
    config::Mirror::new(cluster, FractionalPercent::ALWAYS)
}

#[tokio::test(start_paused = true)]
async fn mirrors_get_copies_within_their_bounds_and_touch_nothing() {
    let mut mirrored = Mirrored::answering("R 1 a");
    let mute = mirror("mute").with_max_active(2).with_timeout(Duration::from_secs(60));
    let mirrors = targets([mute, mirror("unknown"), mirror("echo")]);
    for _ in 0..3 {
        mirrored.call(&mirrors, "R 1 a").await;
    }
    let copies = |takes: &Takes| takes.copies.lock().expect("no panic").len();
    assert_eq!(copies(&mirrored.two.mute), 2, "no more than two at a time");
    assert_eq!(copies(&mirrored.two.echo), 3, "an ill mirror does not hold up a good one");
    let counters = &mirrored.metrics.counters;
    assert_eq!((counters.mirrored.get(), counters.mirror_dropped.get()), (5, 4));
    // mute ones are given up
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(mirrored.compared(), [0, 0, 2]);
    mirrored.call(&mirrors, "R 1 a").await;
    assert_eq!(copies(&mirrored.two.mute), 3);
}

#[tokio::test(start_paused = true)]
async fn what_needs_a_connection_of_its_own_is_not_copied_and_counted() {
    let mut mirrored = Mirrored::answering("R 1 a");
    let mirrors = targets([mirror("mute"), mirror("echo")]);
    for (number, affinity) in [Affinity::Bound, Affinity::Exclusive].into_iter().enumerate() {
        let mut head = Head::new();
        head.set_affinity(affinity);
        mirrored.call_with(&mirrors, Message::new("Q 1 a\n".into(), head), "R 1 a").await;
        let counters = &mirrored.metrics.counters;
        assert_eq!((counters.mirror_skipped.get(), counters.mirrored.get()), (2 * (number as u64 + 1), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn copies_hold_only_so_many_bytes() {
    let mut mirrored = Mirrored::answering("R 1 a");
    let mirrors = targets([mirror("mute").with_timeout(Duration::from_secs(60))]);
    let large = message(&format!("Q 1 a {}", "x".repeat(1 << 20)));
    for _ in 0..33 {
        mirrored.call_with(&mirrors, large.clone(), "R 1 a").await;
    }
    let counters = &mirrored.metrics.counters;
    assert_eq!((counters.mirrored.get(), counters.mirror_dropped.get()), (31, 2), "32 MiB at most");
    tokio::time::sleep(Duration::from_secs(61)).await;
    mirrored.call_with(&mirrors, large, "R 1 a").await;
    assert_eq!(mirrored.metrics.counters.mirrored.get(), 32, "those that have ended hold nothing");
}

#[derive(Debug)]
struct Watching(Arc<AtomicU64>);

impl Resolve for Watching {
    fn resolve(&self, _: &str) -> Option<Arc<dyn Forward>> {
        Some(Arc::new(Self(Arc::clone(&self.0))))
    }
}

impl Forward for Watching {
    fn forward(&self, _: Request) -> Forwarding {
        Forwarding::boxed(std::future::ready(Ok(watched("R 1 same\n", &self.0))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_has_answered_holds_nothing_while_the_request_goes_on() {
    let (given_back, metrics) = (Arc::new(AtomicU64::new(0)), Metrics::new("lines", "test"));
    let layer = MirrorLayer::new(Arc::new(Watching(Arc::clone(&given_back))), Arc::clone(&metrics));
    let (mut service, mut handle) = service::<Routed, _>(&layer);
    let mirrors = targets([mirror("any").with_max_active(1).with_compare(true)]);
    let mut under_way = Vec::new();
    for number in 1..=3 {
        ready(&mut service).await;
        let mut routed = routed(None);
        routed.mirrors = mirrors.clone();
        under_way.push((service.call(routed), handle.next_request().await.expect("called").1));
        tokio::task::yield_now().await;
        assert_eq!(given_back.load(Relaxed), number, "the answer of the mirror is not kept");
        assert_eq!(metrics.counters.mirrored.get(), number, "nor is its place");
    }
    for (future, responder) in under_way {
        responder.send_response(Response::Message(message("R 1 other").into()));
        assert!(future.await.is_ok());
    }
    tokio::task::yield_now().await;
    assert_eq!(metrics.counters.mirror_equal.get() + metrics.counters.mirror_different.get(), 3, "still compared");
}

#[tokio::test(start_paused = true)]
async fn answers_are_compared_where_that_is_asked_for() {
    let mut mirrored = Mirrored::answering("R 1 same");
    let compared = targets([mirror("echo").with_compare(true), mirror("echo")]);
    mirrored.call(&compared, "R 1 same").await;
    assert_eq!(mirrored.compared(), [1, 0, 0]);
    mirrored.call(&compared, "R 1 other").await;
    assert_eq!(mirrored.compared(), [1, 1, 0]);
    mirrored.call(&compared, "E 1 same").await;
    assert_eq!(mirrored.compared(), [1, 2, 0], "another status");
}
