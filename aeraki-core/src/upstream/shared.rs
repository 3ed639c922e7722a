//! What the connections of a cluster have in common, and what is admitted to it.

use std::{sync::Arc, time::Duration};

use aeraki_codec::{LocalReply, Reason};
use aeraki_route::{
    Place,
    config::{self, LbPolicy, RoutingPriority},
};
use tokio::sync::watch;

use super::{
    Context,
    connect::Connector,
    endpoint::Endpoint,
    health::{Ended, Host},
    local::{LocalCluster, Population},
    stats::{ClusterStats, Usage},
};
use crate::stack::Request;

/// What the connections of a cluster have in common, and what it goes by.
///
/// Endpoints that stay when the configuration changes go on with what they were made with, which is the same as far as
/// connections to them are concerned. For the rest ask the cluster.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    /// Without endpoints: what is kept by one of them must not keep all the others.
    pub(super) config: config::Cluster,
    pub(super) context: Context,
    /// Makes the connections that belong to no client.
    pub(super) connector: Arc<dyn Connector>,
    pub(super) stats: Arc<ClusterStats>,
    pub(super) usage: Arc<Usage>,
}

impl Shared {
    /// Takes a request on, unless as many are under way as may be.
    #[inline]
    pub(super) fn admit(&self, request: &Request) -> Result<Admitted, LocalReply> {
        let retry = if request.retry { self.admit_retry(request.priority)? } else { None };
        let Some(most) = self.config.limits.of(request.priority).max_requests else { return Ok([None, retry]) };
        let place = self.usage.of(request.priority).requests.take(most).ok_or_else(|| {
            self.stats.upstream_rq_pending_overflow.inc();
            self.overflow("requests")
        })?;
        Ok([Some(place), retry])
    }

    pub(super) fn admit_retry(&self, priority: RoutingPriority) -> Result<Option<Place>, LocalReply> {
        self.stats.upstream_rq_retry.inc();
        let Some(most) = self.config.limits.of(priority).max_retries else { return Ok(None) };
        let place = self.usage.of(priority).retries.take(most).ok_or_else(|| {
            self.stats.upstream_rq_retry_overflow.inc();
            self.overflow("further tries")
        })?;
        Ok(Some(place))
    }

    pub(super) fn overflow(&self, what: &str) -> LocalReply {
        LocalReply::new(Reason::Overflow, format!("cluster {:?} has as many {what} under way as it may", self.name))
    }

    /// Tells from now on of what the choice of endpoints depends on.
    pub(super) fn changes(&self) -> Changes {
        let config = &self.config;
        let judged = config.health_check.is_some() || config.outlier_detection.is_some();
        let zones = !config.lb_policy.is_hashed() && !config.common_lb.locality_weighted;
        let local = self.context.local_cluster.as_ref().filter(|_| zones);
        Changes { verdicts: judged.then(|| self.usage.health.verdicts()), proxies: local.map(LocalCluster::changes) }
    }

    /// Notes how a request to an endpoint ended, where that may take the endpoint out.
    pub(super) fn note(&self, endpoint: &Endpoint, ended: Ended) {
        if let Some(detection) = &self.config.outlier_detection {
            self.usage.health.note(&endpoint.host, ended, detection);
        }
    }

    /// Returns the statuses of answers that are errors, where the cluster says so.
    pub(super) fn error_statuses(&self) -> Option<&[i32]> {
        self.config.outlier_detection.as_ref()?.error_statuses.as_deref()
    }

    /// Returns how long latencies count; none: nobody asks for them.
    pub(super) const fn decay(&self) -> Option<Duration> {
        match self.config.lb_policy {
            LbPolicy::PeakEwma(policy) => Some(policy.decay),
            _ => None,
        }
    }
}

/// What the choice of endpoints depends on besides the configuration.
pub(super) struct Changes {
    /// Every verdict on endpoints, where there are any.
    pub(super) verdicts: Option<watch::Receiver<u64>>,
    /// Every change of the cluster that the proxy belongs to, where zones count by it.
    pub(super) proxies: Option<watch::Receiver<Arc<Population>>>,
}

/// The places of a request under way, and of a further try; none where their number is not limited.
pub(super) type Admitted = [Option<Place>; 2];

/// Counts a connection that no request has made until it is dropped or given away.
pub(super) struct Counted(Option<(Arc<Shared>, Arc<Host>)>);

impl Counted {
    /// Counts one more connection to an endpoint, unless there are as many as there may be.
    pub(super) fn begin(shared: &Arc<Shared>, host: &Arc<Host>) -> Option<Self> {
        let most = shared.config.limits.thresholds.max_connections;
        if !shared.usage.of(RoutingPriority::Default).connect(most) {
            return None;
        }
        shared.stats.upstream_cx_total.inc();
        shared.stats.upstream_cx_active.inc();
        host.connections.inc();
        Some(Self(Some((Arc::clone(shared), Arc::clone(host)))))
    }

    /// Leaves the connection to another that counts it from now on.
    pub(super) fn give_away(mut self) {
        self.0 = None;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some((shared, host)) = &self.0 {
            shared.usage.of(RoutingPriority::Default).disconnect();
            shared.stats.upstream_cx_active.dec();
            host.connections.dec();
        }
    }
}
