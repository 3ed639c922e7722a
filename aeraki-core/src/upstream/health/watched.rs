//! What the end of a request says of its endpoint.

use std::sync::Arc;

use aeraki_codec::{LocalReply, Message, Outcome, Reason, Refusal};

use super::outlier::Ended;
use crate::{
    observe::Facts,
    stack::{ConnInfo, Response},
    upstream::endpoint::Endpoint,
};

/// A request whose end counts.
#[derive(Debug)]
pub(in crate::upstream) struct Watched {
    facts: Facts,
    conn: Arc<ConnInfo>,
}

impl Watched {
    pub(in crate::upstream) fn new(facts: &Facts, conn: &Arc<ConnInfo>) -> Self {
        Self { facts: facts.clone(), conn: Arc::clone(conn) }
    }

    /// Notes how it ended.
    pub(in crate::upstream) fn ended(self, outcome: &Result<Response, LocalReply>, endpoint: &Endpoint) {
        let ended = match outcome {
            Ok(Response::Message(answer)) => Some(self.of_answer(answer, endpoint)),
            Ok(_) => Some(Ended::Well),
            Err(reply) => of_failure(reply.reason()),
        };
        if let Some(ended) = ended {
            endpoint.note(ended);
        }
    }

    /// Notes that nobody waits for it any more: that is the endpoint's fault only where it took too long.
    pub(in crate::upstream) fn given_up(self, endpoint: &Endpoint) {
        if self.facts.note(|record| record.overdue) {
            endpoint.note(Ended::LocalOrigin);
        }
    }

    fn of_answer(&self, answer: &Message, endpoint: &Endpoint) -> Ended {
        let status = answer.status();
        if let Some(errors) = endpoint.error_statuses() {
            return if errors.contains(&status.code()) { Ended::Error } else { Ended::Well };
        }
        match self.conn.protocol.refusal(answer) {
            Some(Refusal::OverLimit) => Ended::Well,
            Some(_) => Ended::Refused,
            None if status.outcome() == Outcome::Error => Ended::Error,
            None => Ended::Well,
        }
    }
}

/// What a failure says; nothing where the endpoint was not even asked.
const fn of_failure(reason: Reason) -> Option<Ended> {
    match reason {
        Reason::ConnectFailure | Reason::UpstreamClosed => Some(Ended::LocalOrigin),
        Reason::BadResponse => Some(Ended::Error),
        _ => None,
    }
}
