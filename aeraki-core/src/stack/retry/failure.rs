//! What the end of a try says of trying again.

use aeraki_codec::{Attributes, Kind, LocalReply, Outcome, Reason, Refusal};
use aeraki_route::{RETRY_HOPS, policy::Failure};

use crate::stack::{BoxError, Response, Routed, mutate::Changed};

/// Names the failure of a try; none where it has none that could be tried again.
pub(super) fn failure_of(result: &Result<Response, BoxError>, routed: &Routed) -> Option<Failure> {
    match result {
        Ok(Response::Message(answer)) => {
            let status = answer.status();
            let code = u32::try_from(status.code()).ok()?;
            let failed = status.outcome() == Outcome::Error || answer.kind() == Kind::Error;
            match routed.request.conn.protocol.refusal(answer) {
                Some(Refusal::OverLimit) => Some(Failure::OverLimit(code)),
                Some(_) => Some(Failure::Refused(code)),
                None => failed.then_some(Failure::Status(code)),
            }
        }
        Ok(_) => None,
        Err(error) => match error.downcast_ref::<LocalReply>()?.reason() {
            Reason::ConnectFailure | Reason::NoHealthyUpstream => Some(Failure::ConnectFailure),
            Reason::UpstreamClosed => Some(Failure::Reset),
            Reason::Timeout => Some(Failure::Timeout),
            _ => None,
        },
    }
}

/// Tells whether the cluster did not take a try.
pub(super) fn is_overflow(result: &Result<Response, BoxError>) -> bool {
    let reply = result.as_ref().err().and_then(|error| error.downcast_ref::<LocalReply>());
    reply.is_some_and(|reply| reply.reason() == Reason::Overflow)
}

/// Reads how often proxies before this one have tried the request again, unless the route removes what they say.
pub(super) fn hops(routed: &Routed) -> u32 {
    let message = Changed::of(&routed.request.message);
    message.attr(RETRY_HOPS).and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()).unwrap_or(0)
}
