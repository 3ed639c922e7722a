//! Finds the route of a request and picks its cluster.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use aeraki_codec::{Kind, LocalReply, Reason};
use aeraki_route::{
    Changes, MirrorTarget, Route,
    config::StreamTimeouts,
    policy::{Retries, RoutePolicies},
};
use futures_util::future::{Either, Ready, ready};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::{BoxError, Request, Response};
use crate::observe::Metrics;

/// A request whose route is known.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Routed {
    /// The request.
    pub request: Request,
    /// The cluster that was picked.
    pub cluster: Arc<str>,
    /// What the route changes in the request.
    pub request_changes: Option<Arc<Changes>>,
    /// What the route changes in the response.
    pub response_changes: Option<Arc<Changes>>,
    /// The clusters that get a copy, already drawn for.
    pub mirrors: Vec<Arc<MirrorTarget>>,
    /// How long the response may take from the moment the whole request is here.
    pub timeout: Option<Duration>,
    /// What the caller says of how long it waits; none where it is not asked or does not say.
    pub caller: Option<CallerTimeout>,
    /// Decides about further tries; none: there are none.
    pub retries: Option<Arc<Retries>>,
    /// What else the route asks for; none: nothing.
    pub policies: Option<Arc<RoutePolicies>>,
    /// How long a stream may last; none: as the listener says, or it is no stream.
    pub streams: Option<Arc<StreamTimeouts>>,
}

/// When a caller stops to wait, and the attribute that says so.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallerTimeout {
    /// The attribute, in milliseconds.
    pub attribute: Arc<str>,
    /// When the caller stops to wait.
    pub until: Instant,
    /// What the attribute said.
    said: Duration,
}

impl Routed {
    /// Has the request say how long its caller still waits.
    pub(super) fn pass_on_timeout(&mut self) {
        let Some(CallerTimeout { attribute, until, said }) = &self.caller else { return };
        let left = until.saturating_duration_since(Instant::now()).as_millis();
        let message = &mut self.request.message;
        if left < said.as_millis() && message.head().is_mutable() {
            message.mutation_mut().set(attribute.as_bytes().to_vec(), left.max(1).to_string());
        }
    }
}

/// Finds the first route that matches, by the rules of the request, and picks one of its clusters by weight.
///
/// Without a match the request ends with [`Reason::RouteNotFound`].
#[derive(Clone, Debug)]
pub struct RouteLayer {
    metrics: Arc<Metrics>,
}

impl RouteLayer {
    /// Makes the layer; `metrics` counts the callers that say how long they wait in a way that is no time.
    #[must_use]
    pub const fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for RouteLayer {
    type Service = SelectRoute<S>;

    fn layer(&self, inner: S) -> SelectRoute<S> {
        SelectRoute { inner, draws: fastrand::Rng::new(), metrics: Arc::clone(&self.metrics) }
    }
}

/// See [`RouteLayer`].
#[derive(Debug)]
pub struct SelectRoute<S> {
    inner: S,
    draws: fastrand::Rng,
    metrics: Arc<Metrics>,
}

impl<S: Clone> Clone for SelectRoute<S> {
    /// The clone of a generator repeats its draws, so that all connections would pick alike: each gets one of its own.
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), draws: fastrand::Rng::new(), metrics: Arc::clone(&self.metrics) }
    }
}

impl<S> SelectRoute<S> {
    fn select(&mut self, mut request: Request) -> Result<Routed, LocalReply> {
        let Some(route) = request.rules.find(&*request.message) else {
            return Err(LocalReply::new(Reason::RouteNotFound, "no route matches the request"));
        };
        let drawn = self.draws.u64(..);
        let cluster = Arc::clone(route.pick(drawn));
        let name = Arc::clone(route.name());
        let started = request.facts.note(|record| {
            record.cluster = Some(Arc::clone(&cluster));
            record.route = Some(name);
            record.started
        });
        let caller = route.caller_timeout(&*request.message).and_then(|(attribute, said)| {
            let Some(said) = said else {
                self.metrics.counters.caller_timeout_invalid.inc();
                return None;
            };
            Some(CallerTimeout { attribute: Arc::clone(attribute), until: started + said, said })
        });
        request.priority = route.priority();
        request.placement = route.place(&*request.message, request.conn.peer.ip(), drawn).map(Box::new);
        let said = caller.as_ref().map(|caller| caller.said);
        Ok(Routed {
            cluster,
            request_changes: route.request_changes().cloned(),
            response_changes: route.response_changes().cloned(),
            mirrors: draw(route, &mut self.draws),
            timeout: route.timeout().into_iter().chain(said).min(),
            caller,
            retries: route.retries().cloned(),
            policies: route.policies().cloned(),
            streams: route.streams().filter(|_| request.message.kind() == Kind::StreamOpen).cloned(),
            request,
        })
    }
}

impl<S> Service<Request> for SelectRoute<S>
where
    S: Service<Routed, Response = Response, Error = BoxError>,
{
    type Response = Response;
    type Error = BoxError;
    type Future = Either<S::Future, Ready<Result<Response, BoxError>>>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        match self.select(request) {
            Ok(routed) => Either::Left(self.inner.call(routed)),
            Err(reply) => Either::Right(ready(Err(reply.into()))),
        }
    }
}

/// Draws for each mirror on its own; allocates nothing where there are none.
fn draw(route: &Route, draws: &mut fastrand::Rng) -> Vec<Arc<MirrorTarget>> {
    route.mirrors().iter().filter(|mirror| mirror.config().fraction.contains(draws.u64(..))).cloned().collect()
}
