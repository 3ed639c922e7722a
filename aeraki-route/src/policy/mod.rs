//! Decisions about requests beyond their route: who may ask, how often, and what goes wrong on purpose.
//!
//! Each is compiled from its configuration once and judges messages from then on. None has a clock or randomness of its
//! own: the caller brings both, so that every decision can be repeated in a test.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use aeraki_route::{config::{LocalRateLimit, TokenBucket}, policy::LocalLimit};
//!
//! let config = LocalRateLimit::new("demo").with_bucket(TokenBucket::new(1, 1, Duration::from_secs(1)));
//! let limit = LocalLimit::compile(&config)?;
//! let call = [("method", "sayHello")];
//! let now = Instant::now();
//! assert!(limit.admits(&call, now));
//! assert!(!limit.admits(&call, now + Duration::from_millis(999)), "the only token is gone");
//! assert!(limit.admits(&call, now + Duration::from_secs(1)));
//! # Ok::<_, aeraki_route::config::ConfigError>(())
//! ```

mod authorization;
mod bucket;
mod concurrency;
mod fault;
mod global_limit;
mod local_limit;
mod retry;

use std::sync::Arc;

use self::{authorization::AuthorizationCompiler, local_limit::LimitCompiler};
pub use self::{
    authorization::{Authorization, Decision, Peer, Why},
    bucket::Bucket,
    concurrency::{Concurrency, Underway},
    fault::{FaultDraw, Faults},
    global_limit::GlobalLimit,
    local_limit::{LimitCounts, LocalLimit},
    retry::{Budget, Failure, Retries},
};
use crate::config::{Route, error::FieldError};

/// Compiles the policies of the routes of one table, which share what they have in common.
#[derive(Debug)]
pub(crate) struct PolicyCompiler {
    authorizations: AuthorizationCompiler,
    limits: LimitCompiler,
}

impl PolicyCompiler {
    /// Makes a compiler that goes on with the policies of another table.
    pub(crate) fn after<'a>(previous: impl Iterator<Item = &'a RoutePolicies> + Clone) -> Self {
        Self {
            authorizations: AuthorizationCompiler::after(
                previous.clone().filter_map(|policies| policies.authorization.as_ref()),
            ),
            limits: LimitCompiler::after(previous.filter_map(|policies| policies.local_limit.as_ref())),
        }
    }

    /// Compiles the policies of a route, which go on with the state of `previous`; none where the route has no
    /// policies.
    pub(crate) fn compile(
        &mut self,
        route: &Route,
        previous: Option<&RoutePolicies>,
    ) -> Result<Option<Arc<RoutePolicies>>, FieldError> {
        let faults = previous.and_then(|old| old.faults.as_ref());
        let guarded = !route.authorization.is_empty();
        let policies = RoutePolicies {
            authorization: guarded.then(|| self.authorizations.compile(&route.authorization)),
            local_limit: route.local_rate_limit.as_ref().map(|config| self.limits.compile(config)).transpose()?,
            global_limit: route.global_rate_limit.as_ref().map(GlobalLimit::build).transpose()?,
            faults: route.fault.as_ref().map(|config| Faults::build_after(config, faults)).transpose()?,
        };
        Ok((!policies.is_empty()).then(|| Arc::new(policies)))
    }
}

/// What may happen to the messages of one route.
#[derive(Debug)]
#[non_exhaustive]
pub struct RoutePolicies {
    /// Who may send them.
    pub authorization: Option<Arc<Authorization>>,
    /// A limit by the proxy itself.
    pub local_limit: Option<Arc<LocalLimit>>,
    /// A limit by a rate limit service.
    pub global_limit: Option<GlobalLimit>,
    /// Faults on purpose.
    pub faults: Option<Faults>,
}

impl RoutePolicies {
    /// Lists the keys that the policies look at.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let authorization = self.authorization.iter().flat_map(|authorization| authorization.keys());
        let local = self.local_limit.iter().flat_map(|limit| limit.keys());
        let global = self.global_limit.iter().flat_map(GlobalLimit::keys);
        authorization.chain(local).chain(global).chain(self.faults.iter().flat_map(Faults::keys))
    }

    fn is_empty(&self) -> bool {
        let Self { authorization, local_limit, global_limit, faults } = self;
        authorization.is_none() && local_limit.is_none() && global_limit.is_none() && faults.is_none()
    }
}
