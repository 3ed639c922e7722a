//! A cluster: its endpoints, and the way of a request to one of them.

use std::{
    future::{Future, ready as ready_future},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, RwLock},
    task::{Context as Task, Poll, ready},
};

use aeraki_codec::{Affinity, Head, LocalReply, Reason};
use aeraki_route::{
    Placement,
    config::{self, Discovery, RoutingPriority},
};
use tokio::{sync::watch, task::AbortHandle, time::timeout};

use super::{
    Context,
    call::{Exchange, Exchanged},
    destinations::Destinations,
    discovery,
    endpoint::{Active, Endpoint},
    health::{Checks, Host, Watched},
    members::{Found, Members},
    pool::{Pool, PoolKind},
    shared::{Admitted, Shared},
    stats::ClusterStats,
};
use crate::{
    proxy_protocol::Addresses,
    stack::{BoxError, ConnInfo, Forward, Forwarding, Request, Response},
    sync::{lock, read, write},
};

/// Sends requests to the endpoints of one cluster.
#[derive(Debug)]
pub struct Cluster {
    directory: Arc<Directory>,
    /// What goes on for its sake, as long as it is in force.
    tasks: Vec<AbortHandle>,
}

/// The endpoints of a cluster as they come and go.
#[derive(Debug)]
pub(super) struct Directory {
    shared: Arc<Shared>,
    /// Held for a choice only: cheaper than an `ArcSwap`, whose readers are as many as requests.
    members: RwLock<Arc<Members>>,
    /// The endpoints as they were last found; held while the members are made of them.
    found: Mutex<Vec<Found>>,
    /// Whether the endpoints were looked up once, successfully or not.
    known: watch::Sender<bool>,
    /// The checks of the endpoints, where these are asked here.
    checks: Option<Mutex<Checks>>,
    /// The endpoints that clients bring along, where these are the ones.
    destinations: Option<Destinations>,
}

/// What the choice of an endpoint depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Criteria<'a> {
    pub(super) placement: Option<&'a Placement>,
    /// Who is chosen only where there is nobody else.
    pub(super) avoid: &'a [SocketAddr],
    /// The address that the client meant, where that is known.
    pub(super) original_dst: Option<SocketAddr>,
}

impl<'a> Criteria<'a> {
    fn of(request: &'a Request) -> Self {
        let avoid = request.avoid.as_deref().map_or(&[][..], Vec::as_slice);
        Self { placement: request.placement.as_deref(), avoid, original_dst: request.conn.original_dst() }
    }
}

impl Cluster {
    /// Makes a cluster, which takes over the connections to endpoints that `previous` has too where they are made and
    /// used in the same way.
    ///
    /// Of the workers that have the cluster one `looks_after` the health of its endpoints.
    pub(super) fn new(shared: Shared, previous: Option<&Self>, looks_after: bool) -> Self {
        let shared = Arc::new(shared);
        let previous = previous.filter(|previous| previous.connects_like(&shared.config));
        let config = shared.config.clone();
        let (verdicts, proxies) = (shared.verdicts(), shared.proxies());
        let before = previous.map(|previous| previous.directory.members());
        let given = discovery::given(&config);
        let is_given = given.is_some();
        // names are looked up later: what was found before is better than nothing
        let found = given.unwrap_or_else(|| before.iter().flat_map(|before| before.found()).collect());
        let members = Arc::new(Members::new(&found, before.as_deref(), &shared)).into();
        let checks = if looks_after { shared.checks().map(Mutex::new) } else { None };
        let known = watch::Sender::new(false);
        let destinations = match config.discovery {
            Discovery::OriginalDst(original) => Some(Destinations::new(original)),
            _ => None,
        };
        let directory = Arc::new(Directory { members, found: found.into(), known, checks, destinations, shared });
        if is_given {
            directory.settle();
        }
        let mut tasks: Vec<_> = discovery::begin(&config, &directory).into_iter().collect();
        tasks.extend(verdicts.map(|verdicts| spawn(Arc::clone(&directory).follow(verdicts))));
        tasks.extend(proxies.map(|proxies| spawn(Arc::clone(&directory).follow(proxies))));
        if directory.destinations.is_some() {
            tasks.push(spawn(Arc::clone(&directory).sweep_destinations()));
        }
        if let (true, Some(detection)) = (looks_after, config.outlier_detection) {
            let health = Arc::clone(&directory.shared.usage.health);
            tasks.push(spawn(async move { health.sweep_for_ever(&detection).await }));
        }
        Self { directory, tasks }
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
        let brought = self.directory.destinations.iter().flat_map(Destinations::addresses);
        self.directory.members().iter().map(|target| target.endpoint.address).chain(brought).collect()
    }

    /// Tells which endpoint a request that is placed so would go to now, and counts it as such a request; none where none
    /// may take it.
    #[must_use]
    pub fn pick(&self, placement: Option<&Placement>) -> Option<SocketAddr> {
        let members = read(&self.directory.members);
        members.pick(placement, &[], &self.directory.shared.stats).map(|endpoint| endpoint.address)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.directory.shared
    }

    pub(super) const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Ends all connections that `next` has not taken over, each with its last request, and looks after nothing any more.
    pub(super) fn drain(&self, next: Option<&Self>) {
        self.stop_tasks();
        let kept = next.map(|next| next.directory.members());
        self.directory.members().drain_missing(kept.as_deref());
        self.directory.destinations.iter().for_each(Destinations::clear);
    }

    fn stop_tasks(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.directory.ask([]);
    }

    fn connects_like(&self, config: &config::Cluster) -> bool {
        let mut like = self.config().clone();
        like.endpoints.clone_from(&config.endpoints);
        like.discovery.clone_from(&config.discovery);
        like.lb_policy = config.lb_policy;
        like.slow_start = config.slow_start;
        like.common_lb = config.common_lb;
        like.subsets.clone_from(&config.subsets);
        like.health_check.clone_from(&config.health_check);
        like.outlier_detection.clone_from(&config.outlier_detection);
        like == *config
    }
}

impl Forward for Cluster {
    fn forward(&self, request: Request) -> Forwarding {
        let admitted = match self.directory.shared.admit(&request) {
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
        self.stop_tasks();
    }
}

impl Directory {
    /// Replaces the endpoints; those that stay keep their connections, those that go finish what they have.
    pub(super) fn replace(&self, found: Vec<Found>) {
        *lock(&self.found) = found;
        self.rebuild();
        self.settle();
    }

    /// Takes the members as they are: asks whether they are well, and lets go who waits for them.
    fn settle(&self) {
        let members = self.members();
        self.announce(&members);
        self.ask(members.iter().map(|target| Arc::clone(&target.endpoint.host)));
        self.known.send_replace(true);
    }

    /// Tells what follows from the members: where the proxies are, if these are they, and which connections are kept ready.
    fn announce(&self, members: &Members) {
        if let Some(local) = self.context().local_cluster.as_ref().filter(|local| local.is(&self.shared.name)) {
            local.note(members.iter());
        }
        members.keep_spares();
    }

    /// Makes the members anew of the present endpoints, whose health may be another now.
    pub(super) fn rebuild(&self) {
        let found = lock(&self.found);
        let old = self.members();
        let new = Arc::new(Members::new(&found, Some(&old), &self.shared));
        *write(&self.members) = Arc::clone(&new);
        self.announce(&new);
        drop(found);
        old.drain_missing(Some(&new));
    }

    /// Asks these endpoints whether they are well, if any are.
    fn ask(&self, hosts: impl IntoIterator<Item = Arc<Host>>) {
        if let Some(checks) = &self.checks {
            lock(checks).keep(hosts);
        }
    }

    /// Makes the choice of endpoints anew with every change.
    async fn follow<T>(self: Arc<Self>, mut changes: watch::Receiver<T>) {
        while changes.changed().await.is_ok() {
            self.rebuild();
        }
    }

    fn members(&self) -> Arc<Members> {
        Arc::clone(&read(&self.members))
    }

    pub(super) fn context(&self) -> &Context {
        &self.shared.context
    }

    /// Chooses an endpoint, and the pool where that is settled for the client; none while there are no endpoints.
    fn choose(&self, request: &Request) -> Option<(Active, Option<Arc<Pool>>)> {
        match request.conn.bindings.find(&self.shared.name) {
            Some((endpoint, pool)) => Some((endpoint.enter(self.shared.decay()), Some(pool))),
            None => Some((self.pick(&Criteria::of(request))?, None)),
        }
    }

    fn send(&self, request: Request, admitted: Admitted, active: Active, bound: Option<Arc<Pool>>) -> Flight {
        let Request { message, conn, facts, priority, .. } = request;
        let watched = self.shared.config.outlier_detection.is_some().then(|| Watched::new(&facts, &conn));
        facts.note(|record| {
            record.cluster.get_or_insert_with(|| Arc::clone(&self.shared.name));
            record.endpoint = Some(active.endpoint().address);
        });
        let pool = bound.unwrap_or_else(|| self.pool(active.endpoint(), &conn, message.head(), priority));
        Flight { exchange: pool.call(message), watched, place: Some((active, admitted)) }
    }

    async fn forward_when_known(self: Arc<Self>, request: Request, admitted: Admitted) -> Result<Response, BoxError> {
        let active = self.pick_when_known(&Criteria::of(&request)).await?;
        self.send(request, admitted, active, None).await
    }

    /// Picks an endpoint, and waits for the first look-up of them before there are any, as long as connecting may take.
    pub(super) async fn pick_when_known(&self, criteria: &Criteria<'_>) -> Result<Active, LocalReply> {
        if let Some(active) = self.pick(criteria) {
            return Ok(active);
        }
        let mut known = self.known.subscribe();
        let _ = timeout(self.shared.config.connect_timeout, known.wait_for(|known| *known)).await;
        self.pick(criteria).ok_or_else(|| {
            self.shared.stats.upstream_cx_none_healthy.inc();
            let text = format!("cluster {:?} has no healthy endpoint", self.shared.name);
            LocalReply::new(Reason::NoHealthyUpstream, text)
        })
    }

    async fn sweep_destinations(self: Arc<Self>) {
        if let Some(destinations) = &self.destinations {
            destinations.sweep_for_ever().await;
        }
    }

    /// Picks an endpoint: the one that the client meant where that counts, else if possible not one of those to avoid.
    fn pick(&self, criteria: &Criteria<'_>) -> Option<Active> {
        let Criteria { placement, avoid, original_dst } = *criteria;
        if let Some(destinations) = &self.destinations {
            let endpoint = destinations.endpoint(original_dst?, &self.shared)?;
            return Some(endpoint.enter(self.shared.decay()));
        }
        let members = read(&self.members);
        let endpoint = members.pick(placement, avoid, &self.shared.stats)?;
        Some(Arc::clone(endpoint).enter(self.shared.decay()))
    }

    /// Returns the pool for a message: one of its own from now on for a connection that must be bound, and one of the
    /// client's where servers are told who the client is.
    fn pool(&self, endpoint: &Arc<Endpoint>, conn: &ConnInfo, head: &Head, priority: RoutingPriority) -> Arc<Pool> {
        let kind = PoolKind { protocol: &conn.protocol, dialect: head.dialect(), priority };
        if head.affinity() == Affinity::Bound {
            return conn.bindings.bind(&self.shared.name, endpoint, self.pool_of(endpoint, conn, &kind).of_one());
        }
        if self.shared.config.proxy_protocol.is_some() {
            return conn.bindings.own(&self.shared.name, endpoint, &kind, || self.pool_of(endpoint, conn, &kind));
        }
        endpoint.pool(&kind)
    }

    /// Makes a pool that only one client uses.
    fn pool_of(&self, endpoint: &Endpoint, conn: &ConnInfo, kind: &PoolKind<'_>) -> Pool {
        let pool = endpoint.new_pool(kind);
        let Shared { config, context, stats, .. } = &*self.shared;
        match config.proxy_protocol {
            Some(_) => pool.of_client(context.connector(config, stats, Some(Addresses::of(conn)))),
            None => pool,
        }
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    tokio::spawn(task).abort_handle()
}

/// A request on its way to an endpoint.
pub(crate) struct Flight {
    exchange: Exchange,
    watched: Option<Watched>,
    /// None once a stream has taken it over.
    place: Option<(Active, Admitted)>,
}

impl Future for Flight {
    type Output = Result<Response, BoxError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<Self::Output> {
        let mut outcome = ready!(Pin::new(&mut self.exchange).poll(cx));
        self.note(&outcome);
        if let Ok(Response::Stream(_, handle)) = &mut outcome {
            handle.keep(self.place.take());
        }
        Poll::Ready(outcome.map_err(Into::into))
    }
}

impl Flight {
    /// Notes what the end of the request says of its endpoint.
    fn note(&mut self, outcome: &Exchanged) {
        let Some((active, _)) = &mut self.place else { return };
        match outcome {
            Ok(Response::Oneway) => {}
            Ok(_) => active.answered(),
            // that there is no room says nothing about the endpoint
            Err(reply) if reply.reason() != Reason::Overflow => active.failed(),
            Err(_) => {}
        }
        if let Some(watched) = self.watched.take() {
            watched.ended(outcome, active.endpoint());
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let (Some(watched), Some((active, _))) = (self.watched.take(), &self.place) {
            watched.given_up(active.endpoint());
        }
    }
}
