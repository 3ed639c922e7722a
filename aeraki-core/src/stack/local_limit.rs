//! Limits requests by buckets of tokens of this process.

use std::sync::{Arc, Mutex, Weak};

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::{Route, SharedRules, config::LimitScope, policy::LocalLimit};

use super::{Admission, Gate, Request};
use crate::{
    observe::{Collect, Samples, Value},
    sync::lock,
};

/// Refuses requests for which there is no token, by a [local rate limit](aeraki_route::config::LocalRateLimit).
#[derive(Clone, Debug)]
pub struct LimitLocally {
    limit: Arc<LocalLimit>,
}

impl LimitLocally {
    /// Makes the gate.
    #[must_use]
    pub const fn new(limit: Arc<LocalLimit>) -> Self {
        Self { limit }
    }
}

impl Gate for LimitLocally {
    fn admit(&self, request: &mut Request) -> Admission {
        limit(&self.limit, request).map_or_else(Admission::Refuse, |()| Admission::Pass)
    }
}

/// Takes the token of a request.
pub(super) fn limit(limit: &Arc<LocalLimit>, request: &Request) -> Result<(), LocalReply> {
    let now = request.facts.note(|record| record.started).into_std();
    let admitted = match limit.config().scope {
        LimitScope::Connection => request.conn.limits.of(limit).admits(&*request.message, now),
        _ => limit.admits(&*request.message, now),
    };
    if admitted { Ok(()) } else { Err(LocalReply::new(Reason::OverLimit, "the proxy's own rate limit is reached")) }
}

/// The limits that one connection has for itself, each beside the one that it was made of.
#[derive(Debug, Default)]
pub(super) struct OwnLimits(Mutex<Vec<(Weak<LocalLimit>, Arc<LocalLimit>)>>);

impl OwnLimits {
    fn of(&self, limit: &Arc<LocalLimit>) -> Arc<LocalLimit> {
        let mut own = lock(&self.0);
        if let Some((_, own)) = own.iter().find(|(of, _)| of.as_ptr() == Arc::as_ptr(limit)) {
            return Arc::clone(own);
        }
        // those that are not in force any more
        own.retain(|(of, _)| of.strong_count() > 0);
        let renewed = limit.renewed();
        own.push((Arc::downgrade(limit), Arc::clone(&renewed)));
        renewed
    }
}

/// Shows what became of requests at all local rate limits of a proxy, as upstream's proxy names it:
/// `meta_protocol.<stat prefix of the limit>.local_rate_limit.ok` and `.rate_limited`.
#[derive(Debug)]
pub struct LocalLimitStats {
    limits: Vec<Arc<LocalLimit>>,
    tables: Vec<Arc<SharedRules>>,
}

impl LocalLimitStats {
    /// Shows these limits of listeners, and those of the routes in `tables` that are in force.
    pub fn new(
        limits: impl IntoIterator<Item = Arc<LocalLimit>>,
        tables: impl IntoIterator<Item = Arc<SharedRules>>,
    ) -> Self {
        Self { limits: limits.into_iter().collect(), tables: tables.into_iter().collect() }
    }

    /// Lists every limit once, however many routes and listeners share it.
    fn limits(&self) -> Vec<Arc<LocalLimit>> {
        let mut limits = self.limits.clone();
        for rules in self.tables.iter().map(|table| table.load()) {
            let routes = rules.table().map_or(&[][..], |table| table.routes());
            let policies = routes.iter().filter_map(Route::policies);
            limits.extend(policies.filter_map(|policies| policies.local_limit.clone()));
        }
        limits.sort_unstable_by_key(Arc::as_ptr);
        limits.dedup_by_key(|limit| Arc::as_ptr(limit));
        limits
    }
}

impl Collect for LocalLimitStats {
    fn collect(&self, samples: &mut Samples) {
        for limit in self.limits() {
            let counts = limit.counts();
            samples
                .scope("meta_protocol", &[("filter", &*limit.config().stat_prefix)])
                .add("local_rate_limit.ok", "Requests within their local rate limit.", Value::Counter(counts.ok()))
                .add("local_rate_limit.rate_limited", "Requests over it.", Value::Counter(counts.limited()))
                .add(
                    "local_rate_limit.forgotten",
                    "Keys that made room for others.",
                    Value::Counter(counts.forgotten()),
                );
        }
    }
}
