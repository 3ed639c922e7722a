//! Connections to endpoints that one client has for itself, and whose bytes nobody looks at.

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::{Placement, config::SocketAddress};

use super::{
    Cluster,
    connect::connect,
    directory::Criteria,
    endpoint::Active,
    health::Ended,
    shared::{Counted, Shared},
};
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
    pub fn endpoint(&self) -> &SocketAddress {
        &self.active.endpoint().address
    }
}

impl std::fmt::Debug for Dedicated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dedicated").field("endpoint", &self.endpoint()).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Makes a connection for one `client` to the endpoint that the balancer chooses by `placement`; one that cannot be
    /// had is replaced by another, until so many were tried.
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
        let addresses = Addresses { source: client.peer, destination: client.local };
        let connector = context.connector(config, stats, Some(addresses));
        let mut failed = Vec::new();
        loop {
            let criteria = Criteria { placement, avoid: &failed, original_dst: client.original_dst() };
            let active = self.directory().pick_when_known(&criteria).await?;
            let endpoint = active.endpoint();
            let counted = Counted::begin(self.shared(), &endpoint.host).ok_or_else(|| self.full())?;
            match connect(&endpoint.address, &*connector, self.shared()).await {
                Ok(io) => {
                    self.shared().note(endpoint, Ended::Well);
                    return Ok(Dedicated { io, active, _counted: counted });
                }
                Err(reply) => {
                    self.shared().note(endpoint, Ended::LocalOrigin);
                    failed.push(endpoint.address.clone());
                    if failed.len() >= attempts as usize {
                        stats.upstream_cx_connect_attempts_exceeded.inc();
                        return Err(reply);
                    }
                }
            }
        }
    }

    fn full(&self) -> LocalReply {
        let Shared { name, stats, .. } = &**self.shared();
        stats.upstream_cx_overflow.inc();
        LocalReply::new(Reason::Overflow, format!("cluster {name:?} has as many connections as it may"))
    }
}
