//! Names looked up by hickory-resolver: both address families, with the time to live.

use std::{io, sync::Arc, time::Instant};

use hickory_resolver::{TokioResolver, config::LookupIpStrategy};

use super::{Resolved, Resolver};
use crate::stack::BoxFuture;

/// Looks names up without the operating system, as `/etc/resolv.conf` says; knows the time to live.
#[derive(Clone, Debug)]
pub struct Hickory(TokioResolver);

impl Hickory {
    /// Reads the system's configuration.
    ///
    /// # Errors
    /// When there is none, or it cannot be understood.
    pub fn new() -> io::Result<Self> {
        let mut builder = TokioResolver::builder_tokio().map_err(io::Error::other)?;
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.build().map(Self).map_err(io::Error::other)
    }
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
