//! What must hold together for a policy to match: one source and one operation of a rule.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use aeraki_codec::Attributes;

use super::{
    End, Field, Subject, Why,
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
    source: Site,
    destination: Site,
}

/// What is asked of one text.
#[derive(Debug)]
struct Clause {
    field: Field,
    wanted: Texts<()>,
    unwanted: Texts<()>,
}

/// Where an end of the connection must be.
#[derive(Debug)]
struct Site {
    addresses: Addresses,
    ports: Ports,
}

/// Networks that must hold an address, and must not hold it.
#[derive(Debug, Default)]
struct Addresses {
    wanted: Networks<()>,
    unwanted: Networks<()>,
}

/// Ports that an end must have, and must not have; in order.
#[derive(Debug)]
struct Ports {
    wanted: Box<[u16]>,
    unwanted: Box<[u16]>,
}

/// One of the things that a conjunction wants, one of which a message must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key<'a> {
    Text(Field, Pattern<'a>),
    Network(End, (IpAddr, u8)),
    Port(End, u16),
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
            source: Site::new(&source.ip_blocks, &source.ports, &source.not_ports),
            destination: Site::new(&operation.destination_ip_blocks, &operation.ports, &operation.not_ports),
        }
    }

    pub(super) const fn why(&self) -> Why<'_> {
        Why::Policy { name: &self.policy, rule: self.rule }
    }

    /// Lists what a message must have: one of the keys of every list. What must not be, and lists that nothing is
    /// wanted of, are left out.
    pub(super) fn wants(&self) -> impl Iterator<Item = Vec<Key<'_>>> {
        let texts = self.clauses.iter().map(|clause| clause.keys().collect());
        let sites = self.source.wants(End::Source).into_iter().chain(self.destination.wants(End::Destination));
        texts.chain(sites).filter(|keys: &Vec<_>| !keys.is_empty())
    }

    pub(super) fn holds<A: Attributes + ?Sized>(&self, subject: &Subject<'_, A>) -> bool {
        self.source.holds(subject.address(End::Source))
            && self.destination.holds(subject.address(End::Destination))
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

impl Site {
    fn new(blocks: &Patterns, ports: &[u16], not_ports: &[u16]) -> Self {
        Self { addresses: Addresses::new(blocks), ports: Ports::new(ports, not_ports) }
    }

    fn wants(&self, end: End) -> [Vec<Key<'_>>; 2] {
        let networks = self.addresses.wanted.iter().map(|network| Key::Network(end, network)).collect();
        let ports = self.ports.wanted.iter().map(|port| Key::Port(end, *port)).collect();
        [networks, ports]
    }

    fn holds(&self, address: SocketAddr) -> bool {
        self.ports.holds(address.port()) && self.addresses.holds(address.ip())
    }
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
    fn new(ports: &[u16], not_ports: &[u16]) -> Self {
        Self { wanted: in_order(ports), unwanted: in_order(not_ports) }
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
