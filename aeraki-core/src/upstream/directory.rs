//! The endpoints of a cluster, and which of them a request goes to.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex, RwLock},
};

use aeraki_codec::{Affinity, Head, LocalReply, Reason};
use aeraki_route::{
    Placement,
    config::{Discovery, HealthStatus, RoutingPriority, SocketAddress},
};
use tokio::{
    sync::watch,
    task::{AbortHandle, spawn_blocking},
    time::timeout,
};

use super::{
    Context, Flight,
    destinations::Destinations,
    discovery::{self, Names},
    endpoint::{Active, Endpoint},
    health::{Monitor, Watched},
    members::{Found, Members},
    pool::{Pool, PoolKind},
    shared::{Admitted, Changes, Shared},
    stats::Membership,
};
use crate::{
    proxy_protocol::Addresses,
    stack::{BoxError, ConnInfo, Request, Response},
    sync::{lock, read, write},
};

/// The endpoints of a cluster as they come and go.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) shared: Arc<Shared>,
    /// Held for a choice only: cheaper than an `ArcSwap`, whose readers are as many as requests.
    members: RwLock<Arc<Members>>,
    /// Held while the members are made anew.
    changing: Mutex<()>,
    /// Whether all endpoints were looked up once, successfully or not; changes with every one of them.
    known: watch::Sender<bool>,
    /// What looks after the health of the endpoints, where that is done here and no other directory has taken it over.
    monitor: Mutex<Option<Monitor>>,
    /// The endpoints that clients bring along, where these are the ones.
    destinations: Option<Destinations>,
}

/// What the choice of an endpoint depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Criteria<'a> {
    pub(super) placement: Option<&'a Placement>,
    /// Who is chosen only where there is nobody else.
    pub(super) avoid: &'a [SocketAddress],
    /// The address that the client meant, where that is known.
    pub(super) original_dst: Option<SocketAddr>,
}

impl<'a> Criteria<'a> {
    fn of(request: &'a Request) -> Self {
        let avoid = request.avoid.as_deref().map_or(&[][..], Vec::as_slice);
        Self { placement: request.placement.as_deref(), avoid, original_dst: request.conn.original_dst() }
    }
}

impl Directory {
    pub(super) fn new(members: Members, shared: Arc<Shared>, monitor: Option<Monitor>) -> Self {
        let destinations = match shared.config.discovery {
            Discovery::OriginalDst(original) => Some(Destinations::new(original)),
            _ => None,
        };
        let (members, known) = (Arc::new(members).into(), watch::Sender::new(false));
        Self { members, changing: Mutex::default(), known, monitor: monitor.into(), destinations, shared }
    }

    /// Begins what goes on for the sake of the cluster, whose `names` are looked up; `changes` are those since before
    /// the members were made.
    pub(super) fn begin(self: &Arc<Self>, names: Option<Names>, changes: Changes) -> Vec<AbortHandle> {
        let mut tasks: Vec<_> = names.map(|names| discovery::begin(names, self)).into_iter().collect();
        tasks.extend(changes.verdicts.map(|verdicts| spawn(Arc::clone(self).follow(verdicts))));
        tasks.extend(changes.proxies.map(|proxies| spawn(Arc::clone(self).follow(proxies))));
        if self.destinations.is_some() {
            tasks.push(spawn(Arc::clone(self).sweep_destinations()));
        }
        tasks
    }

    /// Replaces the endpoints, of which all are `known` or more will be found; those that stay keep their connections,
    /// those that go finish what they have.
    pub(super) fn replace<'a>(&self, found: impl Iterator<Item = Found<'a>>, known: bool) {
        let changing = lock(&self.changing);
        self.exchange(found, &self.members());
        drop(changing);
        self.settle(known);
    }

    /// Takes the members as they are: asks whether they are well, and lets those look who wait for them.
    pub(super) fn settle(&self, known: bool) {
        let members = self.members();
        self.announce(&members);
        if let Some(monitor) = &mut *lock(&self.monitor) {
            monitor.keep(members.iter().map(|target| Arc::clone(&target.endpoint.host)));
        }
        self.known.send_replace(known);
    }

    /// Lists the addresses of the endpoints, those that clients have brought along included.
    pub(super) fn addresses(&self) -> Vec<SocketAddress> {
        let brought = self.brought().map(|endpoint| endpoint.address.clone());
        self.members().iter().map(|target| target.endpoint.address.clone()).chain(brought).collect()
    }

    /// Lists the endpoints that clients have brought along.
    pub(super) fn brought(&self) -> impl Iterator<Item = Arc<Endpoint>> {
        self.destinations.iter().flat_map(Destinations::endpoints)
    }

    /// Counts the endpoints, those that clients have brought along included.
    pub(super) fn membership(&self) -> Membership {
        let mut membership = Membership::default();
        self.members().iter().for_each(|target| membership.count(target.health));
        // nobody judges what clients bring along
        let brought = self.destinations.iter().map(Destinations::len).sum();
        (0..brought).for_each(|_| membership.count(HealthStatus::Healthy));
        membership
    }

    /// Ends the connections to endpoints that are not among `kept`.
    pub(super) fn drain(&self, kept: Option<&Members>) {
        self.members().drain_missing(kept);
        self.destinations.iter().for_each(Destinations::clear);
    }

    /// Tells what follows from the members: where the proxies are, if these are they, and which connections are kept
    /// ready.
    fn announce(&self, members: &Members) {
        if let Some(local) = self.context().local_cluster.as_ref().filter(|local| local.is(&self.shared.name)) {
            local.note(members.iter());
        }
        if self.shared.config.preconnect.spare_connections > 0 {
            members.keep_spares();
        }
    }

    /// Makes the members anew of the present endpoints, whose health may be another now.
    pub(super) fn rebuild(&self) {
        let _changing = lock(&self.changing);
        let old = self.members();
        let new = self.exchange(old.found(), &old);
        self.announce(&new);
    }

    /// Puts members of what was found in the place of the old ones.
    fn exchange<'a>(&self, found: impl Iterator<Item = Found<'a>>, old: &Members) -> Arc<Members> {
        let new = Arc::new(Members::new(found, Some(old), &self.shared));
        *write(&self.members) = Arc::clone(&new);
        old.drain_missing(Some(&new));
        new
    }

    /// Ceases to look after the health of the endpoints; whoever gets what did it may go on.
    pub(super) fn release_monitor(&self) -> Option<Monitor> {
        lock(&self.monitor).take()
    }

    /// Makes the choice of endpoints anew with every change.
    async fn follow<T>(self: Arc<Self>, mut changes: watch::Receiver<T>) {
        while changes.changed().await.is_ok() {
            self.rebuild_aside().await;
        }
    }

    /// Makes the members anew, many of them on another thread: requests of this one would wait for it.
    async fn rebuild_aside(self: &Arc<Self>) {
        if read(&self.members).len() <= FEW {
            return self.rebuild();
        }
        let directory = Arc::clone(self);
        // it only fails with the runtime that it is for
        let _ = spawn_blocking(move || directory.rebuild()).await;
    }

    pub(super) fn members(&self) -> Arc<Members> {
        Arc::clone(&read(&self.members))
    }

    pub(super) fn context(&self) -> &Context {
        &self.shared.context
    }

    /// Chooses an endpoint, and the pool where that is settled for the client; none while there are no endpoints.
    pub(super) fn choose(&self, request: &Request) -> Option<(Active, Option<Arc<Pool>>)> {
        match request.conn.bindings.find(&self.shared.name) {
            Some((endpoint, pool)) => Some((endpoint.enter(self.shared.decay()), Some(pool))),
            None => Some((self.pick(&Criteria::of(request))?, None)),
        }
    }

    pub(super) fn send(
        &self,
        request: Request,
        admitted: Admitted,
        active: Active,
        bound: Option<Arc<Pool>>,
    ) -> Flight {
        let Request { message, conn, facts, priority, .. } = request;
        let watched = Watched::new(&facts, &conn, &self.shared);
        facts.note(|record| {
            record.cluster.get_or_insert_with(|| Arc::clone(&self.shared.name));
            record.endpoint = Some(active.endpoint().address.clone());
        });
        let pool = bound.unwrap_or_else(|| self.pool(active.endpoint(), &conn, message.head(), priority));
        Flight::new(pool.call(message), watched, active, admitted)
    }

    pub(super) async fn forward_when_known(
        self: Arc<Self>,
        request: Request,
        admitted: Admitted,
    ) -> Result<Response, BoxError> {
        let active = self.pick_when_known(&Criteria::of(&request)).await?;
        self.send(request, admitted, active, None).await
    }

    /// Picks an endpoint, and waits as long as connecting may take for one to be found, unless all have been looked up.
    pub(super) async fn pick_when_known(&self, criteria: &Criteria<'_>) -> Result<Active, LocalReply> {
        let mut known = self.known.subscribe();
        let found = async {
            loop {
                let is_last = *known.borrow_and_update();
                let active = self.pick(criteria);
                if active.is_some() || is_last || known.changed().await.is_err() {
                    return active;
                }
            }
        };
        let found = timeout(self.shared.config.connect_timeout, found).await.ok().flatten();
        found.ok_or_else(|| {
            self.shared.stats.upstream_cx_none_healthy.inc();
            let text = format!("cluster {:?} has no healthy endpoint", self.shared.name);
            LocalReply::new(Reason::NoHealthyUpstream, text)
        })
    }

    /// Tells where a request that is placed so would go to now, and counts it.
    pub(super) fn pick_by(&self, placement: Option<&Placement>) -> Option<SocketAddress> {
        let members = read(&self.members);
        members.pick(placement, &[], &self.shared.stats).map(|endpoint| endpoint.address.clone())
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

/// So many endpoints are put into tables faster than another thread is woken, more or less.
const FEW: usize = 200;
