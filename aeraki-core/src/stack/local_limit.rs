//! Limits requests by buckets of tokens of this process.

use std::sync::Arc;

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::{config::LimitScope, policy::LocalLimit};

use super::{Admission, Gate, Request};
use crate::observe::{Collect, Counter, Samples, Value};

/// Refuses requests for which there is no token, by a [local rate limit](aeraki_route::config::LocalRateLimit).
#[derive(Clone, Debug)]
pub struct LimitLocally {
    limit: Arc<LocalLimit>,
    stats: Arc<LocalLimitStats>,
}

impl LimitLocally {
    /// Makes the gate, which counts into `stats`.
    #[must_use]
    pub const fn new(limit: Arc<LocalLimit>, stats: Arc<LocalLimitStats>) -> Self {
        Self { limit, stats }
    }
}

impl Gate for LimitLocally {
    fn admit(&self, request: &mut Request) -> Admission {
        limit(&self.limit, request, &self.stats).map_or_else(Admission::Refuse, |()| Admission::Pass)
    }

    fn of_connection(&self) -> Option<Arc<dyn Gate>> {
        (self.limit.config().scope == LimitScope::Connection).then(|| {
            let limit = self.limit.renewed();
            Arc::new(Self { limit, stats: Arc::clone(&self.stats) }) as _
        })
    }
}

/// Takes the token of a request.
pub(super) fn limit(limit: &LocalLimit, request: &Request, stats: &LocalLimitStats) -> Result<(), LocalReply> {
    let now = request.facts.note(|record| record.started).into_std();
    if limit.admits(&*request.message, now) {
        stats.ok.inc();
        return Ok(());
    }
    stats.rate_limited.inc();
    Err(LocalReply::new(Reason::OverLimit, "the proxy's own rate limit is reached"))
}

/// Counts what became of requests at one local rate limit, as upstream's proxy names it:
/// `meta_protocol.<stat prefix of the limit>.local_rate_limit.ok` and `.rate_limited`.
#[derive(Debug)]
pub struct LocalLimitStats {
    stat_prefix: String,
    /// Requests that had a token, or needed none.
    pub ok: Counter,
    /// Requests that were refused.
    pub rate_limited: Counter,
    limit: Option<Arc<LocalLimit>>,
}

impl LocalLimitStats {
    /// Counts for a limit.
    #[must_use]
    pub fn of(limit: &Arc<LocalLimit>) -> Arc<Self> {
        let stat_prefix = limit.config().stat_prefix.clone();
        let (ok, rate_limited) = Default::default();
        Arc::new(Self { stat_prefix, ok, rate_limited, limit: Some(Arc::clone(limit)) })
    }

    /// Counts for all limits that routes have.
    #[must_use]
    pub fn of_routes(stat_prefix: impl Into<String>) -> Arc<Self> {
        let (ok, rate_limited) = Default::default();
        Arc::new(Self { stat_prefix: stat_prefix.into(), ok, rate_limited, limit: None })
    }
}

impl Collect for LocalLimitStats {
    fn collect(&self, samples: &mut Samples) {
        let forgotten = self.limit.as_ref().map_or(0, |limit| limit.forgotten());
        samples
            .scope("meta_protocol", &[("filter", &*self.stat_prefix)])
            .add("local_rate_limit.ok", "Requests within their local rate limit.", Value::Counter(self.ok.get()))
            .add("local_rate_limit.rate_limited", "Requests over it.", Value::Counter(self.rate_limited.get()))
            .add("local_rate_limit.forgotten", "Keys that made room for others.", Value::Counter(forgotten));
    }
}
