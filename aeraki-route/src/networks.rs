//! Networks, found by an address in them without walking them.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

use foldhash::fast::RandomState;

/// Values by networks: one look-up for each length of a prefix, however many networks there are.
///
/// IPv4 that is mapped into IPv6 is IPv4; networks of the one hold no addresses of the other.
#[derive(Debug)]
pub(crate) struct Networks<V> {
    v4: Lengths<V>,
    v6: Lengths<V>,
}

/// Networks of one family by the lengths of their prefixes, the longest first.
type Lengths<V> = Vec<(u8, HashMap<IpAddr, V, RandomState>)>;

impl<V> Default for Networks<V> {
    fn default() -> Self {
        Self { v4: Vec::new(), v6: Vec::new() }
    }
}

impl<V: Default> Networks<V> {
    /// Returns the value of a network, as [`ip_block`](crate::config::ip_block) reads it.
    pub(crate) fn entry(&mut self, (address, length): (IpAddr, u8)) -> &mut V {
        let lengths = if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let place = lengths.binary_search_by(|(known, _)| length.cmp(known)).unwrap_or_else(|place| {
            lengths.insert(place, (length, HashMap::default()));
            place
        });
        lengths[place].1.entry(prefix(address, length)).or_default()
    }
}

impl<V> Networks<V> {
    /// Lists the values of the networks that hold an address, the smallest network first.
    pub(crate) fn holding(&self, address: IpAddr) -> impl Iterator<Item = &V> {
        let address = address.to_canonical();
        let lengths = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.iter().filter_map(move |(length, networks)| networks.get(&prefix(address, *length)))
    }

    /// Tells whether one of them holds an address.
    pub(crate) fn hold(&self, address: IpAddr) -> bool {
        self.holding(address).next().is_some()
    }

    /// Lists the networks.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        let lengths = self.v4.iter().chain(&self.v6);
        lengths.flat_map(|(length, networks)| networks.keys().map(|address| (*address, *length)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// Clears the bits of an address behind a prefix of this length.
fn prefix(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length.into())).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length.into())).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}
