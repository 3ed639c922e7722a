//! Names looked up by hickory-resolver: both address families, with the time to live.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use hickory_resolver::{
    ResolverBuilder, TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};

use super::{Resolved, Resolver};
use crate::stack::BoxFuture;

/// Looks names up without the operating system, and knows the time to live; `/etc/hosts` goes first.
///
/// It keeps no answers: each look-up asks a name server.
#[derive(Clone, Debug)]
pub struct Hickory(TokioResolver);

impl Hickory {
    /// Asks the name servers of the system's configuration, `/etc/resolv.conf`.
    ///
    /// # Errors
    /// When there is none, or it cannot be understood.
    pub fn new() -> io::Result<Self> {
        build(TokioResolver::builder_tokio().map_err(io::Error::other)?)
    }

    /// Asks these name servers, by UDP, and by TCP where an answer is too long for that.
    ///
    /// `timeout` is how long one try may take, not zero; a look-up that nobody answers fails after three of them.
    ///
    /// # Errors
    /// When there is no name server, or the time-out is zero.
    pub fn with_name_servers(servers: impl IntoIterator<Item = SocketAddr>, timeout: Duration) -> io::Result<Self> {
        let servers: Vec<_> = servers.into_iter().map(name_server).collect();
        if servers.is_empty() || timeout.is_zero() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a name server and a time-out are needed"));
        }
        let config = ResolverConfig::from_name_servers(servers);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().timeout = timeout;
        build(builder)
    }
}

fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> io::Result<Hickory> {
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // how long an answer is relied on is the cluster's to say: kept ones would outlast its refresh interval
    options.cache_size = 0;
    builder.build().map(Hickory).map_err(io::Error::other)
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let at_port = connections.map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, at_port.into())
}

impl Resolver for Hickory {
    fn resolve(&self, host: Arc<str>) -> BoxFuture<io::Result<Resolved>> {
        let resolver = self.0.clone();
        Box::pin(async move {
            let found = resolver.lookup_ip(&*host).await.map_err(io::Error::other)?;
            let ttl = found.valid_until().saturating_duration_since(Instant::now());
            Ok(Resolved { addresses: found.iter().collect(), ttl: Some(ttl) })
        })
    }
}
