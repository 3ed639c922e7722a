//! The service stack: one tower layer a file, in the order in which a request passes them.
//!
//! | Layer | What it does |
//! |---|---|
//! | [`RespondLayer`] | errors become answers in the protocol's own words |
//! | [`ObserveLayer`] | how a request ended is noted in its facts |
//! | [`GateLayer`] | the listener's filters, in their order: [`Authorize`], [`LimitLocally`], [`LimitGlobally`], [`InjectFaults`], [`ShedLoad`], [`IdentifyRequests`], and those of embedders |
//! | [`RouteLayer`] | the rules find the route; one of its clusters is picked |
//! | [`DeadlineLayer`] | the route's timeout ends a request, wherever it is |
//! | [`GateLayer`] with [`ApplyPolicies`] | the route's own authorization, limits and faults |
//! | [`MutateLayer`] | the route's changes are applied to request and response |
//! | [`MirrorLayer`] | other clusters get copies, whose answers are dropped |
//! | [`RetryLayer`] | tries that failed are followed by others |
//! | [`Upstream`] | the cluster takes the request |
//!
//! The opening of a stream passes them as a request does, and its answer is a
//! [`StreamHandle`](crate::upstream::StreamHandle): frames pass no layer.
//!
//! [`stack`] joins them. Layers above the route see a [`Request`], layers below it a [`Routed`] request. Whatever only
//! judges requests is a [`Gate`], which a [`GateLayer`] makes a tower layer of.

mod authorize;
mod deadline;
mod exchange;
mod fault;
mod filters;
mod gate;
mod global_limit;
mod local_limit;
mod mirror;
mod mutate;
mod observe;
mod policies;
mod rate_limiter;
mod request;
mod request_id;
mod respond;
mod retry;
mod route;
mod shed;
#[cfg(test)]
mod tests;
mod upstream;
mod wheel;

use std::sync::Arc;

use tower_layer::Layer;

pub(crate) use self::filters::unknown_service;
pub use self::{
    authorize::Authorize,
    deadline::{Deadline, DeadlineFuture, DeadlineLayer},
    exchange::{ExchangeMetadata, PeerMetadata},
    fault::InjectFaults,
    filters::{CompiledFilters, Filters, MakeGate},
    gate::{Admission, Gate, GateLayer, Gated, GatedFuture, Watch},
    global_limit::{LimitGlobally, NoRateLimiters, RateLimiters},
    local_limit::{LimitLocally, LocalLimitStats},
    mirror::{Mirror, MirrorLayer},
    mutate::{Mutate, MutateFuture, MutateLayer},
    observe::{Observe, ObserveFuture, ObserveLayer},
    policies::ApplyPolicies,
    rate_limiter::{RateLimitAnswer, RateLimitAsk, RateLimiter},
    request::{BoxError, BoxFuture, ConnInfo, Forward, Forwarding, Request, Response},
    request_id::{IdentifyRequests, REQUEST_ID},
    respond::{Respond, RespondFuture, RespondLayer},
    retry::{Retry, RetryFuture, RetryLayer},
    route::{CallerTimeout, RouteLayer, Routed, SelectRoute},
    shed::ShedLoad,
    upstream::{Resolve, Upstream},
    wheel::{Moment, Wheel},
};
use crate::observe::Metrics;

/// All layers over the clusters.
pub type Stack = Respond<Observe<Gated<SelectRoute<Deadline<Gated<Mutate<Mirror<Retry<Upstream>>>, Routed>>>>>>;

/// Joins all layers: what a listener runs unless an embedder composes its own.
///
/// `filters` are the listener's gates, `policies` the one that applies what routes ask for.
#[must_use]
pub fn stack(
    clusters: Arc<dyn Resolve>,
    wheel: Wheel,
    metrics: Arc<Metrics>,
    filters: &GateLayer,
    policies: Arc<dyn Gate<Routed>>,
) -> Stack {
    let retry = RetryLayer::new(wheel.clone(), Arc::clone(&metrics)).layer(Upstream::new(Arc::clone(&clusters)));
    let mirror = MirrorLayer::new(clusters, Arc::clone(&metrics)).layer(retry);
    let mutate = MutateLayer::new(Arc::clone(&metrics)).layer(mirror);
    let deadline = DeadlineLayer::new(wheel).layer(GateLayer::new([policies]).layer(mutate));
    let route = RouteLayer::new(metrics).layer(deadline);
    RespondLayer::new().layer(ObserveLayer::new().layer(filters.layer(route)))
}
