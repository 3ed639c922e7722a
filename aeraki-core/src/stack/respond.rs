//! Turns every error into an answer in the protocol's own words.

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use aeraki_codec::{LocalReply, Reason};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{BoxError, Request, Response};

/// Turns every error into an answer; the outermost layer, behind which nothing fails.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RespondLayer;

impl RespondLayer {
    /// Makes the layer.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for RespondLayer {
    type Service = Respond<S>;

    fn layer(&self, inner: S) -> Respond<S> {
        Respond { inner }
    }
}

/// See [`RespondLayer`].
#[derive(Clone, Debug)]
pub struct Respond<S> {
    inner: S,
}

impl<S> Service<Request> for Respond<S>
where
    S: Service<Request, Response = Response, Error = BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RespondFuture<S::Future>;

    /// A stack that fails to get ready is ready: each call will say what is wrong.
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx).map(|_| Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        RespondFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The future of [`Respond`].
    #[derive(Debug)]
    pub struct RespondFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F> Future for RespondFuture<F>
where
    F: Future<Output = Result<Response, BoxError>>,
{
    type Output = Result<Response, Infallible>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.project().inner.poll(cx));
        Poll::Ready(Ok(result.unwrap_or_else(|error| Response::Local(reply_to(&*error)))))
    }
}

/// Makes the answer to an error: the [`LocalReply`] among its sources, else one that names no reason.
pub(super) fn reply_to(error: &(dyn Error + 'static)) -> LocalReply {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(reply) = error.downcast_ref::<LocalReply>() {
            return reply.clone();
        }
        next = error.source();
    }
    LocalReply::new(Reason::Unspecified, error.to_string())
}
