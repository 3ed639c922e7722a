//! The time before a listener takes connections: until its route tables have come, or for as long as each of them may
//! take.

use std::sync::Arc;

use aeraki_route::{
    SharedRules,
    config::{RouteSource, RouteSubscription},
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::time::{Instant, timeout_at};

use super::Prepared;

/// Whether a listener takes connections yet; cheap to clone, shared by all workers.
#[derive(Clone, Debug)]
pub(super) struct Warming {
    done: Shared<BoxFuture<'static, ()>>,
    was_warm: bool,
}

/// A table that has not come yet, and its place.
type Missing = (RouteSubscription, Arc<SharedRules>);

impl Warming {
    pub(super) fn of(prepared: &Prepared) -> Self {
        let subscribed = prepared.rpcs().filter_map(|rpc| match &rpc.config.routes {
            RouteSource::Dynamic(subscription) => Some((subscription.clone(), Arc::clone(&rpc.rules))),
            _ => None,
        });
        let missing: Vec<Missing> = subscribed.filter(|(_, rules)| rules.load().table().is_none()).collect();
        let was_warm = missing.is_empty();
        Self { done: wait(prepared.config.name.clone(), missing).boxed().shared(), was_warm }
    }

    /// Tells whether the listener had all its tables from the start.
    pub(super) const fn was_warm(&self) -> bool {
        self.was_warm
    }

    /// Waits until the listener takes connections.
    pub(super) async fn over(&self) {
        self.done.clone().await;
    }
}

async fn wait(listener: String, missing: Vec<Missing>) {
    let began = Instant::now();
    for (RouteSubscription { route_config_name, initial_fetch_timeout, .. }, rules) in missing {
        if initial_fetch_timeout.is_zero() {
            rules.in_force().await;
        } else if timeout_at(began + initial_fetch_timeout, rules.in_force()).await.is_err() {
            tracing::warn!(
                listener,
                routes = route_config_name,
                "have not come within {initial_fetch_timeout:?}: connections are served without them"
            );
        }
    }
}
