//! What the end of a request says of its endpoint.

use std::sync::Arc;

use aeraki_codec::{LocalReply, Message, Outcome, Reason, Refusal};

use super::outlier::Ended;
use crate::{
    observe::Facts,
    stack::{ConnInfo, Response},
    upstream::{endpoint::Endpoint, shared::Shared},
};

/// A request whose end counts.
#[derive(Debug)]
pub(in crate::upstream) struct Watched {
    facts: Facts,
    conn: Arc<ConnInfo>,
    /// The rules that were in force when it was sent, which its endpoint may have outlived.
    rules: Arc<Shared>,
}

impl Watched {
    /// Watches a request, where its cluster takes endpoints out.
    pub(in crate::upstream) fn new(facts: &Facts, conn: &Arc<ConnInfo>, rules: &Arc<Shared>) -> Option<Self> {
        rules.config.outlier_detection.as_ref()?;
        Some(Self { facts: facts.clone(), conn: Arc::clone(conn), rules: Arc::clone(rules) })
    }

    /// Notes how it ended.
    pub(in crate::upstream) fn ended(self, outcome: &Result<Response, LocalReply>, endpoint: &Endpoint) {
        let ended = match outcome {
            Ok(Response::Message(answer)) => Some(self.of_answer(answer)),
            Ok(_) => Some(Ended::Well),
            Err(reply) => of_failure(reply.reason()),
        };
        if let Some(ended) = ended {
            self.rules.note(endpoint, ended);
        }
    }

    /// Notes that nobody waits for it any more: that is the endpoint's fault only where it took too long.
    pub(in crate::upstream) fn given_up(self, endpoint: &Endpoint) {
        if self.facts.note(|record| record.overdue) {
            self.rules.note(endpoint, Ended::LocalOrigin);
        }
    }

    fn of_answer(&self, answer: &Message) -> Ended {
        let status = answer.status();
        if let Some(errors) = self.rules.error_statuses() {
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
