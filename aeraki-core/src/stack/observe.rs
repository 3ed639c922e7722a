//! Notes how a request ended in its facts.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{BoxError, Request, Response, respond::reply_to};
use crate::observe::Facts;

/// Notes the answer of every request, or why there is none, in its [`Facts`].
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ObserveLayer;

impl ObserveLayer {
    /// Makes the layer.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner }
    }
}

/// See [`ObserveLayer`].
#[derive(Clone, Debug)]
pub struct Observe<S> {
    inner: S,
}

impl<S> Service<Request> for Observe<S>
where
    S: Service<Request, Response = Response, Error = BoxError>,
{
    type Response = Response;
    type Error = BoxError;
    type Future = ObserveFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let facts = request.facts.clone();
        ObserveFuture { facts, inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The future of [`Observe`].
    #[derive(Debug)]
    pub struct ObserveFuture<F> {
        facts: Facts,
        #[pin]
        inner: F,
    }
}

impl<F> Future for ObserveFuture<F>
where
    F: Future<Output = Result<Response, BoxError>>,
{
    type Output = Result<Response, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        match &result {
            Ok(Response::Local(reply)) => this.facts.note(|record| record.reason = Some(reply.reason())),
            Ok(response) => {
                if let Some(message) = response.message() {
                    this.facts.note(|record| record.answer = Some((message.kind(), message.status())));
                }
            }
            Err(error) => this.facts.note(|record| record.reason = Some(reply_to(&**error).reason())),
        }
        Poll::Ready(result)
    }
}
