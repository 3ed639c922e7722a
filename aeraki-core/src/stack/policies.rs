//! What routes ask for besides a destination: their authorization, limits and faults.

use std::sync::Arc;

use aeraki_route::{
    config::LimitScope,
    policy::{LocalLimit, RoutePolicies},
};
use std::sync::Mutex;

use super::{
    Admission, Gate, RateLimiters, Routed, Wheel,
    authorize::authorize,
    fault::Injector,
    global_limit,
    local_limit::{self, LocalLimitStats},
};
use crate::{observe::Metrics, sync::lock};

/// Applies the [policies of a route](RoutePolicies) to its requests: authorization, then limits, then faults.
///
/// Costs a comparison where the route has none.
#[derive(Debug)]
pub struct ApplyPolicies {
    services: Arc<dyn RateLimiters>,
    injector: Injector,
    stats: Arc<LocalLimitStats>,
    metrics: Arc<Metrics>,
    /// The limits of this connection, each beside the one of its route.
    own: Mutex<Vec<(Arc<LocalLimit>, Arc<LocalLimit>)>>,
}

impl ApplyPolicies {
    /// Makes the gate; `services` knows the rate limit services, `wheel` keeps delays, `stats` counts local limits.
    #[must_use]
    pub fn new(
        services: Arc<dyn RateLimiters>,
        wheel: Wheel,
        stats: Arc<LocalLimitStats>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let injector = Injector::new(wheel, Arc::clone(&metrics));
        Self { services, injector, stats, metrics, own: Mutex::default() }
    }

    fn apply(&self, policies: &RoutePolicies, routed: &Routed) -> Admission {
        let request = &routed.request;
        let refused = match &policies.authorization {
            Some(authorization) => authorize(authorization, request, &self.metrics),
            None => Ok(()),
        };
        let limited = refused.and_then(|()| match &policies.local_limit {
            Some(limit) => local_limit::limit(&self.limit_of_connection(limit), request, &self.stats),
            None => Ok(()),
        });
        if let Err(reply) = limited {
            return Admission::Refuse(reply);
        }
        let global = policies.global_limit.as_ref();
        let asked = global.and_then(|limit| global_limit::ask(limit, request, &*self.services, &self.metrics));
        let fault = policies.faults.as_ref().map_or(Admission::Pass, |faults| self.injector.inject(faults, request));
        match (asked, fault) {
            (None, fault) => fault,
            (Some(asked), Admission::Pass) => Admission::Wait(asked),
            (Some(asked), fault) => Admission::Wait(Box::pin(async move {
                asked.await?;
                match fault {
                    Admission::Refuse(reply) => Err(reply),
                    Admission::Wait(wait) => wait.await,
                    Admission::Pass | Admission::Watch(_) => Ok(()),
                }
            })),
        }
    }

    /// Returns the limit to ask: one of the connection's own where the route's is meant for each of them.
    fn limit_of_connection(&self, limit: &Arc<LocalLimit>) -> Arc<LocalLimit> {
        if limit.config().scope != LimitScope::Connection {
            return Arc::clone(limit);
        }
        let mut own = lock(&self.own);
        if let Some((_, own)) = own.iter().find(|(of, _)| Arc::ptr_eq(of, limit)) {
            return Arc::clone(own);
        }
        // limits that are not in force any more are held by nobody else
        own.retain(|(of, _)| Arc::strong_count(of) > 1);
        let renewed = limit.renewed();
        own.push((Arc::clone(limit), Arc::clone(&renewed)));
        renewed
    }
}

impl Gate<Routed> for ApplyPolicies {
    fn admit(&self, routed: &mut Routed) -> Admission {
        match &routed.policies {
            Some(policies) => self.apply(policies, routed),
            None => Admission::Pass,
        }
    }

    fn of_connection(&self) -> Option<Arc<dyn Gate<Routed>>> {
        Some(Arc::new(Self {
            services: Arc::clone(&self.services),
            injector: self.injector.clone(),
            stats: Arc::clone(&self.stats),
            metrics: Arc::clone(&self.metrics),
            own: Mutex::default(),
        }))
    }
}
