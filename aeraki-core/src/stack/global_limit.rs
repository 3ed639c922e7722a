//! Asks a rate limit service about requests.

use std::{fmt, sync::Arc};

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::policy::GlobalLimit;

use super::{Admission, BoxFuture, Gate, RateLimitAnswer, RateLimitAsk, RateLimiter, Request};
use crate::observe::Metrics;

/// Finds the rate limit service of a cluster.
pub trait RateLimiters: Send + Sync + fmt::Debug + 'static {
    /// Returns the service behind the cluster of this name; none where nobody can be asked.
    fn find(&self, cluster: &str) -> Option<Arc<dyn RateLimiter>>;
}

/// Knows no service: every question fails, and the limit's failure mode decides.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoRateLimiters;

impl NoRateLimiters {
    /// Makes one.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl RateLimiters for NoRateLimiters {
    fn find(&self, _: &str) -> Option<Arc<dyn RateLimiter>> {
        None
    }
}

/// Refuses requests that a rate limit service refuses, by a [global rate limit](aeraki_route::config::GlobalRateLimit).
///
/// A request waits for the answer alone; others go on meanwhile.
#[derive(Debug)]
pub struct LimitGlobally {
    limit: Arc<GlobalLimit>,
    services: Arc<dyn RateLimiters>,
    metrics: Arc<Metrics>,
}

impl LimitGlobally {
    /// Makes the gate; `services` knows whom to ask.
    #[must_use]
    pub const fn new(limit: Arc<GlobalLimit>, services: Arc<dyn RateLimiters>, metrics: Arc<Metrics>) -> Self {
        Self { limit, services, metrics }
    }
}

impl Gate for LimitGlobally {
    fn admit(&self, request: &mut Request) -> Admission {
        match ask(&self.limit, request, &*self.services, &self.metrics) {
            Some(answer) => Admission::Wait(answer),
            None => Admission::Pass,
        }
    }
}

/// Asks about a request; nothing where it is not limited.
pub(super) fn ask(
    limit: &GlobalLimit,
    request: &Request,
    services: &dyn RateLimiters,
    metrics: &Arc<Metrics>,
) -> Option<BoxFuture<Result<(), LocalReply>>> {
    let descriptors = limit.descriptors(&*request.message)?;
    let config = limit.config();
    let ask = RateLimitAsk::new(config.domain.clone(), descriptors, config.timeout);
    let answer = services.find(&config.cluster).map(|service| service.ask(ask.with_hits_addend(config.hits_addend)));
    let (deny, cluster, metrics) = (config.failure_mode_deny, config.cluster.clone(), Arc::clone(metrics));
    Some(Box::pin(async move {
        let answer = match answer {
            Some(answer) => answer.await.map_err(|error| error.to_string()),
            None => Err(format!("there is no rate limit service {cluster:?}")),
        };
        judge(answer, deny, &metrics)
    }))
}

fn judge(answer: Result<RateLimitAnswer, String>, deny: bool, metrics: &Metrics) -> Result<(), LocalReply> {
    let counters = &metrics.counters;
    match answer {
        Ok(RateLimitAnswer::Ok) => counters.ratelimit_ok.inc(),
        Ok(RateLimitAnswer::OverLimit) => {
            counters.ratelimit_over_limit.inc();
            return Err(LocalReply::new(Reason::OverLimit, "the rate limit is reached"));
        }
        Err(error) => {
            counters.ratelimit_error.inc();
            tracing::debug!(error, "the rate limit service does not answer");
            if deny {
                let text = "the rate limit cannot be looked up, and requests are denied then";
                return Err(LocalReply::new(Reason::OverLimit, text));
            }
            counters.ratelimit_failure_mode_allowed.inc();
        }
    }
    Ok(())
}
