//! Which filter chain of a listener serves a connection, found without walking the chains.
//!
//! Each step of the choice is a map whose values are the maps of the next step; the last holds the chain:
//! destination port, destination address, server name, transport protocol, application protocol, type of source, source
//! address, source port.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use foldhash::fast::RandomState;

use crate::{
    config::{ConnectionSourceType, FilterChainMatch, TransportProtocol, ip_block},
    networks::Networks,
};

/// The filter chains of a listener by what they [match](FilterChainMatch); the same choice as Envoy's.
#[derive(Debug, Default)]
pub struct ChainIndex(Exact<u16, ByNetwork<ServerNames>>);

type ServerNames = Exact<Box<str>, Exact<TransportProtocol, ApplicationProtocols>>;
type ApplicationProtocols = Exact<Box<str>, Sources>;
type Sources = Exact<ConnectionSourceType, ByNetwork<Exact<u16, Option<usize>>>>;

/// What is known of a connection when its filter chain is chosen.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Arrival<'a> {
    /// The address that the client connected to.
    pub destination: SocketAddr,
    /// The address of the client.
    pub source: SocketAddr,
    /// The name that the client asks for in TLS, in lower case; empty: none.
    pub server_name: &'a str,
    /// What its first bytes are.
    pub transport_protocol: TransportProtocol,
    /// The protocols that it offers, or that its first bytes speak; the best first.
    pub application_protocols: &'a [String],
}

impl<'a> Arrival<'a> {
    /// Describes a connection in plain text of which no byte is known.
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        let transport_protocol = TransportProtocol::RawBuffer;
        Self { destination, source, server_name: "", transport_protocol, application_protocols: &[] }
    }

    /// Sets what the first bytes are.
    #[must_use]
    pub fn with_transport_protocol(mut self, transport: TransportProtocol) -> Self {
        self.transport_protocol = transport;
        self
    }

    /// Sets the name that the client asks for, in lower case.
    #[must_use]
    pub fn with_server_name(mut self, name: &'a str) -> Self {
        self.server_name = name;
        self
    }

    /// Sets the protocols that it offers.
    #[must_use]
    pub fn with_application_protocols(mut self, protocols: &'a [String]) -> Self {
        self.application_protocols = protocols;
        self
    }

    fn source_type(&self) -> ConnectionSourceType {
        let [source, destination] = [self.source, self.destination].map(|address| address.ip().to_canonical());
        // the two addresses themselves, as Envoy has it: not all of 127.0.0.0/8
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        if loopback.contains(&source) || source == destination {
            ConnectionSourceType::SameIpOrLoopback
        } else {
            ConnectionSourceType::External
        }
    }
}

impl ChainIndex {
    /// Indexes the chains that match these, by their places.
    ///
    /// # Errors
    /// The places of two chains that some connection matches equally well.
    pub fn new<'a>(matches: impl IntoIterator<Item = &'a FilterChainMatch>) -> Result<Self, (usize, usize)> {
        let mut index = Self::default();
        for (chain, wanted) in matches.into_iter().enumerate() {
            index.insert(wanted, chain).map_err(|other| (other, chain))?;
        }
        Ok(index)
    }

    fn insert(&mut self, wanted: &FilterChainMatch, chain: usize) -> Result<(), usize> {
        let networks = self.0.entry(wanted.destination_port);
        for network in each(&wanted.prefix_ranges) {
            let names = networks.entry(network);
            for name in each(&wanted.server_names) {
                let transports = names.entry(name.map(|name| server_name(name)));
                let protocols = transports.entry(wanted.transport_protocol);
                for protocol in each(&wanted.application_protocols) {
                    insert_source(protocols.entry(protocol.map(|protocol| protocol.as_str().into())), wanted, chain)?;
                }
            }
        }
        Ok(())
    }

    /// Finds the chain of a connection, by its place.
    pub fn find(&self, arrival: &Arrival<'_>) -> Option<usize> {
        let names = self.0.get(&arrival.destination.port())?.get(arrival.destination.ip())?;
        let protocols = by_server_name(names, arrival.server_name)?.get(&arrival.transport_protocol)?;
        let offered = arrival.application_protocols.iter();
        let sources = offered.map(String::as_str).find_map(|protocol| protocols.exact(protocol));
        let networks = sources.or(protocols.any.as_ref())?.get(&arrival.source_type())?;
        *networks.get(arrival.source.ip())?.get(&arrival.source.port())?
    }
}

fn insert_source(sources: &mut Sources, wanted: &FilterChainMatch, chain: usize) -> Result<(), usize> {
    let kind = Some(wanted.source_type).filter(|kind| *kind != ConnectionSourceType::Any);
    let networks = sources.entry(kind);
    for network in each(&wanted.source_prefix_ranges) {
        let ports = networks.entry(network);
        for port in each(&wanted.source_ports) {
            match ports.entry(port.copied()).replace(chain) {
                Some(other) if other != chain => return Err(other),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Looks for the name itself, then for the wildcards above it, the longest first.
fn by_server_name<'a>(
    names: &'a ServerNames,
    name: &str,
) -> Option<&'a Exact<TransportProtocol, ApplicationProtocols>> {
    let wildcards = name.match_indices('.').map(|(dot, _)| &name[dot..]);
    let mut candidates = std::iter::once(name).chain(wildcards).filter(|candidate| !candidate.is_empty());
    candidates.find_map(|candidate| names.exact(candidate)).or(names.any.as_ref())
}

/// Writes a name as it is looked for: a wildcard without its star.
fn server_name(name: &str) -> Box<str> {
    name.strip_prefix('*').unwrap_or(name).to_ascii_lowercase().into()
}

/// Lists the values that are named; where there are none, none once.
fn each<T>(values: &[T]) -> impl Iterator<Item = Option<&T>> {
    let none = values.is_empty().then_some(None);
    values.iter().map(Some).chain(none)
}

/// One step: what comes next for each value that is named, and where none is.
#[derive(Debug)]
struct Exact<K, N> {
    named: HashMap<K, N, RandomState>,
    any: Option<N>,
}

impl<K, N> Default for Exact<K, N> {
    fn default() -> Self {
        Self { named: HashMap::default(), any: None }
    }
}

impl<K: Hash + Eq, N: Default> Exact<K, N> {
    fn entry(&mut self, value: Option<K>) -> &mut N {
        match value {
            Some(value) => self.named.entry(value).or_default(),
            None => self.any.get_or_insert_with(N::default),
        }
    }

    fn exact<Q: Hash + Eq + ?Sized>(&self, value: &Q) -> Option<&N>
    where
        K: Borrow<Q>,
    {
        self.named.get(value)
    }

    fn get(&self, value: &K) -> Option<&N> {
        self.exact(value).or(self.any.as_ref())
    }
}

/// One step by address: what comes next for each network that is named, and where none is.
#[derive(Debug)]
struct ByNetwork<N> {
    named: Networks<N>,
    any: Option<N>,
}

impl<N> Default for ByNetwork<N> {
    fn default() -> Self {
        Self { named: Networks::default(), any: None }
    }
}

impl<N: Default> ByNetwork<N> {
    fn entry(&mut self, network: Option<&String>) -> &mut N {
        match network.and_then(|network| ip_block(network)) {
            Some(network) => self.named.entry(network),
            None => self.any.get_or_insert_with(N::default),
        }
    }

    fn get(&self, address: IpAddr) -> Option<&N> {
        self.named.holding(address).next().or(self.any.as_ref())
    }
}

#[cfg(test)]
mod tests;
