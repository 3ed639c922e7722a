//! Allows and denies requests.

use std::sync::Arc;

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::policy::{Authorization, Peer, Why};

use super::{Admission, Gate, Request};
use crate::observe::Metrics;

/// Denies requests by [authorization policies](aeraki_route::config::AuthorizationPolicy).
///
/// Every decision is counted; denials, and what policies that are only tried would have denied, are told to the log
/// target `aeraki::authorization` at level `info`.
#[derive(Debug)]
pub struct Authorize {
    policies: Arc<Authorization>,
    metrics: Arc<Metrics>,
}

impl Authorize {
    /// Makes the gate.
    #[must_use]
    pub const fn new(policies: Arc<Authorization>, metrics: Arc<Metrics>) -> Self {
        Self { policies, metrics }
    }
}

impl Gate for Authorize {
    fn admit(&self, request: &mut Request) -> Admission {
        authorize(&self.policies, request, &self.metrics).map_or_else(Admission::Refuse, |()| Admission::Pass)
    }
}

/// Judges a request by policies.
pub(super) fn authorize(policies: &Authorization, request: &Request, metrics: &Metrics) -> Result<(), LocalReply> {
    let conn = &request.conn;
    let peer = Peer::new(conn.peer.ip(), conn.local.port()).with_principal(conn.principal.as_deref());
    let decision = policies.judge(&*request.message, &peer);
    let counters = &metrics.counters;
    if let Some((allowed, why)) = &decision.dry_run {
        if *allowed {
            counters.authorization_dry_run_allowed.inc();
        } else {
            counters.authorization_dry_run_denied.inc();
            audit("would be denied", why, request);
        }
    }
    if decision.allowed {
        counters.authorization_allowed.inc();
        return Ok(());
    }
    counters.authorization_denied.inc();
    audit("denied", &decision.why, request);
    Err(LocalReply::new(Reason::Denied, reply_text(&decision.why)))
}

/// What clients are told: not which policy it was, which is none of their business.
fn reply_text(why: &Why<'_>) -> String {
    match why {
        Why::Ambiguous(name) => format!("the request has several values of {name:?}, and cannot be judged"),
        _ => "the request is not allowed".to_owned(),
    }
}

fn audit(what: &'static str, why: &Why<'_>, request: &Request) {
    let conn = &request.conn;
    let (peer, listener, principal) = (conn.peer, &*conn.listener, conn.principal.as_deref());
    tracing::info!(target: "aeraki::authorization", %peer, listener, principal, ?why, "{what}");
}
