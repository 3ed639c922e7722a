//! How the addresses of a cluster's endpoints are found: known from the start, or looked up again and again.

#[cfg(feature = "dns")]
mod hickory;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use aeraki_route::config::{Address, Cluster, Discovery, Dns, Endpoint, SocketAddress};
use tokio::{task::AbortHandle, time::sleep};

#[cfg(feature = "dns")]
pub use self::hickory::Hickory;
use super::{directory::Directory, members::Found};
use crate::stack::BoxFuture;

/// Looks host names up.
pub trait Resolver: Send + Sync + fmt::Debug + 'static {
    /// Returns the addresses of `host`, and how long they may be relied on where that is known.
    fn resolve(&self, host: Arc<str>) -> BoxFuture<io::Result<Resolved>>;
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
}

/// Returns the endpoints of a cluster in which nothing is looked up, not even one with a name.
pub(super) fn given(config: &Cluster) -> Option<impl Iterator<Item = Found<'_>>> {
    let looked_up = matches!(config.discovery, Discovery::StrictDns(_) | Discovery::LogicalDns(_));
    (!looked_up).then(|| {
        config.endpoints.iter().filter_map(|endpoint| match &endpoint.address {
            Address::Socket(address) => Some((address, endpoint)),
            _ => None,
        })
    })
}

/// Fills the directory with what is looked up, in a task that goes on until it is aborted.
pub(super) fn begin(config: &Cluster, directory: &Arc<Directory>) -> Option<AbortHandle> {
    let (dns, first_only) = match &config.discovery {
        Discovery::StrictDns(dns) => (*dns, false),
        Discovery::LogicalDns(dns) => (*dns, true),
        _ => return None,
    };
    let names = names(config);
    Some(tokio::spawn(look_up(names, dns, first_only, Arc::clone(directory))).abort_handle())
}

fn names(config: &Cluster) -> Vec<Name> {
    config.endpoints.iter().map(Name::new).collect()
}

async fn look_up(mut names: Vec<Name>, dns: Dns, first_only: bool, directory: Arc<Directory>) {
    loop {
        let mut wait = dns.refresh;
        for name in &mut names {
            match name.look_up(&*directory.context().resolver).await {
                Ok(Some(ttl)) if dns.respect_ttl => wait = ttl.max(SHORTEST),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(endpoint = %name.endpoint.address, %error, "cannot resolve; the last answer stays in force")
                }
            }
        }
        directory.replace(found(&names, first_only));
        sleep(wait).await;
    }
}

/// One configured endpoint and where it was last found.
struct Name {
    endpoint: Endpoint,
    /// The host to look up, and the port there; none: the address is known.
    name: Option<(Arc<str>, u16)>,
    /// The last good answer, or the address that is known.
    found: Vec<SocketAddress>,
}

impl Name {
    fn new(endpoint: &Endpoint) -> Self {
        let (name, found) = match &endpoint.address {
            Address::Socket(address) => (None, vec![address.clone()]),
            Address::Name { host, port } => (Some((host.as_str().into(), *port)), Vec::new()),
            // a kind of address that is not known yet is never found
            _ => (None, Vec::new()),
        };
        Self { endpoint: endpoint.clone(), name, found }
    }

    /// Looks the name up and returns how long to rely on the answer; an empty answer counts as none.
    async fn look_up(&mut self, resolver: &dyn Resolver) -> io::Result<Option<Duration>> {
        let Some((host, port)) = &self.name else { return Ok(None) };
        let resolved = resolver.resolve(Arc::clone(host)).await?;
        if resolved.addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the answer has no address"));
        }
        self.found = resolved.addresses.iter().map(|ip| SocketAddr::new(*ip, *port).into()).collect();
        Ok(resolved.ttl)
    }
}

/// Joins what was found into endpoints.
fn found(names: &[Name], first_only: bool) -> impl Iterator<Item = Found<'_>> {
    let most = if first_only { 1 } else { usize::MAX };
    names.iter().flat_map(move |name| name.found.iter().take(most).map(|address| (address, &name.endpoint)))
}

/// Names are not looked up more often than this, whatever their time to live.
const SHORTEST: Duration = Duration::from_secs(1);
