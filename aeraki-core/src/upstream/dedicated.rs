//! Connections to endpoints that one client has for itself, and whose bytes nobody looks at.

use std::{net::SocketAddr, sync::Arc};

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::{Placement, config::RoutingPriority};

use super::{Cluster, cluster::Shared, endpoint::Active, health::Ended};
use crate::{io::Io, proxy_protocol::Addresses, server::Accepted};

/// A connection to an endpoint; it counts towards the limits of the cluster until it is dropped.
pub struct Dedicated {
    /// The stream.
    pub io: Box<dyn Io>,
    active: Active,
    _counted: Counted,
}

impl Dedicated {
    /// Returns the address of the endpoint.
    #[must_use]
    pub fn endpoint(&self) -> SocketAddr {
        self.active.endpoint().address
    }
}

impl std::fmt::Debug for Dedicated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dedicated").field("endpoint", &self.endpoint()).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Makes a connection for one `client` to the endpoint that the balancer chooses by `placement`; one that cannot be had
    /// is replaced by another, until so many were tried.
    ///
    /// What became of a try counts for the outlier detection as what becomes of a request does.
    ///
    /// # Errors
    /// The last failure: [`NoHealthyUpstream`](Reason::NoHealthyUpstream), [`Overflow`](Reason::Overflow) where the
    /// cluster has as many connections as it may, or [`ConnectFailure`](Reason::ConnectFailure).
    pub async fn connect(
        &self,
        client: &Accepted,
        placement: Option<&Placement>,
        attempts: u32,
    ) -> Result<Dedicated, LocalReply> {
        let Shared { config, context, stats, .. } = &**self.shared();
        let client = Addresses { source: client.peer, destination: client.local };
        let connector = context.connector(config, stats, Some(client));
        let mut failed = Vec::new();
        loop {
            let active = self.directory().pick_when_known(placement, &failed).await?;
            let counted = Counted::new(self.shared())?;
            let endpoint = active.endpoint();
            match self.shared().connect(&*connector, endpoint.address).await {
                Ok(io) => {
                    endpoint.note(Ended::Well);
                    return Ok(Dedicated { io, active, _counted: counted });
                }
                Err(reply) => {
                    endpoint.note(Ended::LocalOrigin);
                    failed.push(endpoint.address);
                    if failed.len() >= attempts as usize {
                        stats.upstream_cx_connect_attempts_exceeded.inc();
                        return Err(reply);
                    }
                }
            }
        }
    }
}

/// A place among the connections that the cluster may have.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Result<Self, LocalReply> {
        let most = shared.config.limits.of(RoutingPriority::Default).max_connections;
        if !shared.usage.of(RoutingPriority::Default).connect(most) {
            shared.stats.upstream_cx_overflow.inc();
            let text = format!("cluster {:?} has as many connections as it may", shared.name);
            return Err(LocalReply::new(Reason::Overflow, text));
        }
        shared.stats.upstream_cx_total.inc();
        shared.stats.upstream_cx_active.inc();
        Ok(Self(Arc::clone(shared)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.usage.of(RoutingPriority::Default).disconnect();
        self.0.stats.upstream_cx_active.dec();
    }
}
