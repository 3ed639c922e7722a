//! What must hold together for a policy to match: one source and one operation of a rule.

use std::{net::IpAddr, sync::Arc};

use aeraki_codec::Attributes;

use super::{
    Field, Subject, Why,
    texts::{Pattern, Texts},
};
use crate::{
    config::{AuthorizationPolicy, Operation, Patterns, Source, ip_block},
    networks::Networks,
};

/// One source and one operation of a rule, all of which must hold.
#[derive(Debug)]
pub(super) struct Conjunction {
    policy: Arc<str>,
    /// Place of the rule in the policy.
    rule: usize,
    clauses: Box<[Clause]>,
    addresses: Addresses,
    ports: Ports,
}

/// What is asked of one text.
#[derive(Debug)]
struct Clause {
    field: Field,
    wanted: Texts<()>,
    unwanted: Texts<()>,
}

/// Networks that the client must be in, and must not be in.
#[derive(Debug, Default)]
struct Addresses {
    wanted: Networks<()>,
    unwanted: Networks<()>,
}

/// Ports that the client must have connected to, and must not have; in order.
#[derive(Debug)]
struct Ports {
    wanted: Box<[u16]>,
    unwanted: Box<[u16]>,
}

/// One of the things that a conjunction wants, one of which a message must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key<'a> {
    Text(Field, Pattern<'a>),
    /// The client is in this network.
    Network((IpAddr, u8)),
    /// The client has connected to this port.
    Port(u16),
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
            addresses: Addresses::new(&source.ip_blocks),
            ports: Ports::new(operation),
        }
    }

    pub(super) const fn why(&self) -> Why<'_> {
        Why::Policy { name: &self.policy, rule: self.rule }
    }

    /// Lists what a message must have: one of the keys of every list. What must not be, and lists that nothing is
    /// wanted of, are left out.
    pub(super) fn wants(&self) -> impl Iterator<Item = Vec<Key<'_>>> {
        let texts = self.clauses.iter().map(|clause| clause.keys().collect());
        let networks = self.addresses.wanted.iter().map(Key::Network).collect();
        let ports = self.ports.wanted.iter().copied().map(Key::Port).collect();
        texts.chain([networks, ports]).filter(|keys: &Vec<_>| !keys.is_empty())
    }

    pub(super) fn holds<A: Attributes + ?Sized>(&self, subject: &Subject<'_, A>) -> bool {
        self.ports.holds(subject.peer.port)
            && self.addresses.holds(subject.peer.address)
            && self.clauses.iter().all(|clause| clause.holds(subject))
    }
}

impl Clause {
    fn new(field: Field, patterns: &Patterns) -> Self {
        Self { field, wanted: texts(&patterns.values), unwanted: texts(&patterns.not_values) }
    }

    fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        self.wanted.patterns().map(|pattern| Key::Text(self.field, pattern))
    }

    fn holds<A: Attributes + ?Sized>(&self, subject: &Subject<'_, A>) -> bool {
        let any = |texts: &Texts<()>| subject.values(self.field).any(|value| texts.match_any(value));
        (self.wanted.is_empty() || any(&self.wanted)) && !any(&self.unwanted)
    }
}

fn texts(patterns: &[String]) -> Texts<()> {
    let mut texts = Texts::default();
    for pattern in patterns {
        texts.entry(Pattern::read(pattern));
    }
    texts
}

impl Addresses {
    fn new(blocks: &Patterns) -> Self {
        Self { wanted: networks(&blocks.values), unwanted: networks(&blocks.not_values) }
    }

    fn holds(&self, address: IpAddr) -> bool {
        (self.wanted.is_empty() || self.wanted.hold(address)) && !self.unwanted.hold(address)
    }
}

fn networks(blocks: &[String]) -> Networks<()> {
    let mut networks = Networks::default();
    for block in blocks.iter().filter_map(|block| ip_block(block)) {
        networks.entry(block);
    }
    networks
}

impl Ports {
    fn new(operation: &Operation) -> Self {
        Self { wanted: in_order(&operation.ports), unwanted: in_order(&operation.not_ports) }
    }

    fn holds(&self, port: u16) -> bool {
        let among = |ports: &[u16]| ports.binary_search(&port).is_ok();
        (self.wanted.is_empty() || among(&self.wanted)) && !among(&self.unwanted)
    }
}

fn in_order(ports: &[u16]) -> Box<[u16]> {
    let mut ports = ports.to_vec();
    ports.sort_unstable();
    ports.dedup();
    ports.into()
}
