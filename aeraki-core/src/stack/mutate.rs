//! Applies the changes that a route asks for, on both ways.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use aeraki_codec::{Message, Mutation};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{BoxError, Response, Routed};
use crate::observe::Metrics;

/// Applies the changes of the route to the request and to the response.
///
/// A message that cannot carry them passes unchanged and is counted.
#[derive(Clone, Debug)]
pub struct MutateLayer {
    metrics: Arc<Metrics>,
}

impl MutateLayer {
    /// Makes the layer; `metrics` counts the messages that pass unchanged.
    #[must_use]
    pub const fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for MutateLayer {
    type Service = Mutate<S>;

    fn layer(&self, inner: S) -> Mutate<S> {
        Mutate { inner, metrics: Arc::clone(&self.metrics) }
    }
}

/// See [`MutateLayer`].
#[derive(Clone, Debug)]
pub struct Mutate<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Service<Routed> for Mutate<S>
where
    S: Service<Routed, Response = Response, Error = BoxError>,
{
    type Response = Response;
    type Error = BoxError;
    type Future = MutateFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut routed: Routed) -> Self::Future {
        if let Some(mutation) = &routed.request_mutation {
            apply(&mut routed.request.message, mutation, &self.metrics);
        }
        let response = routed.response_mutation.take().map(|mutation| (mutation, Arc::clone(&self.metrics)));
        MutateFuture { response, inner: self.inner.call(routed) }
    }
}

pin_project! {
    /// The future of [`Mutate`].
    #[derive(Debug)]
    pub struct MutateFuture<F> {
        response: Option<(Arc<Mutation>, Arc<Metrics>)>,
        #[pin]
        inner: F,
    }
}

impl<F> Future for MutateFuture<F>
where
    F: Future<Output = Result<Response, BoxError>>,
{
    type Output = Result<Response, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut result = ready!(this.inner.poll(cx));
        if let (Ok(Response::Message(message)), Some((mutation, metrics))) = (&mut result, this.response) {
            apply(message, mutation, metrics);
        }
        Poll::Ready(result)
    }
}

fn apply(message: &mut Message, mutation: &Arc<Mutation>, metrics: &Metrics) {
    if message.head().is_mutable() {
        message.apply(mutation);
    } else {
        metrics.counters.mutation_skipped.inc();
    }
}
