//! Sends copies of requests to other clusters.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use aeraki_codec::Affinity;
use tokio::{sync::Semaphore, time::timeout};
use tower_layer::Layer;
use tower_service::Service;

use super::{BoxError, Request, Resolve, Response, Routed};
use crate::observe::{Facts, Metrics};

/// Sends a copy of the request to each cluster that was drawn, in a task of its own; what comes of it is dropped.
///
/// Nothing that a mirror does touches the request itself. A copy is given up after a minute. A request that needs a
/// connection of its own is not copied.
#[derive(Clone, Debug)]
pub struct MirrorLayer {
    clusters: Arc<dyn Resolve>,
    metrics: Arc<Metrics>,
    most: usize,
}

impl MirrorLayer {
    /// Makes the layer; at most 1024 copies are under way at a time.
    #[must_use]
    pub const fn new(clusters: Arc<dyn Resolve>, metrics: Arc<Metrics>) -> Self {
        Self { clusters, metrics, most: 1024 }
    }

    /// Sets how many copies may be under way at a time; further ones are not sent.
    #[must_use]
    pub const fn with_most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }
}

impl<S> Layer<S> for MirrorLayer {
    type Service = Mirror<S>;

    fn layer(&self, inner: S) -> Mirror<S> {
        let room = Arc::new(Semaphore::new(self.most));
        Mirror { inner, clusters: Arc::clone(&self.clusters), metrics: Arc::clone(&self.metrics), room }
    }
}

/// See [`MirrorLayer`].
#[derive(Clone, Debug)]
pub struct Mirror<S> {
    inner: S,
    clusters: Arc<dyn Resolve>,
    metrics: Arc<Metrics>,
    room: Arc<Semaphore>,
}

impl<S> Mirror<S> {
    fn send(&self, cluster: &str, request: &Request) {
        let cluster = self.clusters.resolve(cluster);
        let (Some(cluster), Ok(room)) = (cluster, Arc::clone(&self.room).try_acquire_owned()) else {
            self.metrics.counters.mirror_dropped.inc();
            return;
        };
        self.metrics.counters.mirrored.inc();
        let mut copy = request.clone();
        copy.facts = request.facts.note(|record| Facts::new(record.started, record.kind, record.request_bytes));
        tokio::spawn(async move {
            // neither answer nor failure is of interest
            let _ = timeout(PATIENCE, cluster.forward(copy)).await;
            drop(room);
        });
    }
}

impl<S> Service<Routed> for Mirror<S>
where
    S: Service<Routed, Response = Response, Error = BoxError>,
{
    type Response = Response;
    type Error = BoxError;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut routed: Routed) -> Self::Future {
        if !routed.mirrors.is_empty() && routed.request.message.head().affinity() == Affinity::Any {
            for cluster in std::mem::take(&mut routed.mirrors) {
                self.send(&cluster, &routed.request);
            }
        }
        self.inner.call(routed)
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
