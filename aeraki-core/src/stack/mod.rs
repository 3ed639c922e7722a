//! The service stack: one tower layer a file, in the order in which a request passes them.
//!
//! | Layer | What it does |
//! |---|---|
//! | [`RespondLayer`] | errors become answers in the protocol's own words |
//! | [`ObserveLayer`] | how a request ended is noted in its facts |
//! | [`RouteLayer`] | the rules find the route; one of its clusters is picked |
//! | [`MutateLayer`] | the route's changes are applied to request and response |
//! | [`DeadlineLayer`] | the route's timeout ends a request |
//! | [`Upstream`] | the cluster takes the request |
//!
//! [`stack`] joins them. Layers above the route see a [`Request`], layers below it a [`Routed`] request.

mod deadline;
mod mutate;
mod observe;
mod request;
mod respond;
mod route;
#[cfg(test)]
mod tests;
mod upstream;
mod wheel;

use std::{convert::Infallible, sync::Arc};

use tower_layer::Layer;
use tower_service::Service;

pub use self::{
    deadline::{Deadline, DeadlineFuture, DeadlineLayer},
    mutate::{Mutate, MutateFuture, MutateLayer},
    observe::{Observe, ObserveFuture, ObserveLayer},
    request::{BoxError, BoxFuture, ConnInfo, Forward, Request, Response},
    respond::{Respond, RespondFuture, RespondLayer},
    route::{RouteLayer, Routed, SelectRoute},
    upstream::{Resolve, Upstream},
    wheel::{Moment, Wheel},
};
use crate::observe::Metrics;

/// Joins all layers: what a listener runs unless an embedder composes its own.
pub fn stack(
    clusters: Arc<dyn Resolve>,
    wheel: Wheel,
    metrics: Arc<Metrics>,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static {
    let deadline = DeadlineLayer::new(wheel).layer(Upstream::new(clusters));
    let mutate = MutateLayer::new(metrics).layer(deadline);
    let route = RouteLayer::new().layer(mutate);
    RespondLayer::new().layer(ObserveLayer::new().layer(route))
}
