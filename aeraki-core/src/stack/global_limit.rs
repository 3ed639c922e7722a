//! Asks a rate limit service about requests.

use std::{fmt, sync::Arc, time::Duration};

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::policy::GlobalLimit;
use futures_util::future::{Either, select};
use tokio::time::Instant;

use super::{
    Admission, BoxError, BoxFuture, Gate, RateLimitAnswer, RateLimitAsk, RateLimiter, Request, Wheel, unknown_service,
};
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
/// A request waits for the answer alone, no longer than the limit's timeout; others go on meanwhile.
#[derive(Debug)]
pub struct LimitGlobally {
    limit: Arc<GlobalLimit>,
    asker: Asker,
}

impl LimitGlobally {
    /// Makes the gate; `services` knows whom to ask, `wheel` keeps the timeout.
    #[must_use]
    pub const fn new(
        limit: Arc<GlobalLimit>,
        services: Arc<dyn RateLimiters>,
        wheel: Wheel,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { limit, asker: Asker::new(services, wheel, metrics) }
    }
}

impl Gate for LimitGlobally {
    fn admit(&self, request: &mut Request) -> Admission {
        match self.asker.ask(&self.limit, request) {
            Some(answer) => Admission::Wait(answer),
            None => Admission::Pass,
        }
    }
}

/// Asks rate limit services about requests.
#[derive(Debug)]
pub(super) struct Asker {
    services: Arc<dyn RateLimiters>,
    wheel: Wheel,
    metrics: Arc<Metrics>,
}

impl Asker {
    pub(super) const fn new(services: Arc<dyn RateLimiters>, wheel: Wheel, metrics: Arc<Metrics>) -> Self {
        Self { services, wheel, metrics }
    }

    /// Asks about a request; nothing where it is not limited.
    pub(super) fn ask(&self, limit: &GlobalLimit, request: &Request) -> Option<BoxFuture<Result<(), LocalReply>>> {
        let descriptors = limit.descriptors(&*request.message)?;
        let config = limit.config();
        let ask = RateLimitAsk::new(config.domain.clone(), descriptors, config.timeout);
        let service = self.services.find(&config.cluster).ok_or_else(|| unknown_service(&config.cluster));
        let answer = service.map(|service| service.ask(ask.with_hits_addend(config.hits_addend)));
        let answer = answer.map(|answer| self.in_time(answer, config.timeout));
        let (deny, metrics) = (config.failure_mode_deny, Arc::clone(&self.metrics));
        Some(Box::pin(async move {
            let answer = match answer {
                Ok(answer) => answer.await.map_err(|error| error.to_string()),
                Err(unknown) => Err(unknown),
            };
            judge(answer, deny, &metrics)
        }))
    }

    /// Bounds the wait, whether or not the service keeps its own promise to.
    fn in_time(
        &self,
        answer: BoxFuture<Result<RateLimitAnswer, BoxError>>,
        timeout: Duration,
    ) -> impl Future<Output = Result<RateLimitAnswer, BoxError>> + use<> {
        let over = self.wheel.at(Instant::now() + timeout);
        async move {
            match select(answer, over).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => Err(format!("no answer within {timeout:?}").into()),
            }
        }
    }
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
