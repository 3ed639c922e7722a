//! Ends requests whose answer does not come in time.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::config::StreamTimeouts;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::{BoxError, Moment, Response, Routed, Wheel};
use crate::observe::Facts;

/// Ends a request with [`Reason::Timeout`] when the timeout of its route has passed since the whole of it was read.
///
/// A stream is in time when it is open by then; from then on it may last as long as its route says.
#[derive(Clone, Debug)]
pub struct DeadlineLayer {
    wheel: Wheel,
}

impl DeadlineLayer {
    /// Makes the layer; `wheel` keeps the deadlines.
    #[must_use]
    pub const fn new(wheel: Wheel) -> Self {
        Self { wheel }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner, wheel: self.wheel.clone() }
    }
}

/// See [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct Deadline<S> {
    inner: S,
    wheel: Wheel,
}

impl<S> Service<Routed> for Deadline<S>
where
    S: Service<Routed, Response = Response, Error = BoxError>,
{
    type Response = Response;
    type Error = BoxError;
    type Future = DeadlineFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut routed: Routed) -> Self::Future {
        let streams = routed.streams.take();
        let Some(timeout) = routed.timeout else {
            return DeadlineFuture { limit: None, streams, inner: Some(self.inner.call(routed)) };
        };
        let facts = routed.request.facts.clone();
        let deadline = facts.note(|record| record.started) + timeout;
        let limit = Some(Limit { timeout, reached: self.wheel.at(deadline), facts });
        // it may have waited above for longer than it has
        let inner = if Instant::now() < deadline { Some(self.inner.call(routed)) } else { None };
        DeadlineFuture { limit, streams, inner }
    }
}

/// How long a request may take.
#[derive(Debug)]
struct Limit {
    timeout: Duration,
    reached: Moment,
    facts: Facts,
}

pin_project! {
    /// The future of [`Deadline`].
    #[derive(Debug)]
    pub struct DeadlineFuture<F> {
        limit: Option<Limit>,
        streams: Option<Arc<StreamTimeouts>>,
        // none where the time had passed before the request came here
        #[pin]
        inner: Option<F>,
    }
}

impl<F> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response, BoxError>>,
{
    type Output = Result<Response, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let expired = match this.inner.as_pin_mut().map(|inner| inner.poll(cx)) {
            Some(Poll::Ready(mut result)) => {
                if let (Ok(Response::Stream(_, handle)), Some(timeouts)) = (&mut result, this.streams) {
                    handle.set_timeouts(**timeouts);
                }
                return Poll::Ready(result);
            }
            Some(Poll::Pending) => false,
            None => true,
        };
        let Some(limit) = this.limit else { return Poll::Pending };
        if !expired {
            ready!(Pin::new(&mut limit.reached).poll(cx));
            limit.facts.note(|record| record.overdue = true);
        }
        let text = format!("no answer within {:?}", limit.timeout);
        Poll::Ready(Err(LocalReply::new(Reason::Timeout, text).into()))
    }
}
