//! Allows and denies requests.

use std::{borrow::Cow, fmt, sync::Arc};

use aeraki_codec::{LocalReply, Message, Reason};
use aeraki_route::policy::{Authorization, Peer, Why};

use super::{Admission, Gate, Request};
use crate::observe::Metrics;

/// Denies requests by [authorization policies](aeraki_route::config::AuthorizationPolicy).
///
/// Every decision is counted and told to the log target `aeraki::authorization`: denials at level `info`, what is
/// allowed at level `debug`; and each once more as the policies would have it that are only tried. A record says who
/// asked (`principal`, `peer`), where (`listener`, `local`), for what (`attributes`: interface, method, and what the
/// policies ask for), and what became of it (`verdict`, `dry_run`, and `policy` with the place of its `rule`, or the
/// `reason`).
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
    let peer = Peer::new(conn.peer, conn.local).with_principal(conn.principal.as_deref());
    let decision = policies.judge(&*request.message, &peer);
    let counters = &metrics.counters;
    if let Some((allowed, why)) = &decision.dry_run {
        if *allowed {
            counters.authorization_dry_run_allowed.inc();
        } else {
            counters.authorization_dry_run_denied.inc();
        }
        Record { policies, request, dry_run: true }.tell(*allowed, why);
    }
    Record { policies, request, dry_run: false }.tell(decision.allowed, &decision.why);
    if decision.allowed {
        counters.authorization_allowed.inc();
        return Ok(());
    }
    counters.authorization_denied.inc();
    Err(LocalReply::new(Reason::Denied, reply_text(&decision.why)))
}

/// What clients are told: not which policy it was, which is none of their business.
fn reply_text(why: &Why<'_>) -> String {
    match why {
        Why::Ambiguous(name) => format!("the request has several values of {name:?}, and cannot be judged"),
        _ => "the request is not allowed".to_owned(),
    }
}

/// What is told of a decision.
struct Record<'a> {
    policies: &'a Authorization,
    request: &'a Request,
    dry_run: bool,
}

/// Tells a record, if anybody listens at this level.
macro_rules! tell {
    ($level:ident, $verdict:literal, $record:expr, $why:expr) => {{
        let (conn, attributes) = (&$record.request.conn, Called($record.policies, &$record.request.message));
        tracing::$level!(
            target: "aeraki::authorization",
            verdict = $verdict,
            dry_run = $record.dry_run,
            policy = policy($why),
            rule = rule($why),
            reason = %Reasoned($why),
            principal = conn.principal.as_deref(),
            peer = %conn.peer,
            local = %conn.local,
            listener = &*conn.listener,
            attributes = %attributes,
            "authorization"
        );
    }};
}

impl Record<'_> {
    #[inline]
    fn tell(&self, allowed: bool, why: &Why<'_>) {
        if allowed {
            tell!(debug, "allowed", self, why);
        } else {
            tell!(info, "denied", self, why);
        }
    }
}

fn policy<'a>(why: &Why<'a>) -> Option<&'a str> {
    match why {
        Why::Policy { name, .. } => Some(name),
        _ => None,
    }
}

fn rule(why: &Why<'_>) -> Option<usize> {
    match why {
        Why::Policy { rule, .. } => Some(*rule),
        _ => None,
    }
}

/// Writes why it was decided so.
struct Reasoned<'a>(&'a Why<'a>);

impl fmt::Display for Reasoned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Why::Policy { .. } => f.write_str("a rule matches"),
            Why::NoPolicy => f.write_str("no policy denies it"),
            Why::NotAllowed => f.write_str("no policy allows it"),
            Why::Ambiguous(name) => write!(f, "{name:?} cannot be told for sure"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// Writes what a request asks for, as far as policies could look at it: `interface="a.Greeter" method="greet"`.
struct Called<'a>(&'a Authorization, &'a Message);

impl fmt::Display for Called<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(policies, message) = self;
        let values = policies.keys().filter_map(|key| Some((key, message.attr(key)?)));
        for (place, (key, value)) in values.enumerate() {
            let blank = if place == 0 { "" } else { " " };
            write!(f, "{blank}{key}={:?}", text(value))?;
        }
        Ok(())
    }
}

/// Keeps a value to what belongs into a log; where it is written, what is no text is escaped.
fn text(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value.get(..LONGEST).unwrap_or(value))
}

/// Bytes of a value that a record holds.
const LONGEST: usize = 256;
