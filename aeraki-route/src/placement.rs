//! Which endpoint of a cluster a message should go to.

use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
};

use aeraki_codec::Attributes;
use xxhash_rust::xxh64::xxh64;

use crate::config::{self, HashPolicy, HashSource};

/// What load balancing is told about a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placement {
    /// The hash by which the policies ring hash and Maglev choose; none: they choose at random.
    pub hash: Option<u64>,
    /// The endpoint that is wanted, used where it exists and is healthy; none: the policy chooses.
    pub host: Option<SocketAddr>,
}

/// How a route places its messages.
#[derive(Debug)]
pub(crate) struct Placements {
    hash_policy: Box<[HashPolicy]>,
    override_host: Option<Box<str>>,
}

impl Placements {
    /// Compiles what an action says; none: nothing.
    pub(crate) fn compile(action: &config::RouteAction) -> Option<Box<Self>> {
        let placements = Self {
            hash_policy: action.hash_policy.as_slice().into(),
            override_host: action.override_host.as_deref().map(Into::into),
        };
        let says = !placements.hash_policy.is_empty() || placements.override_host.is_some();
        says.then(|| Box::new(placements))
    }

    pub(crate) fn of<A: Attributes + ?Sized>(&self, attributes: &A, source: IpAddr) -> Placement {
        let host = self.override_host.as_ref().and_then(|name| attributes.attr(name));
        Placement {
            hash: self.hash(attributes, source),
            host: host.and_then(|host| std::str::from_utf8(host).ok()?.parse().ok()),
        }
    }

    /// Joins the hashes of all parts as Envoy does: what there is is rotated left by one bit, lest equal parts cancel out.
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
