//! Applies the changes that a route asks for, on both ways.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use aeraki_codec::{Attributes, Change, Demand, Head, Limits, Message, Mutation, Protocol, Role};
use aeraki_route::{ChangeValues, Changes, Origin};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{BoxError, Request, Response, Routed};
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
        let response = routed.response_changes.take();
        let response = response.map(|changes| Answer::new(changes, &routed.request, Arc::clone(&self.metrics)));
        if let Some(changes) = &routed.request_changes {
            change(&mut routed.request, changes, &self.metrics);
        }
        MutateFuture { response, inner: self.inner.call(routed) }
    }
}

pin_project! {
    /// The future of [`Mutate`].
    #[derive(Debug)]
    pub struct MutateFuture<F> {
        response: Option<Answer>,
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
        if let (Ok(response), Some(answer)) = (&mut result, this.response)
            && let Some(message) = response.message_mut()
        {
            answer.change(message);
        }
        Poll::Ready(result)
    }
}

/// Changes a request.
fn change(request: &mut Request, changes: &Changes, metrics: &Metrics) {
    if let Some(fixed) = changes.fixed() {
        return apply(&mut request.message, fixed, metrics);
    }
    let message = Changed::of(&request.message);
    let values = changes.values(&message, &origin(request));
    let mutation = Arc::new(changes.resolve(&message, &values));
    apply(&mut request.message, &mutation, metrics);
}

fn origin(request: &Request) -> Origin {
    Origin::new(request.conn.peer.ip(), request.message.id())
}

/// How the answer of a request is changed.
#[derive(Debug)]
struct Answer {
    changes: Arc<Changes>,
    /// What is needed of the request; none where the changes are the same for every message.
    sources: Option<Box<(ChangeValues, Arc<dyn Protocol>)>>,
    metrics: Arc<Metrics>,
}

impl Answer {
    fn new(changes: Arc<Changes>, request: &Request, metrics: Arc<Metrics>) -> Self {
        let sources = changes.fixed().is_none().then(|| {
            let message = Changed::of(&request.message);
            let values = changes.values(&message, &origin(request));
            Box::new((values, Arc::clone(&request.conn.protocol)))
        });
        Self { changes, sources, metrics }
    }

    fn change(&self, message: &mut Message) {
        if let Some(fixed) = self.changes.fixed() {
            apply(message, fixed, &self.metrics);
        } else if let Some(sources) = &self.sources {
            let (values, protocol) = &**sources;
            let there = read(message, &Demand::of(self.changes.targets()), &**protocol);
            let there = Changed { message: &there, mutation: message.mutation() };
            let mutation = Arc::new(self.changes.resolve(&there, values));
            apply(message, &mutation, &self.metrics);
        }
    }
}

/// A message as it will be, with the changes that it carries already.
pub(super) struct Changed<'m> {
    message: &'m Message,
    mutation: Option<&'m Mutation>,
}

impl<'m> Changed<'m> {
    pub(super) fn of(message: &'m Message) -> Self {
        Self { message, mutation: message.mutation() }
    }
}

impl Attributes for Changed<'_> {
    fn attr(&self, key: &str) -> Option<&[u8]> {
        match self.mutation.and_then(|mutation| mutation.get(key.as_bytes())) {
            Some(Change::Set(value)) => Some(value),
            Some(_) => None,
            None => self.message.attr(key),
        }
    }
}

/// Reads the attributes of an answer that decide on its change; nobody else wants any of answers.
pub(super) fn read(message: &Message, demand: &Demand, protocol: &dyn Protocol) -> Message {
    let (frame, mut head) = (message.frame(), Head::new());
    if !demand.is_none() {
        let mut codec = protocol.codec(Role::Client, &Limits::default());
        // what could be read once can be read again; if not, there are no attributes
        let _ = codec.measure(frame).and_then(|_| codec.parse(frame, demand, &mut head));
    }
    Message::new(frame.clone(), head)
}

/// Lets a message carry a change, or counts that it cannot.
pub(super) fn apply(message: &mut Message, mutation: &Arc<Mutation>, metrics: &Metrics) {
    if mutation.is_empty() {
        return;
    }
    if message.head().is_mutable() {
        message.apply(mutation);
    } else {
        metrics.counters.mutation_skipped.inc();
    }
}
