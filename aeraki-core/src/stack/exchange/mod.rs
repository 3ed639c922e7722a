//! Tells peers which node this is, and learns which nodes they are.

mod peer;

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex},
};

use aeraki_codec::{Demand, Message, Mutation, Protocol};
use aeraki_route::config::{MetadataExchange, Node, TrafficDirection};
use bytes::Bytes;
use lru::LruCache;

pub use self::peer::PeerMetadata;
use super::{Admission, Gate, Request, Response, Watch, mutate};
use crate::{
    observe::{Facts, Metrics},
    sync::lock,
};

/// Exchanges metadata with the proxy on the other side, by the attributes `x-envoy-peer-metadata` and
/// `x-envoy-peer-metadata-id`, as Istio's proxies do.
///
/// An outbound listener tells in requests and reads in answers, an inbound one the other way round; one without a
/// direction does neither. What a peer says stands in the [record](crate::observe::Record) of the request; it is
/// believed, so a listener whose peers are outside the mesh is marked as a trust boundary: there, both attributes are
/// taken out of all messages and nothing is told. A message that cannot carry attributes passes unchanged.
#[derive(Clone, Debug)]
pub struct ExchangeMetadata {
    direction: TrafficDirection,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What is told in every message, or that both attributes are removed.
    told: Arc<Mutation>,
    trust_boundary: bool,
    /// Both attributes.
    read: Demand,
    known: Known,
}

impl ExchangeMetadata {
    /// Makes the gate of a listener in this direction, on this node.
    #[must_use]
    pub fn new(config: MetadataExchange, direction: TrafficDirection, node: &Node) -> Self {
        let mut told = Mutation::default();
        if config.trust_boundary {
            told.remove(PEER_METADATA).remove(PEER_METADATA_ID);
        } else {
            told.set(PEER_METADATA, PeerMetadata::of(node).encode()).set(PEER_METADATA_ID, node.id.clone());
        }
        let read = Demand::of([PEER_METADATA, PEER_METADATA_ID]);
        let (told, trust_boundary, known) = (Arc::new(told), config.trust_boundary, Known::new());
        Self { direction, shared: Arc::new(Shared { told, trust_boundary, read, known }) }
    }

    /// Returns the attributes of requests that the gate looks at.
    pub(super) fn demand(&self) -> Demand {
        let reads = self.direction == TrafficDirection::Inbound && !self.shared.trust_boundary;
        if reads { self.shared.read.clone() } else { Demand::none() }
    }

    /// Makes the gate of one worker, which counts into `metrics`.
    pub(super) fn gate(&self, metrics: Arc<Metrics>) -> Arc<dyn Gate> {
        Arc::new(Exchange { exchange: self.clone(), metrics })
    }
}

/// See [`ExchangeMetadata`].
#[derive(Debug)]
struct Exchange {
    exchange: ExchangeMetadata,
    metrics: Arc<Metrics>,
}

impl Gate for Exchange {
    fn admit(&self, request: &mut Request) -> Admission {
        let ExchangeMetadata { direction, shared } = &self.exchange;
        let outbound = match direction {
            TrafficDirection::Outbound => true,
            TrafficDirection::Inbound => false,
            _ => return Admission::Pass,
        };
        if outbound || shared.trust_boundary {
            mutate::apply(&mut request.message, &shared.told, &self.metrics);
        } else {
            shared.known.note(&request.message, &request.facts);
        }
        let then = if outbound && !shared.trust_boundary {
            Then::Read(request.facts.clone(), Arc::clone(&request.conn.protocol))
        } else {
            Then::Tell(Arc::clone(&self.metrics))
        };
        Admission::Watch(Box::new(Answer { then, shared: Arc::clone(shared) }))
    }
}

/// The answer to come.
struct Answer {
    then: Then,
    shared: Arc<Shared>,
}

/// What is done with it.
enum Then {
    Tell(Arc<Metrics>),
    Read(Facts, Arc<dyn Protocol>),
}

impl Watch for Answer {
    fn answered(&mut self, response: &mut Response) {
        let Some(message) = response.message_mut() else { return };
        let Shared { told, read, known, .. } = &*self.shared;
        match &self.then {
            Then::Tell(metrics) => mutate::apply(message, told, metrics),
            Then::Read(facts, protocol) => known.note(&mutate::read(message, read, &**protocol), facts),
        }
    }
}

/// The peers that were heard of last, by their ids: metadata is only read when it is new.
#[derive(Debug)]
struct Known(Mutex<LruCache<Bytes, (Bytes, Arc<PeerMetadata>)>>);

impl Known {
    fn new() -> Self {
        Self(Mutex::new(LruCache::new(MAX_KNOWN)))
    }

    /// Notes which peer sent the message, where it says so.
    fn note(&self, message: &Message, facts: &Facts) {
        let (Some(id), Some(encoded)) = (message.attr(PEER_METADATA_ID), message.attr(PEER_METADATA)) else { return };
        if id.len() > MAX_ID || encoded.len() > MAX_METADATA {
            return;
        }
        if let Some(peer) = self.find(id, encoded) {
            facts.note(|record| record.peer = Some(peer));
        }
    }

    fn find(&self, id: &[u8], encoded: &[u8]) -> Option<Arc<PeerMetadata>> {
        // who takes another's id is read for himself
        if let Some((_, peer)) = lock(&self.0).get(id).filter(|(last, _)| last == encoded) {
            return Some(Arc::clone(peer));
        }
        // without the lock, which all workers share
        let peer = Arc::new(PeerMetadata::read(id, encoded)?);
        let entry = (Bytes::copy_from_slice(encoded), Arc::clone(&peer));
        lock(&self.0).put(Bytes::copy_from_slice(id), entry);
        Some(peer)
    }
}

/// The attribute that holds the metadata of a peer.
const PEER_METADATA: &str = "x-envoy-peer-metadata";
/// The attribute that holds the id of a peer's node.
const PEER_METADATA_ID: &str = "x-envoy-peer-metadata-id";
/// Bytes of an id, at most; a longer one is not noted.
const MAX_ID: usize = 256;
/// Bytes of metadata in base64, at most; longer ones are not noted.
const MAX_METADATA: usize = 16 * 1024;
/// Peers whose metadata are kept, at most.
const MAX_KNOWN: NonZeroUsize = NonZeroUsize::new(256).expect("is not zero");
