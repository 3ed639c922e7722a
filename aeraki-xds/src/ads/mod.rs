//! The state-of-the-world protocol of xDS without any input or output: requests and snapshots in, responses out.
//!
//! [`AdsStream`] is one stream of one subscriber. It answers a subscription from the current snapshot, sends what
//! changed and nothing else, keeps one response per type on its way at a time (a newer snapshot replaces what still
//! waits), tells ACK from NACK by `error_detail`, and drops requests that answer an older response. What was refused is
//! not sent again until its content changes.

mod subscription;

use std::sync::Arc;

use self::subscription::Subscription;
use crate::Snapshot;
use crate::proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};

/// One stream of one subscriber.
#[derive(Debug, Default)]
pub struct AdsStream {
    only: Option<&'static str>,
    snapshot: Option<Arc<Snapshot>>,
    subscriptions: Vec<Subscription>,
    nonce: u64,
}

impl AdsStream {
    /// Creates an aggregated stream, which carries any type.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a stream of one type, whose requests may leave the type out.
    pub fn of_type(type_url: &'static str) -> Self {
        Self { only: Some(type_url), ..Self::default() }
    }

    /// Takes a request in; [`next_response`](Self::next_response) may have something to send then.
    ///
    /// # Errors
    ///
    /// Fails on a request that the stream cannot go on after.
    pub fn on_request(&mut self, request: DiscoveryRequest) -> Result<Heard, AdsError> {
        let type_url = self.type_url(&request)?;
        if let Some(subscription) = self.subscriptions.iter_mut().find(|known| known.type_url() == type_url) {
            return subscription.on_request(request);
        }
        if self.subscriptions.len() == MAX_TYPES {
            return Err(AdsError::TooManyTypes);
        }
        let mut subscription = Subscription::new(type_url);
        let heard = subscription.on_request(request);
        self.subscriptions.push(subscription);
        heard
    }

    /// Takes a new snapshot in, which replaces the one before even if some of that was never sent.
    pub fn on_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshot = Some(snapshot);
        self.subscriptions.iter_mut().for_each(Subscription::check_again);
    }

    /// Returns the next response to send, if there is one now.
    ///
    /// Before the first snapshot there is none: a subscriber waits rather than be told that nothing exists.
    pub fn next_response(&mut self) -> Option<DiscoveryResponse> {
        let snapshot = self.snapshot.as_deref()?;
        let nonce = self.nonce + 1;
        let response = self.subscriptions.iter_mut().find_map(|subscription| subscription.respond(snapshot, nonce))?;
        self.nonce = nonce;
        Some(response)
    }

    /// Lists the types of which resources are asked for that are not there, and their names, each once until it has
    /// been there; none before the first snapshot. The protocol has no answer for them: the subscriber waits.
    pub fn newly_absent(&mut self) -> Vec<(String, Vec<String>)> {
        let Some(snapshot) = self.snapshot.as_deref() else { return Vec::new() };
        let mut absent = Vec::new();
        for subscription in &mut self.subscriptions {
            let names = subscription.newly_absent(snapshot);
            if !names.is_empty() {
                absent.push((subscription.type_url().to_owned(), names));
            }
        }
        absent
    }

    fn type_url(&self, request: &DiscoveryRequest) -> Result<String, AdsError> {
        match (self.only, request.type_url.as_str()) {
            (None, "") => Err(AdsError::NoType),
            (Some(only), "") => Ok(only.to_owned()),
            (Some(only), other) if other != only => Err(AdsError::WrongType { only, found: other.to_owned() }),
            (_, type_url) => Ok(type_url.to_owned()),
        }
    }
}

/// What a request said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard {
    /// It asks for resources, as the first of its type on the stream or after a lost state.
    Subscribed,
    /// The last response was accepted.
    Acked {
        /// Type of its resources.
        type_url: String,
        /// Version of that response.
        version: String,
    },
    /// The last response was refused; the subscriber keeps what it had.
    Nacked {
        /// Type of its resources.
        type_url: String,
        /// Version of the refused response.
        version: String,
        /// The subscriber's own words.
        reason: String,
    },
    /// It answers an older response and was dropped.
    Stale,
}

/// Why a stream must end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdsError {
    /// A request on an aggregated stream names no type.
    #[error("type_url is required")]
    NoType,
    /// A request names another type than the one that the stream carries.
    #[error("type_url {found:?}: this stream carries {only} alone")]
    WrongType {
        /// What the stream carries.
        only: &'static str,
        /// What was asked for.
        found: String,
    },
    /// One stream asks for more types than there are.
    #[error("more than {MAX_TYPES} types on one stream")]
    TooManyTypes,
    /// A request asks for too many resources.
    #[error("more than {MAX_NAMES} resource names of one type")]
    TooManyNames,
}

const MAX_TYPES: usize = 32;
const MAX_NAMES: usize = 65_536;

#[cfg(test)]
mod tests;
