//! Which endpoint of a cluster a message should go to.

use std::{collections::BTreeMap, io::Write, net::IpAddr, sync::Arc};

use aeraki_codec::Attributes;
use xxhash_rust::xxh64::xxh64;

use crate::config::{Destination, HashPolicy, HashSource, RouteAction, SocketAddress};

/// What load balancing is told about a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placement {
    /// The hash by which the policies ring hash and Maglev choose; none: they choose at random.
    pub hash: Option<u64>,
    /// The endpoint that is wanted, used where it exists and is healthy; none: the policy chooses.
    pub host: Option<SocketAddress>,
    /// The metadata of the endpoints that may take it; none: the cluster says which.
    pub criteria: Option<Arc<Criteria>>,
}

/// Metadata that endpoints must have: keys and values, in the order of the keys, at least one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Criteria(Box<[(Box<str>, Box<str>)]>);

impl Criteria {
    /// Makes criteria of these keys and values; none where there are none.
    pub fn new(metadata: &BTreeMap<String, String>) -> Option<Self> {
        let entry = |(key, value): (&String, &String)| (key.as_str().into(), value.as_str().into());
        (!metadata.is_empty()).then(|| Self(metadata.iter().map(entry).collect()))
    }

    /// Lists the keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| &**key)
    }

    /// Tells whether this metadata has all keys with these values.
    pub fn hold(&self, metadata: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(key, value)| metadata.get(&**key).is_some_and(|known| **known == **value))
    }
}

/// How a route places its messages.
#[derive(Debug)]
pub(crate) struct Placements {
    hash_policy: Box<[HashPolicy]>,
    override_host: Option<Box<str>>,
    /// Of every cluster that the route picks among, in their order; empty where none has any.
    criteria: Box<[Option<Arc<Criteria>>]>,
}

impl Placements {
    /// Compiles what an action says; none: nothing.
    pub(crate) fn compile(action: &RouteAction) -> Option<Box<Self>> {
        let placements = Self {
            hash_policy: action.hash_policy.as_slice().into(),
            override_host: action.override_host.as_deref().map(Into::into),
            criteria: criteria(action),
        };
        let silent = placements.hash_policy.is_empty() && placements.override_host.is_none();
        let says = !silent || placements.criteria.iter().any(Option::is_some);
        says.then(|| Box::new(placements))
    }

    /// Places a message from `source` for the cluster at this place among those that the route picks among.
    pub(crate) fn of<A: Attributes + ?Sized>(&self, attributes: &A, source: IpAddr, cluster: usize) -> Placement {
        let host = self.override_host.as_ref().and_then(|name| attributes.attr(name));
        Placement {
            hash: self.hash(attributes, source),
            host: host.and_then(|host| std::str::from_utf8(host).ok()?.parse().ok()),
            criteria: self.criteria.get(cluster).cloned().flatten(),
        }
    }

    /// Joins the hashes of all parts as Envoy does: what there is is rotated left by one bit, lest equal parts cancel
    /// out.
    fn hash<A: Attributes + ?Sized>(&self, attributes: &A, source: IpAddr) -> Option<u64> {
        let mut joined = None;
        for policy in &self.hash_policy {
            let hash = match &policy.source {
                HashSource::Attribute(key) => attributes.attr(key).map(|value| xxh64(value, 0)),
                HashSource::SourceIp => Some(hash_of_ip(source)),
            };
            joined = match (joined, hash) {
                (Some(known), Some(hash)) => Some(u64::rotate_left(known, 1) ^ hash),
                (known, hash) => known.or(hash),
            };
            if policy.terminal && joined.is_some() {
                break;
            }
        }
        joined
    }

    /// Lists the attributes that are looked at.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let hashed = self.hash_policy.iter().filter_map(|policy| match &policy.source {
            HashSource::Attribute(key) => Some(key.as_str()),
            HashSource::SourceIp => None,
        });
        hashed.chain(self.override_host.as_deref())
    }
}

/// Joins the metadata of every cluster that gets messages with that of the route.
fn criteria(action: &RouteAction) -> Box<[Option<Arc<Criteria>>]> {
    let common = &action.metadata_match;
    let joined = |own: &BTreeMap<String, String>| {
        let mut all = common.clone();
        all.extend(own.clone());
        Criteria::new(&all).map(Arc::new)
    };
    match &action.destination {
        Destination::Cluster(_) => [joined(&BTreeMap::new())].into(),
        Destination::Weighted(clusters) => clusters
            .iter()
            .filter(|cluster| cluster.weight > 0)
            .map(|cluster| joined(&cluster.metadata_match))
            .collect(),
    }
}

/// Hashes an address as it is written.
fn hash_of_ip(address: IpAddr) -> u64 {
    let mut text = [0; LONGEST_IP];
    let mut rest = &mut text[..];
    let _ = write!(rest, "{address}");
    let written = LONGEST_IP - rest.len();
    xxh64(&text[..written], 0)
}

/// As many characters has `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
const LONGEST_IP: usize = 45;
