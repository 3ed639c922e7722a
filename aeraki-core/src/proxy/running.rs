//! A proxy that runs.

#[cfg(all(feature = "hot-restart", target_os = "linux"))]
use std::path::Path;
use std::{
    collections::BTreeMap,
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use aeraki_route::{
    SharedRules,
    config::{self, ConfigError, Listener, RouteSubscription},
};
use futures_util::future::join_all;
use tokio::{
    runtime::{Builder, Handle},
    time::timeout,
};
use tokio_util::task::TaskTracker;

#[cfg(all(feature = "hot-restart", target_os = "linux"))]
use super::hot_restart::Waiting;
use super::{
    Place, Prepared, Proxy, cannot_start, find_check,
    leaving::InForce,
    limit_stats,
    sockets::Sockets,
    subscriptions,
    tables::Warnings,
    warming::Warming,
    worker::{Common, Worker, until_done},
};
#[cfg(feature = "admin")]
use crate::admin::Admin;
use crate::{
    observe::{Collect, Stats},
    server::{self, Drain, ListenerDrains, Phase, ProcessLimit},
    socket::OwnAddresses,
    sync::lock,
    upstream::{LocalCluster, warn_of_ttl},
};

/// A proxy that runs, until it is told to [shut down](Self::shutdown).
#[derive(Debug)]
pub struct Running {
    /// What the proxy was made of, less its listeners.
    pub(super) config: config::Proxy,
    pub(super) listeners: BTreeMap<String, Serving>,
    pub(super) sockets: Sockets,
    pub(super) warnings: Warnings,
    pub(super) common: Common,
    pub(super) workers: Vec<Worker>,
    admin: Option<SocketAddr>,
    /// Ends the admin interface, whose socket a successor may take.
    #[cfg(any(feature = "admin", all(feature = "hot-restart", target_os = "linux")))]
    admin_drain: Drain,
    drain: Drain,
    /// Ends the listeners, perhaps before the rest.
    pub(super) listener_drains: ListenerDrains,
    pub(super) in_force: InForce,
    /// What tells listeners to end that are gone or have been replaced, until they have.
    pub(super) ending: Vec<Drain>,
    /// The tables of all listeners, as the admin interface sees them.
    tables: Arc<Mutex<Vec<Arc<SharedRules>>>>,
    /// Shows the limits of all listeners.
    limits: Vec<Arc<dyn Collect>>,
}

/// A listener that is served by all workers.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) prepared: Prepared,
    pub(super) address: SocketAddr,
    pub(super) drain: Drain,
    pub(super) warming: Warming,
}

impl Running {
    /// Starts a worker in each of `places`.
    pub(super) fn start(proxy: Proxy, places: &[Place]) -> Result<Self, ConfigError> {
        let Proxy { config, listeners, protocols, stats, secrets, resolver, warnings, sockets } = proxy;
        let limit = ProcessLimit::new(config.max_connections);
        let local_cluster = config.local_cluster.as_deref();
        let local_cluster = local_cluster.map(|name| LocalCluster::new(name, config.node.locality.clone()));
        let drain = Drain::new();
        let mut running = Self {
            config,
            listeners: BTreeMap::new(),
            sockets,
            warnings,
            common: Common { protocols, stats, secrets, resolver, limit, own: OwnAddresses::default(), local_cluster },
            workers: Vec::new(),
            admin: None,
            #[cfg(any(feature = "admin", all(feature = "hot-restart", target_os = "linux")))]
            admin_drain: drain.part(),
            listener_drains: ListenerDrains::of(&drain),
            drain,
            in_force: InForce::default(),
            ending: Vec::new(),
            tables: Arc::default(),
            limits: Vec::new(),
        };
        let bound = listeners.into_iter().map(|prepared| {
            let sockets = running.sockets.get(&prepared.config, places.len())?;
            Ok((prepared, sockets))
        });
        let bound = bound.collect::<Result<Vec<_>, _>>()?;
        #[cfg(feature = "admin")]
        let admin = running.config.admin.map(|address| running.bind_admin(address)).transpose()?;
        running.admin.into_iter().for_each(|address| running.common.own.add(address));
        warn_of_ttl(&running.config.clusters, &*running.common.resolver);
        running.in_force.put(&running.config.clusters);
        places.iter().try_for_each(|place| running.add_worker(place))?;
        bound.into_iter().for_each(|(prepared, sockets)| running.serve(prepared, sockets));
        running.show_listeners();
        running.look_after();
        #[cfg(feature = "admin")]
        if let (Some(admin), Some(worker)) = (admin, running.workers.first()) {
            let clusters = running.workers.iter().map(|worker| Arc::clone(worker.clusters().shared()));
            worker.handle().spawn(admin.with_clusters(clusters).serve());
        }
        Ok(running)
    }

    /// Returns the configuration in force.
    #[must_use]
    pub const fn config(&self) -> &config::Proxy {
        &self.config
    }

    /// Returns the address that a listener is bound to; none for one on a Unix socket.
    #[must_use]
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.addresses().find(|(name, _)| *name == listener).map(|(_, address)| address)
    }

    /// Lists the listeners that have an IP address, and their addresses.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        let over_tcp = self.listeners.iter().filter(|(_, serving)| serving.address.port() != 0);
        over_tcp.map(|(name, serving)| (name.as_str(), serving.address))
    }

    /// Returns the address of the admin interface, if there is one.
    #[must_use]
    pub const fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Returns the statistics of all workers.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.common.stats
    }

    /// Returns what tells everybody to finish.
    #[must_use]
    pub const fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Returns what tells the listeners alone to finish, as `POST /drain_listeners` does: the proxy goes on without
    /// them.
    #[must_use]
    pub const fn listener_drains(&self) -> &ListenerDrains {
        &self.listener_drains
    }

    /// Lists which route tables a control plane is to deliver now; as [`Proxy::subscriptions`].
    pub fn subscriptions(&self) -> impl Iterator<Item = (&RouteSubscription, &Arc<SharedRules>)> {
        subscriptions(self.listeners.values().map(|serving| &serving.prepared))
    }

    /// Waits until all listeners take connections. One that subscribes to route tables takes none before they have
    /// come, or have not come within their [`initial_fetch_timeout`](RouteSubscription::initial_fetch_timeout), or when
    /// it drains.
    pub async fn warmed(&self) {
        for Serving { warming, drain, .. } in self.listeners.values() {
            tokio::select! {
                () = warming.over() => {}
                () = drain.reached(Phase::Draining) => {}
            }
        }
    }

    /// Waits at `path`, a Unix socket, for a process that takes the sockets over, in the place of whoever waited there
    /// before. What is returned ends when the successor serves; it is for the caller to [shut down](Self::shutdown)
    /// then.
    ///
    /// # Errors
    /// When the socket cannot be made there.
    #[cfg(all(feature = "hot-restart", target_os = "linux"))]
    pub fn await_successor(&self, path: &Path) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let (waiting, admin) = (Waiting::at(path, self.sockets.clone())?, self.admin_drain.clone());
        Ok(async move {
            waiting.relieved().await;
            admin.close();
        })
    }

    /// Makes these the clusters of all workers from now on, beside those that connections need which finish in the way
    /// of an earlier configuration; see [`Clusters::update`](crate::upstream::Clusters::update).
    ///
    /// # Errors
    /// The first fault of any of them; then nothing has changed.
    pub fn update_clusters(&self, configs: &[config::Cluster]) -> Result<(), ConfigError> {
        configs.iter().try_for_each(config::Cluster::validate)?;
        configs.iter().try_for_each(|cluster| find_check(cluster, &self.common.protocols))?;
        configs.iter().try_for_each(|cluster| self.common.secrets.check_cluster(cluster))?;
        warn_of_ttl(configs, &*self.common.resolver);
        self.in_force.put(configs);
        Ok(())
    }

    /// Lists the clusters in force, and after them those that only connections need which finish in the way of an
    /// earlier configuration. Who keeps something for each cluster, as a client of a rate limit service, keeps it for
    /// all of these.
    #[must_use]
    pub fn clusters(&self) -> Vec<Arc<config::Cluster>> {
        self.in_force.clusters()
    }

    /// Waits until no connection finishes in the way of an earlier configuration any more; at once where none does.
    pub fn settled(&self) -> impl Future<Output = ()> + Send + use<> {
        self.in_force.settled()
    }

    /// Takes no new connections, lets those that are open finish for at most `grace`, and ends the rest.
    pub async fn shutdown(self, grace: Duration) {
        self.drain.begin();
        let done =
            || join_all(self.workers.iter().map(|worker| until_done(worker.tasks().clone(), self.drain.clone())));
        if timeout(grace, done()).await.is_err() {
            self.drain.close();
            done().await;
        }
    }

    /// Has every worker serve a listener on its socket.
    pub(super) fn serve(&mut self, prepared: Prepared, sockets: Vec<server::Listener>) {
        let Some(address) = sockets.first().map(server::Listener::local_addr) else { return };
        let drain = self.listener_drains.of_direction(prepared.config.direction).part();
        self.close_with_drain(&prepared.config, drain.clone());
        let warming = Warming::of(&prepared);
        // before any connection can name it
        self.common.own.add(address);
        for (worker, socket) in self.workers.iter().cycle().zip(sockets) {
            worker.serve(prepared.clone(), socket, warming.clone(), drain.clone());
        }
        let name = prepared.config.name.clone();
        self.listeners.insert(name, Serving { prepared, address, drain, warming });
    }

    /// Has the sockets of a listener closed when it drains with others, unless it has `ended` before.
    fn close_with_drain(&self, listener: &Listener, ended: Drain) {
        let Some(worker) = self.workers.first() else { return };
        let (sockets, listener) = (self.sockets.clone(), listener.clone());
        let drain = self.listener_drains.of_direction(listener.direction).clone();
        worker.handle().spawn(async move {
            tokio::select! {
                biased;
                () = drain.reached(Phase::Draining) => sockets.close(&listener),
                () = ended.reached(Phase::Closing) => {}
            }
        });
    }

    /// Shows the addresses, tables and limits of the present listeners.
    pub(super) fn show_listeners(&mut self) {
        self.common.own.put(self.addresses().map(|(_, address)| address).chain(self.admin).collect());
        let prepared = self.listeners.values().map(|serving| &serving.prepared);
        let rpcs = prepared.clone().flat_map(Prepared::rpcs);
        *lock(&self.tables) = rpcs.map(|rpc| Arc::clone(&rpc.rules)).collect();
        let connections = prepared.clone().flat_map(|prepared| prepared.connection_limits.iter().flatten().cloned());
        let connections: Vec<_> = connections.map(|limit| Arc::new(limit) as Arc<dyn Collect>).collect();
        let local: Arc<dyn Collect> = Arc::new(limit_stats(prepared));
        self.limits.drain(..).for_each(|before| self.common.stats.unregister(&before));
        self.limits.extend(connections.into_iter().chain([local]));
        self.limits.iter().for_each(|limit| self.common.stats.register(Arc::clone(limit)));
    }

    /// Lists the configurations of the present listeners.
    pub(super) fn listener_configs(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.values().map(|serving| &serving.prepared.config)
    }

    /// Starts a worker; when this returns its clusters are there.
    fn add_worker(&mut self, place: &Place) -> Result<(), ConfigError> {
        let tasks = TaskTracker::new();
        let handle = match place {
            Place::Here(handle) => handle.clone(),
            Place::Thread => {
                let work = until_done(tasks.clone(), self.drain.clone());
                let started = thread(format!("worker-{}", self.workers.len()), work);
                started.map_err(|error| cannot_start(&error))?
            }
        };
        let _runtime = handle.enter();
        let sibling = self.workers.first().map(|worker| &**worker.clusters().shared());
        let worker = Worker::new(&self.common, sibling, handle.clone(), tasks);
        self.in_force.add_worker(worker.clusters().clone());
        self.workers.push(worker);
        Ok(())
    }

    /// Takes up changed certificates from now on, and closes the sockets when it is time to go.
    fn look_after(&self) {
        if let Some(worker) = self.workers.first() {
            worker.handle().spawn(self.common.secrets.clone().watch(self.drain.clone()));
            worker.handle().spawn(self.sockets.clone().close_at(self.drain.clone()));
        }
    }

    #[cfg(feature = "admin")]
    fn bind_admin(&mut self, address: SocketAddr) -> Result<Admin, ConfigError> {
        let tables = Arc::clone(&self.tables);
        let ready = move || lock(&tables).iter().all(|rules| rules.load().table().is_some());
        let (stats, drain) = (self.common.stats.clone(), self.admin_drain.clone());
        let listeners = self.listener_drains.clone();
        let admin = self.sockets.admin(address).and_then(|socket| Admin::new(socket, stats, drain, listeners, ready));
        let admin = admin
            .map_err(|error| ConfigError::new("proxy", "admin", format!("cannot listen on {address}: {error}")))?;
        self.admin = Some(admin.local_addr());
        Ok(admin)
    }
}

impl Drop for Running {
    /// A proxy that nobody holds any more ends at once.
    fn drop(&mut self) {
        self.drain.close();
    }
}

/// Starts a thread with a runtime of its own, which is made and dropped there: a runtime must not be dropped by
/// somebody else's asynchronous task.
fn thread(name: String, work: impl Future<Output = ()> + Send + 'static) -> io::Result<Handle> {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new().name(name).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tell.send(Err(error)).unwrap_or_default(),
        };
        if tell.send(Ok(runtime.handle().clone())).is_ok() {
            runtime.block_on(work);
        }
    })?;
    told.recv().map_err(|_| io::Error::other("the thread has ended"))?
}
