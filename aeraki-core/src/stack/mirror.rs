//! Sends copies of requests to other clusters.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use aeraki_codec::{Affinity, Body, Kind, Message, Status};
use aeraki_route::{MirrorTarget, Place, Places, config::RoutingPriority};
use pin_project_lite::pin_project;
use smallvec::SmallVec;
use tokio::{
    sync::oneshot,
    time::{Timeout, timeout},
};
use tower_layer::Layer;
use tower_service::Service;
use xxhash_rust::xxh3::xxh3_64;

use super::{BoxError, Forwarding, Request, Resolve, Response, Routed};
use crate::observe::{Facts, Metrics};

/// Sends a copy of the request to each mirror that was drawn, in a task of its own; what comes of it is dropped, or
/// compared with the answer that the client gets.
///
/// Nothing that a mirror does touches the request itself. A copy is given up after the mirror's timeout; no more are
/// made while those of the layer hold 32 MiB. A request that needs a connection of its own is not copied, nor is a
/// stream; both are counted.
#[derive(Clone, Debug)]
pub struct MirrorLayer {
    clusters: Arc<dyn Resolve>,
    metrics: Arc<Metrics>,
    /// The bytes that copies hold.
    held: Places,
}

impl MirrorLayer {
    /// Makes the layer.
    #[must_use]
    pub fn new(clusters: Arc<dyn Resolve>, metrics: Arc<Metrics>) -> Self {
        Self { clusters, metrics, held: Places::default() }
    }
}

impl<S> Layer<S> for MirrorLayer {
    type Service = Mirror<S>;

    fn layer(&self, inner: S) -> Mirror<S> {
        let Self { clusters, metrics, held } = self.clone();
        Mirror { inner, clusters, metrics, held }
    }
}

/// See [`MirrorLayer`].
#[derive(Clone, Debug)]
pub struct Mirror<S> {
    inner: S,
    clusters: Arc<dyn Resolve>,
    metrics: Arc<Metrics>,
    /// The bytes that copies hold.
    held: Places,
}

impl<S> Mirror<S> {
    /// Sends a copy; returns where the answer of the request itself is waited for.
    fn send(&self, target: &MirrorTarget, request: &Request) -> Option<oneshot::Sender<Digest>> {
        let counters = &self.metrics.counters;
        let cluster = self.clusters.resolve(&target.config().cluster);
        let bytes = u32::try_from(request.message.len()).ok().map(|bytes| bytes.saturating_add(OVERHEAD));
        let room = bytes.and_then(|bytes| self.held.take_many(bytes, MAX_BYTES));
        let (Some(cluster), Some(place), Some(room)) = (cluster, target.begin(), room) else {
            counters.mirror_dropped.inc();
            return None;
        };
        counters.mirrored.inc();
        let mut copy = request.clone();
        // the endpoints of another cluster are others
        copy.placement = None;
        copy.priority = RoutingPriority::Default;
        copy.facts = request.facts.note(|record| Facts::new(record.started, record.kind, record.request_bytes));
        let compare = target.config().compare && request.message.kind() == Kind::Request;
        let (told, original) = if compare { Some(oneshot::channel()).unzip() } else { (None, None) };
        let answer = timeout(target.config().timeout, cluster.forward(copy));
        tokio::spawn(follow(answer, (place, room), original, Arc::clone(&self.metrics)));
        told
    }
}

/// Waits for the end of a copy, and for that of the request if they are to be compared.
async fn follow(
    answer: Timeout<Forwarding>,
    held: (Place, Place),
    original: Option<oneshot::Receiver<Digest>>,
    metrics: Arc<Metrics>,
) {
    let answered = match answer.await {
        Ok(Ok(Response::Message(message))) => Some(Digest::of(&message)),
        Ok(Ok(_)) => return,
        _ => None,
    };
    // the mirror has done its work, however long the request itself takes
    drop(held);
    let Some(answered) = answered else { return metrics.counters.mirror_failed.inc() };
    let Some(Ok(expected)) = (match original {
        Some(original) => Some(original.await),
        None => None,
    }) else {
        return;
    };
    let counter =
        if answered == expected { &metrics.counters.mirror_equal } else { &metrics.counters.mirror_different };
    counter.inc();
}

/// Bytes of requests that the copies of one layer hold together, at most: a copy lives longer than its request, which
/// has given its own room back. Not of the connections' budget, so that a mute mirror does not keep clients waiting.
const MAX_BYTES: u32 = 32 << 20;
/// Bytes that a copy takes besides its frame, about: its message, and the task that waits for it.
const OVERHEAD: u32 = 2048;

/// An answer as far as it is compared: its id differs in any case, and so do attributes that are not in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digest {
    kind: Kind,
    status: Status,
    body: u64,
}

impl Digest {
    fn of(message: &Message) -> Self {
        let body = match message.body() {
            Body::Whole(body) => xxh3_64(&body),
            _ => 0,
        };
        Self { kind: message.kind(), status: message.status(), body }
    }
}

impl<S> Service<Routed> for Mirror<S>
where
    S: Service<Routed, Response = Response, Error = BoxError>,
{
    type Response = Response;
    type Error = BoxError;
    type Future = MirrorFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut routed: Routed) -> Self::Future {
        let mut compared = SmallVec::new();
        let mirrors = std::mem::take(&mut routed.mirrors);
        let message = &routed.request.message;
        if message.kind() != Kind::StreamOpen && message.head().affinity() == Affinity::Any {
            compared.extend(mirrors.into_iter().filter_map(|target| self.send(&target, &routed.request)));
        } else {
            self.metrics.counters.mirror_skipped.add(mirrors.len() as u64);
        }
        MirrorFuture { compared, inner: self.inner.call(routed) }
    }
}

pin_project! {
    /// The future of [`Mirror`].
    #[derive(Debug)]
    pub struct MirrorFuture<F> {
        compared: SmallVec<[oneshot::Sender<Digest>; 1]>,
        #[pin]
        inner: F,
    }
}

impl<F> Future for MirrorFuture<F>
where
    F: Future<Output = Result<Response, BoxError>>,
{
    type Output = Result<Response, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        if let (Ok(Response::Message(answer)), false) = (&result, this.compared.is_empty()) {
            let digest = Digest::of(answer);
            for mirror in this.compared.drain(..) {
                // one that has been given up does not care
                let _ = mirror.send(digest);
            }
        }
        Poll::Ready(result)
    }
}
