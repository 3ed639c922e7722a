use std::collections::{BTreeSet, HashMap};

use super::{AdsError, Heard, MAX_NAMES};
use crate::proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use crate::proto::google::rpc::Status as RpcStatus;
use crate::{Resource, Snapshot, Version, type_url};

/// What one subscriber wants and has of one type.
#[derive(Debug)]
pub(super) struct Subscription {
    type_url: String,
    wanted: Wanted,
    /// Versions that the subscriber was sent and has not unsubscribed from, refused ones included.
    sent: HashMap<String, Version>,
    /// Names that were asked for and not there when that was last looked at.
    absent: BTreeSet<String>,
    last: Option<Sent>,
    /// The last response is not answered yet.
    awaiting: bool,
    /// Whether there may be something to send.
    unchecked: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Names(BTreeSet<String>),
}

#[derive(Debug)]
struct Sent {
    nonce: String,
    version: String,
}

impl Subscription {
    pub(super) fn new(type_url: String) -> Self {
        Self {
            type_url,
            wanted: Wanted::All,
            sent: HashMap::new(),
            absent: BTreeSet::new(),
            last: None,
            awaiting: false,
            unchecked: true,
        }
    }

    pub(super) fn type_url(&self) -> &str {
        &self.type_url
    }

    pub(super) fn on_request(&mut self, request: DiscoveryRequest) -> Result<Heard, AdsError> {
        if request.resource_names.len() > MAX_NAMES {
            return Err(AdsError::TooManyNames);
        }
        let heard = match &self.last {
            Some(last) if request.response_nonce == last.nonce => self.verdict(last, request.error_detail),
            _ if request.response_nonce.is_empty() => Heard::Subscribed,
            _ => return Ok(Heard::Stale),
        };
        if heard == Heard::Subscribed {
            self.sent.clear();
            self.last = None;
        }
        self.want(request.resource_names, heard == Heard::Subscribed);
        self.awaiting = false;
        self.unchecked = true;
        Ok(heard)
    }

    fn verdict(&self, on: &Sent, error: Option<RpcStatus>) -> Heard {
        let (type_url, version) = (self.type_url.clone(), on.version.clone());
        match error {
            None => Heard::Acked { type_url, version },
            Some(status) => Heard::Nacked { type_url, version, reason: status.message },
        }
    }

    pub(super) fn check_again(&mut self) {
        self.unchecked = true;
    }

    /// Lists the names that are wanted and not there, and were not so before.
    pub(super) fn newly_absent(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let Wanted::Names(names) = &self.wanted else { return Vec::new() };
        let is_absent = |name: &&String| snapshot.get(&self.type_url, name).is_none();
        let absent: BTreeSet<_> = names.iter().filter(is_absent).cloned().collect();
        let new = absent.difference(&self.absent).cloned().collect();
        self.absent = absent;
        new
    }

    /// Makes the response that is due, if any.
    pub(super) fn respond(&mut self, snapshot: &Snapshot, nonce: u64) -> Option<DiscoveryResponse> {
        if self.awaiting || !std::mem::take(&mut self.unchecked) {
            return None;
        }
        let due = if self.is_whole_state() { self.whole_state(snapshot) } else { self.changes(snapshot) }?;
        let version = Version::of_all(due.iter().copied()).to_string();
        self.sent.extend(due.iter().map(|resource| (resource.name().to_owned(), resource.version())));
        self.last = Some(Sent { nonce: nonce.to_string(), version: version.clone() });
        self.awaiting = true;
        Some(DiscoveryResponse {
            version_info: version,
            resources: due.into_iter().map(|resource| resource.body().clone()).collect(),
            type_url: self.type_url.clone(),
            nonce: nonce.to_string(),
            ..DiscoveryResponse::default()
        })
    }

    /// No names at first means everything; later it means nothing any more, unless everything was wanted before.
    fn want(&mut self, names: Vec<String>, first: bool) {
        let all = names.iter().any(|name| name == "*") || (names.is_empty() && (first || self.wanted == Wanted::All));
        if all {
            self.wanted = Wanted::All;
            return;
        }
        let names = BTreeSet::from_iter(names);
        // Who drops a name has forgotten the resource and needs it again when it comes back.
        self.sent.retain(|name, _| names.contains(name));
        self.wanted = Wanted::Names(names);
    }

    /// A response of these types means "and nothing else exists", so it always holds everything.
    fn is_whole_state(&self) -> bool {
        matches!(self.type_url.as_str(), type_url::LISTENER | type_url::CLUSTER)
    }

    fn whole_state<'a>(&mut self, snapshot: &'a Snapshot) -> Option<Vec<&'a Resource>> {
        let resources = self.wanted_of(snapshot);
        let same = |resource: &&Resource| self.sent.get(resource.name()) == Some(&resource.version());
        if self.last.is_some() && resources.len() == self.sent.len() && resources.iter().all(same) {
            return None;
        }
        self.sent.clear();
        Some(resources)
    }

    fn changes<'a>(&self, snapshot: &'a Snapshot) -> Option<Vec<&'a Resource>> {
        let mut resources = self.wanted_of(snapshot);
        resources.retain(|resource| self.sent.get(resource.name()) != Some(&resource.version()));
        (!resources.is_empty()).then_some(resources)
    }

    fn wanted_of<'a>(&self, snapshot: &'a Snapshot) -> Vec<&'a Resource> {
        match &self.wanted {
            Wanted::All => snapshot.resources(&self.type_url).collect(),
            Wanted::Names(names) => names.iter().filter_map(|name| snapshot.get(&self.type_url, name)).collect(),
        }
    }
}
