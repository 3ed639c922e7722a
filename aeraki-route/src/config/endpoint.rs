//! Endpoints: one server of a cluster and its address.

use std::{collections::BTreeMap, fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::socket_address::{Pipe, SocketAddress};

/// One server, or one name that stands for several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Endpoint {
    /// Where it listens.
    pub address: Address,
    /// Its share of the requests relative to the others; default 1, not zero.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// Where it runs; default: unknown.
    #[serde(default)]
    pub locality: Locality,
    /// The share of the requests of its locality relative to the others of its priority, where localities have shares;
    /// none: the locality gets no requests then. The same for all endpoints of a locality and priority.
    #[serde(default)]
    pub locality_weight: Option<u32>,
    /// Endpoints of a priority get requests as far as those of the priorities before it cannot take them; default 0,
    /// the first, at most 128.
    #[serde(default)]
    pub priority: u32,
    /// What is said of its health; default: healthy.
    #[serde(default)]
    pub health_status: HealthStatus,
    /// What is known about it, for subsets: its labels, its version. The value of `hash_key` stands for its address
    /// where endpoints are chosen by hash.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

impl Endpoint {
    /// Creates an endpoint of weight 1.
    pub fn new(address: impl Into<Address>) -> Self {
        Self {
            address: address.into(),
            weight: default_weight(),
            locality: Locality::default(),
            locality_weight: None,
            priority: 0,
            health_status: HealthStatus::default(),
            metadata: BTreeMap::new(),
        }
    }

    /// Sets its share of the requests.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets where it runs.
    #[must_use]
    pub fn with_locality(mut self, locality: Locality) -> Self {
        self.locality = locality;
        self
    }

    /// Sets the share of the requests of its locality.
    #[must_use]
    pub fn with_locality_weight(mut self, weight: u32) -> Self {
        self.locality_weight = Some(weight);
        self
    }

    /// Sets which endpoints come first.
    #[must_use]
    pub fn with_priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets what is said of its health.
    #[must_use]
    pub fn with_health_status(mut self, status: HealthStatus) -> Self {
        self.health_status = status;
        self
    }

    /// Adds something that is known about it.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

impl<A: Into<Address>> From<A> for Endpoint {
    fn from(address: A) -> Self {
        Self::new(address)
    }
}

/// Where an endpoint runs; `envoy.config.core.v3.Locality`.
#[expect(clippy::derived_hash_with_manual_eq, reason = "equal are the same ones as by the derived comparison")]
#[derive(Clone, Debug, Default, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Locality {
    /// The region; may be empty.
    pub region: String,
    /// The zone in the region; may be empty.
    pub zone: String,
    /// The part of the zone; may be empty.
    pub sub_zone: String,
}

impl Locality {
    /// Creates a locality from region, zone and part of the zone.
    pub fn new(region: impl Into<String>, zone: impl Into<String>, sub_zone: impl Into<String>) -> Self {
        Self { region: region.into(), zone: zone.into(), sub_zone: sub_zone.into() }
    }
}

impl PartialEq for Locality {
    /// Compares texts, but not empty ones: they have no memory, and processors that compare by masked vectors take 100
    /// ns to find that nothing of it is needed. There are six in every endpoint of an update of thousands.
    fn eq(&self, other: &Self) -> bool {
        let same = |a: &str, b: &str| a.len() == b.len() && (a.is_empty() || a == b);
        same(&self.region, &other.region) && same(&self.zone, &other.zone) && same(&self.sub_zone, &other.sub_zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localities_are_the_same_where_every_part_is() {
        let parts = ["", "a", "b"];
        let all: Vec<_> = (0..27).map(|n| Locality::new(parts[n / 9], parts[n / 3 % 3], parts[n % 3])).collect();
        for (a, one) in all.iter().enumerate() {
            for (b, other) in all.iter().enumerate() {
                assert_eq!((one == other, one.cmp(other).is_eq()), (a == b, a == b), "{one:?} {other:?}");
            }
        }
    }
}

/// What is said of an endpoint's health; `envoy.config.core.v3.HealthStatus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum HealthStatus {
    /// It takes requests.
    #[default]
    Healthy,
    /// It takes requests that healthy ones cannot.
    Degraded,
    /// It takes none, except in panic.
    Unhealthy,
    /// It is about to go and takes none, except in panic.
    Draining,
}

/// An IP address or host name and a port, or a Unix socket; written `127.0.0.1:80`, `[::1]:80`, `host:80`,
/// `/run/a.sock` or `@name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Address {
    /// What can be connected to as it is.
    Socket(SocketAddress),
    /// A name to be resolved.
    Name {
        /// The host name.
        host: String,
        /// The port.
        port: u16,
    },
}

impl Address {
    /// Creates an address from a host, which may be an IP address, and a port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        host.parse().map_or_else(|_| Self::Name { host, port }, |ip| SocketAddr::new(ip, port).into())
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Socket(address.into())
    }
}

impl From<Pipe> for Address {
    fn from(pipe: Pipe) -> Self {
        Self::Socket(pipe.into())
    }
}

impl From<SocketAddress> for Address {
    fn from(address: SocketAddress) -> Self {
        Self::Socket(address)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Socket(address));
        }
        let invalid = || AddressError::new(text);
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        if host.is_empty() || host.contains([':', '[', ']']) {
            return Err(invalid());
        }
        Ok(Self::Name { host: host.to_owned(), port: port.parse().map_err(|_| invalid())? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// A text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address such as \"127.0.0.1:80\", \"[::1]:80\", \"host:80\" or \"/run/a.sock\"")]
pub struct AddressError(String);

impl AddressError {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

fn default_weight() -> u32 {
    1
}
