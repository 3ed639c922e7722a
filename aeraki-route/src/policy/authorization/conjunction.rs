//! What must hold together for a policy to match: one source and one operation of a rule.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use aeraki_codec::Attributes;
use foldhash::fast::RandomState;

use super::{Field, Subject, Why};
use crate::config::{AuthorizationPolicy, Operation, Patterns, Source, ip_block};

/// One source and one operation of a rule, all of which must hold.
#[derive(Debug)]
pub(super) struct Conjunction {
    policy: Arc<str>,
    /// Place of the rule in the policy.
    rule: usize,
    pub(super) clauses: Box<[Clause]>,
    networks: Network,
    ports: Box<[u16]>,
    not_ports: Box<[u16]>,
}

/// What is asked of one text.
#[derive(Debug)]
pub(super) struct Clause {
    pub(super) field: Field,
    pub(super) wanted: PatternSet,
    unwanted: PatternSet,
}

/// Texts, beginnings and ends.
#[derive(Debug, Default)]
pub(super) struct PatternSet {
    pub(super) exact: HashSet<Box<[u8]>, RandomState>,
    pub(super) prefixes: Vec<Box<[u8]>>,
    pub(super) suffixes: Vec<Box<[u8]>>,
    /// Whether any value will do.
    pub(super) any: bool,
}

/// Networks that the client must be in, and must not be in.
#[derive(Debug, Default)]
struct Network {
    wanted: Box<[(IpAddr, u8)]>,
    unwanted: Box<[(IpAddr, u8)]>,
}

/// Takes a policy apart: every source of a rule with every operation of it.
pub(super) fn of_policy(policy: &AuthorizationPolicy, attributes: &[Box<str>]) -> Vec<Conjunction> {
    let name: Arc<str> = policy.name.as_str().into();
    let (anywhere, anything) = (Source::default(), Operation::default());
    let mut conjunctions = Vec::new();
    for (place, rule) in policy.rules.iter().enumerate() {
        let from = if rule.from.is_empty() { std::slice::from_ref(&anywhere) } else { &rule.from };
        let to = if rule.to.is_empty() { std::slice::from_ref(&anything) } else { &rule.to };
        for (source, operation) in from.iter().flat_map(|source| to.iter().map(move |operation| (source, operation))) {
            conjunctions.push(Conjunction::new((Arc::clone(&name), place), source, operation, attributes));
        }
    }
    conjunctions
}

impl Conjunction {
    fn new((policy, rule): (Arc<str>, usize), source: &Source, operation: &Operation, attributes: &[Box<str>]) -> Self {
        let identity = [
            (Field::Principal, &source.principals),
            (Field::Namespace, &source.namespaces),
            (Field::TrustDomain, &source.trust_domains),
        ];
        let place = |name: &str| attributes.iter().position(|known| known.eq_ignore_ascii_case(name));
        let asked = operation.attributes.iter();
        let asked = asked.filter_map(|(name, patterns)| Some((Field::Attribute(place(name)?), patterns)));
        let clauses = identity.into_iter().chain(asked).filter(|(_, patterns)| !patterns.is_empty());
        Self {
            policy,
            rule,
            clauses: clauses.map(|(field, patterns)| Clause::new(field, patterns)).collect(),
            networks: Network::new(&source.ip_blocks),
            ports: operation.ports.as_slice().into(),
            not_ports: operation.not_ports.as_slice().into(),
        }
    }

    pub(super) const fn why(&self) -> Why<'_> {
        Why::Policy { name: &self.policy, rule: self.rule }
    }

    pub(super) fn holds<A: Attributes + ?Sized>(&self, subject: &Subject<'_, A>) -> bool {
        let port = subject.peer.port;
        (self.ports.is_empty() || self.ports.contains(&port))
            && !self.not_ports.contains(&port)
            && self.networks.holds(subject.peer.address)
            && self.clauses.iter().all(|clause| clause.holds(subject))
    }
}

impl Clause {
    fn new(field: Field, patterns: &Patterns) -> Self {
        Self { field, wanted: PatternSet::new(&patterns.values), unwanted: PatternSet::new(&patterns.not_values) }
    }

    fn holds<A: Attributes + ?Sized>(&self, subject: &Subject<'_, A>) -> bool {
        let any = |patterns: &PatternSet| subject.values(self.field).any(|value| patterns.matches(value));
        (self.wanted.is_empty() || any(&self.wanted)) && !any(&self.unwanted)
    }
}

impl PatternSet {
    fn new(patterns: &[String]) -> Self {
        let mut set = Self::default();
        for pattern in patterns {
            match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
                (Some(""), _) => set.any = true,
                (Some(suffix), _) => set.suffixes.push(suffix.as_bytes().into()),
                (None, Some(prefix)) => set.prefixes.push(prefix.as_bytes().into()),
                (None, None) => {
                    set.exact.insert(pattern.as_bytes().into());
                }
            }
        }
        set
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.any && self.exact.is_empty() && self.prefixes.is_empty() && self.suffixes.is_empty()
    }

    fn matches(&self, value: &[u8]) -> bool {
        self.any
            || self.exact.contains(value)
            || self.prefixes.iter().any(|prefix| value.starts_with(prefix))
            || self.suffixes.iter().any(|suffix| value.ends_with(suffix))
    }
}

impl Network {
    fn new(blocks: &Patterns) -> Self {
        let read = |texts: &[String]| texts.iter().filter_map(|text| ip_block(text)).collect();
        Self { wanted: read(&blocks.values), unwanted: read(&blocks.not_values) }
    }

    fn holds(&self, address: IpAddr) -> bool {
        let within = |block: &(IpAddr, u8)| is_within(address, *block);
        (self.wanted.is_empty() || self.wanted.iter().any(within)) && !self.unwanted.iter().any(within)
    }
}

/// Tells whether the first bits of two addresses agree; an IPv4 address that is mapped into IPv6 counts as IPv4.
fn is_within(address: IpAddr, (network, length): (IpAddr, u8)) -> bool {
    let differ = match (address.to_canonical(), network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => u128::from(address.to_bits() ^ network.to_bits()) << 96,
        (IpAddr::V6(address), IpAddr::V6(network)) => address.to_bits() ^ network.to_bits(),
        _ => return false,
    };
    differ.leading_zeros() >= u32::from(length)
}
