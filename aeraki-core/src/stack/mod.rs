//! The service stack: one tower layer a file, in the order in which a request passes them.
//!
//! | Layer | What it does |
//! |---|---|
//! | [`RespondLayer`] | errors become answers in the protocol's own words |
//! | [`ObserveLayer`] | how a request ended is noted in its facts |
//! | [`RouteLayer`] | the rules find the route; one of its clusters is picked |
//! | [`MutateLayer`] | the route's changes are applied to request and response |
//! | [`MirrorLayer`] | other clusters get copies, whose answers are dropped |
//! | [`DeadlineLayer`] | the route's timeout ends a request |
//! | [`Upstream`] | the cluster takes the request |
//!
//! [`stack`] joins them. Layers above the route see a [`Request`], layers below it a [`Routed`] request.

mod deadline;
mod mirror;
mod mutate;
mod observe;
mod rate_limiter;
mod request;
mod respond;
mod route;
#[cfg(test)]
mod tests;
mod upstream;
mod wheel;

use std::sync::Arc;

use tower_layer::Layer;

pub use self::{
    deadline::{Deadline, DeadlineFuture, DeadlineLayer},
    mirror::{Mirror, MirrorLayer},
    mutate::{Mutate, MutateFuture, MutateLayer},
    observe::{Observe, ObserveFuture, ObserveLayer},
    rate_limiter::{RateLimitAnswer, RateLimitAsk, RateLimiter},
    request::{BoxError, BoxFuture, ConnInfo, Forward, Forwarding, Request, Response},
    respond::{Respond, RespondFuture, RespondLayer},
    route::{RouteLayer, Routed, SelectRoute},
    upstream::{Resolve, Upstream},
    wheel::{Moment, Wheel},
};
use crate::observe::Metrics;

/// All layers over the clusters.
pub type Stack = Respond<Observe<SelectRoute<Mutate<Mirror<Deadline<Upstream>>>>>>;

/// Joins all layers: what a listener runs unless an embedder composes its own.
#[must_use]
pub fn stack(clusters: Arc<dyn Resolve>, wheel: Wheel, metrics: Arc<Metrics>) -> Stack {
    let deadline = DeadlineLayer::new(wheel).layer(Upstream::new(Arc::clone(&clusters)));
    let mirror = MirrorLayer::new(clusters, Arc::clone(&metrics)).layer(deadline);
    let mutate = MutateLayer::new(metrics).layer(mirror);
    let route = RouteLayer::new().layer(mutate);
    RespondLayer::new().layer(ObserveLayer::new().layer(route))
}
