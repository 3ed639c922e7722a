//! What routes ask for besides a destination: their authorization, limits and faults.

use std::sync::Arc;

use aeraki_codec::LocalReply;
use aeraki_route::policy::{FaultDraw, RoutePolicies};

use super::{
    Admission, BoxFuture, Gate, RateLimiters, Request, Routed, Wheel,
    authorize::authorize,
    fault::{self, Injector},
    global_limit::Asker,
    local_limit,
};
use crate::observe::Metrics;

/// Applies the [policies of a route](RoutePolicies) to its requests: authorization, then limits, then faults.
///
/// Costs a comparison where the route has none.
#[derive(Debug)]
pub struct ApplyPolicies {
    asker: Asker,
    injector: Injector,
    metrics: Arc<Metrics>,
}

impl ApplyPolicies {
    /// Makes the gate; `services` knows the rate limit services, `wheel` keeps delays and deadlines.
    #[must_use]
    pub fn new(services: Arc<dyn RateLimiters>, wheel: Wheel, metrics: Arc<Metrics>) -> Self {
        let injector = Injector::new(wheel.clone(), Arc::clone(&metrics));
        Self { asker: Asker::new(services, wheel, Arc::clone(&metrics)), injector, metrics }
    }

    fn apply(&self, policies: &Arc<RoutePolicies>, request: &Request) -> Result<Admission, LocalReply> {
        if let Some(authorization) = &policies.authorization {
            authorize(authorization, request, &self.metrics)?;
        }
        if let Some(limit) = &policies.local_limit {
            local_limit::limit(limit, request)?;
        }
        let draw = policies.faults.as_ref().map(|faults| fault::draw(faults, request)).unwrap_or_default();
        let asked = policies.global_limit.as_ref().and_then(|limit| self.asker.ask(limit, request));
        Ok(match asked {
            Some(asked) => Admission::Wait(then(asked, self.injector.clone(), Arc::clone(policies), draw)),
            None => inject(&self.injector, policies, draw),
        })
    }
}

fn inject(injector: &Injector, policies: &RoutePolicies, draw: FaultDraw) -> Admission {
    policies.faults.as_ref().map_or(Admission::Pass, |faults| injector.inject(faults, draw))
}

/// Carries faults out once the rate limit service has let the request pass.
fn then(
    asked: BoxFuture<Result<(), LocalReply>>,
    injector: Injector,
    policies: Arc<RoutePolicies>,
    draw: FaultDraw,
) -> BoxFuture<Result<(), LocalReply>> {
    Box::pin(async move {
        asked.await?;
        match inject(&injector, &policies, draw) {
            Admission::Refuse(reply) => Err(reply),
            Admission::Wait(wait) => wait.await,
            Admission::Pass | Admission::Watch(_) => Ok(()),
        }
    })
}

impl Gate<Routed> for ApplyPolicies {
    fn admit(&self, routed: &mut Routed) -> Admission {
        match &routed.policies {
            Some(policies) => self.apply(policies, &routed.request).unwrap_or_else(Admission::Refuse),
            None => Admission::Pass,
        }
    }
}
