//! A cluster: its endpoints, and the way of a request to one of them.

use std::{
    future::{Future, ready as ready_future},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, RwLock},
    task::{Context as Task, Poll, ready},
};

use aeraki_codec::{Affinity, Head, LocalReply, Reason};
use aeraki_route::{Place, config};
use tokio::{sync::watch, task::AbortHandle, time::timeout};

use super::{
    Context,
    announce::Announcing,
    balance::{Balance, Target, Targets, balance},
    call::Exchange,
    connect::Connector,
    discovery,
    endpoint::{Active, Endpoint},
    pool::Pool,
    stats::{ClusterStats, Usage},
};
use crate::{
    stack::{BoxError, ConnInfo, Forward, Forwarding, Request, Response},
    sync::{read, write},
};

/// Sends requests to the endpoints of one cluster.
#[derive(Debug)]
pub struct Cluster {
    directory: Arc<Directory>,
    discovery: Option<AbortHandle>,
}

/// What the connections of a cluster have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) config: config::Cluster,
    pub(super) context: Context,
    /// Makes the connections: that of the context, with TLS around it where the cluster has any.
    pub(super) connector: Arc<dyn Connector>,
    pub(super) stats: Arc<ClusterStats>,
    pub(super) usage: Arc<Usage>,
}

/// The endpoints of a cluster as they come and go.
#[derive(Debug)]
pub(super) struct Directory {
    shared: Arc<Shared>,
    /// Held for a choice only: cheaper than an `ArcSwap`, whose readers are as many as requests.
    targets: RwLock<Arc<Targets>>,
    balance: Box<dyn Balance>,
    /// Whether the endpoints were looked up once, successfully or not.
    known: watch::Sender<bool>,
}

impl Cluster {
    /// Makes a cluster, which takes over the connections to endpoints that `previous` has too where they are made and
    /// used in the same way.
    pub(super) fn new(shared: Shared, previous: Option<&Self>) -> Self {
        let shared = Arc::new(shared);
        let previous = previous.filter(|previous| previous.connects_like(&shared.config));
        let config = shared.config.clone();
        let directory = Arc::new(Directory {
            targets: previous.map(|previous| previous.directory.targets()).unwrap_or_default().into(),
            balance: balance(config.lb_policy),
            known: watch::Sender::new(false),
            shared,
        });
        let discovery = discovery::begin(&config, &directory);
        Self { directory, discovery }
    }

    /// Returns the configuration.
    #[must_use]
    pub fn config(&self) -> &config::Cluster {
        &self.directory.shared.config
    }

    /// Returns what is counted.
    #[must_use]
    pub fn stats(&self) -> &ClusterStats {
        &self.directory.shared.stats
    }

    /// Lists the addresses of the endpoints as they are now.
    #[must_use]
    pub fn endpoints(&self) -> Vec<SocketAddr> {
        self.directory.targets().iter().map(|target| target.endpoint.address).collect()
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.directory.shared
    }

    /// Ends all connections that `next` has not taken over, each with its last request, and looks no names up any more.
    pub(super) fn drain(&self, next: Option<&Self>) {
        self.stop_discovery();
        let kept = next.map(|next| next.directory.targets()).unwrap_or_default();
        self.directory.targets().drain_missing(&kept);
    }

    fn stop_discovery(&self) {
        if let Some(discovery) = &self.discovery {
            discovery.abort();
        }
    }

    fn connects_like(&self, config: &config::Cluster) -> bool {
        let mut like = self.config().clone();
        like.endpoints.clone_from(&config.endpoints);
        like.discovery.clone_from(&config.discovery);
        like.lb_policy = config.lb_policy;
        like == *config
    }
}

impl Forward for Cluster {
    fn forward(&self, request: Request) -> Forwarding {
        let admitted = match self.directory.shared.admit() {
            Ok(admitted) => admitted,
            Err(overflow) => return Forwarding::boxed(ready_future(Err(overflow.into()))),
        };
        match self.directory.choose(&request) {
            Some((active, bound)) => Forwarding::direct(self.directory.send(request, admitted, active, bound)),
            None => Forwarding::boxed(Arc::clone(&self.directory).forward_when_known(request, admitted)),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop_discovery();
    }
}

impl Shared {
    /// Takes a request on, unless as many are under way as may be.
    #[inline]
    fn admit(&self) -> Result<Admitted, LocalReply> {
        let Some(most) = self.config.limits.max_requests else { return Ok(None) };
        let place = self.usage.requests.take(most).ok_or_else(|| {
            self.stats.upstream_rq_pending_overflow.inc();
            let text = format!("cluster {:?} has as many requests under way as it may", self.name);
            LocalReply::new(Reason::Overflow, text)
        })?;
        Ok(Some(place))
    }

    /// Returns what makes connections that tell servers who the client is, where the cluster wants that.
    fn announcing(&self, client: &ConnInfo) -> Option<Arc<dyn Connector>> {
        let version = self.config.proxy_protocol?;
        let plain: Arc<dyn Connector> = Arc::new(Announcing::new(Arc::clone(&self.context.connector), version, client));
        Some(self.context.secrets.connector(&plain, &self.config, &self.stats))
    }
}

/// The place of a request under way; none where their number is not limited.
type Admitted = Option<Place>;

impl Directory {
    /// Replaces the endpoints; those that stay keep their connections, those that go finish what they have.
    pub(super) fn replace(&self, addresses: &[(SocketAddr, u32)]) {
        let old = self.targets();
        let targets = addresses.iter().map(|(address, weight)| {
            let known = old.iter().find(|target| target.endpoint.address == *address);
            let endpoint = known.map_or_else(
                || Arc::new(Endpoint::new(*address, Arc::clone(&self.shared))),
                |target| Arc::clone(&target.endpoint),
            );
            Target { endpoint, weight: *weight }
        });
        let new = Arc::new(Targets::new(targets.collect()));
        *write(&self.targets) = Arc::clone(&new);
        self.known.send_replace(true);
        old.drain_missing(&new);
    }

    fn targets(&self) -> Arc<Targets> {
        Arc::clone(&read(&self.targets))
    }

    pub(super) fn context(&self) -> &Context {
        &self.shared.context
    }

    /// Chooses an endpoint, and the pool where that is settled for the client; none while there are no endpoints.
    fn choose(&self, request: &Request) -> Option<(Active, Option<Arc<Pool>>)> {
        match request.conn.bindings.find(&self.shared.name) {
            Some((endpoint, pool)) => Some((endpoint.enter(), Some(pool))),
            None => Some((self.pick(request.avoid.as_ref())?, None)),
        }
    }

    fn send(&self, request: Request, admitted: Admitted, active: Active, bound: Option<Arc<Pool>>) -> Flight {
        let Request { message, conn, facts, .. } = request;
        facts.note(|record| {
            record.cluster.get_or_insert_with(|| Arc::clone(&self.shared.name));
            record.endpoint = Some(active.endpoint().address);
        });
        let pool = bound.unwrap_or_else(|| self.pool(active.endpoint(), &conn, message.head()));
        Flight { exchange: pool.call(message), _active: active, _admitted: admitted }
    }

    /// Waits for the first look-up of the endpoints, as long as connecting may take.
    async fn forward_when_known(self: Arc<Self>, request: Request, admitted: Admitted) -> Result<Response, BoxError> {
        let mut known = self.known.subscribe();
        let _ = timeout(self.shared.config.connect_timeout, known.wait_for(|known| *known)).await;
        let Some(active) = self.pick(request.avoid.as_ref()) else {
            let text = format!("cluster {:?} has no endpoint", self.shared.name);
            return Err(LocalReply::new(Reason::NoHealthyUpstream, text).into());
        };
        self.send(request, admitted, active, None).await
    }

    /// Picks an endpoint, if possible not one of those to avoid.
    fn pick(&self, avoid: Option<&Arc<Vec<SocketAddr>>>) -> Option<Active> {
        let targets = read(&self.targets);
        if targets.is_empty() {
            return None;
        }
        let picked = targets.get(self.balance.pick(&targets))?;
        let is_good = |target: &&Target| !avoid.is_some_and(|avoid| avoid.contains(&target.endpoint.address));
        if is_good(&picked) {
            return Some(Arc::clone(&picked.endpoint).enter());
        }
        let others: Vec<&Target> = targets.iter().filter(is_good).collect();
        let target = fastrand::choice(others).unwrap_or(picked);
        Some(Arc::clone(&target.endpoint).enter())
    }

    /// Returns the pool for a message: one of its own from now on for a connection that must be bound, and one of the
    /// client's for an endpoint that is told who the client is.
    fn pool(&self, endpoint: &Arc<Endpoint>, conn: &ConnInfo, head: &Head) -> Arc<Pool> {
        let new_pool = || {
            let pool = endpoint.new_pool(&conn.protocol, head.dialect());
            match self.shared.announcing(conn) {
                Some(connector) => pool.with_connector(connector),
                None => pool,
            }
        };
        if head.affinity() == Affinity::Bound {
            return conn.bindings.bind(&self.shared.name, endpoint, new_pool().of_one());
        }
        match self.shared.config.proxy_protocol {
            Some(_) => conn.bindings.own(&self.shared.name, endpoint, head.dialect(), new_pool),
            None => endpoint.pool(&conn.protocol, head.dialect()),
        }
    }
}

/// A request on its way to an endpoint.
pub(crate) struct Flight {
    exchange: Exchange,
    _active: Active,
    _admitted: Admitted,
}

impl Future for Flight {
    type Output = Result<Response, BoxError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.exchange).poll(cx)) {
            Ok(Some(answer)) => Ok(Response::Message(answer)),
            Ok(None) => Ok(Response::Oneway),
            Err(reply) => Err(reply.into()),
        })
    }
}

impl Targets {
    /// Ends the connections to endpoints that are not among `kept`.
    fn drain_missing(&self, kept: &Self) {
        let is_kept = |endpoint| kept.iter().any(|other| Arc::ptr_eq(&other.endpoint, endpoint));
        self.iter().map(|target| &target.endpoint).filter(|endpoint| !is_kept(endpoint)).for_each(|gone| gone.drain());
    }
}
