//! How the addresses of a cluster's endpoints are found: known from the start, or looked up again and again.

#[cfg(feature = "dns")]
mod hickory;
mod names;

use std::{
    fmt, io,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use aeraki_route::config::{Address, Cluster, Discovery};
use tokio::task::AbortHandle;

#[cfg(feature = "dns")]
pub use self::hickory::Hickory;
pub(super) use self::names::{Answers, Names};
use super::{directory::Directory, members::Found};
use crate::stack::BoxFuture;

/// Looks host names up.
pub trait Resolver: Send + Sync + fmt::Debug + 'static {
    /// Returns the addresses of `host`, and how long they may be relied on where that is known.
    ///
    /// A look-up that has no answer within 10 s is given up.
    fn resolve(&self, host: Arc<str>) -> BoxFuture<io::Result<Resolved>>;

    /// Tells whether answers have a time to live; clusters that ask for one are warned about where they have none.
    fn tells_ttl(&self) -> bool {
        true
    }
}

/// The answer of a [`Resolver`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// The addresses, of both families; their ports mean nothing.
    pub addresses: Vec<IpAddr>,
    /// The time to live.
    pub ttl: Option<Duration>,
}

impl Resolved {
    /// Makes an answer without a time to live.
    #[must_use]
    pub const fn new(addresses: Vec<IpAddr>) -> Self {
        Self { addresses, ttl: None }
    }
}

/// Looks names up as the operating system does; knows no time to live.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, host: Arc<str>) -> BoxFuture<io::Result<Resolved>> {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((&*host, 0)).await?;
            Ok(Resolved::new(addresses.map(|address| address.ip()).collect()))
        })
    }

    fn tells_ttl(&self) -> bool {
        false
    }
}

/// Looks names up by the name servers of the system's configuration, which is read with the first name; as the
/// operating system does where that cannot be read, and without the feature `dns`.
#[derive(Debug, Default)]
pub(crate) struct DefaultResolver(OnceLock<Arc<dyn Resolver>>);

impl DefaultResolver {
    fn resolver(&self) -> &dyn Resolver {
        &**self.0.get_or_init(of_the_system)
    }
}

impl Resolver for DefaultResolver {
    fn resolve(&self, host: Arc<str>) -> BoxFuture<io::Result<Resolved>> {
        self.resolver().resolve(host)
    }

    fn tells_ttl(&self) -> bool {
        self.resolver().tells_ttl()
    }
}

#[cfg(feature = "dns")]
fn of_the_system() -> Arc<dyn Resolver> {
    match Hickory::new() {
        Ok(resolver) => Arc::new(resolver),
        Err(error) => {
            tracing::warn!(%error, "cannot read which name servers the system has: it looks names up itself");
            Arc::new(SystemResolver)
        }
    }
}

#[cfg(not(feature = "dns"))]
fn of_the_system() -> Arc<dyn Resolver> {
    Arc::new(SystemResolver)
}

/// Tells of clusters that ask for a time to live which `resolver` does not tell.
pub(crate) fn warn_of_ttl(clusters: &[Cluster], resolver: &dyn Resolver) {
    for Cluster { name, discovery, .. } in clusters {
        if let Discovery::StrictDns(dns) | Discovery::LogicalDns(dns) = discovery
            && dns.respect_ttl
            && !resolver.tells_ttl()
        {
            tracing::warn!(cluster = name, "names are looked up without a time to live: respect_dns_ttl has no effect");
        }
    }
}

/// Lists the endpoints of a cluster in which nothing is looked up, not even one with a name.
pub(super) fn given(config: &Cluster) -> impl Iterator<Item = Found<'_>> {
    config.endpoints.iter().filter_map(|endpoint| match &endpoint.address {
        Address::Socket(address) => Some((address, endpoint)),
        _ => None,
    })
}

/// Fills the directory with what is looked up, in a task that goes on until it is aborted.
pub(super) fn begin(names: Names, directory: &Arc<Directory>) -> AbortHandle {
    tokio::spawn(names::look_up(names, Arc::clone(directory))).abort_handle()
}
