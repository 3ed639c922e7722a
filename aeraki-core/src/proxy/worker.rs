//! One worker: its own clusters, connections and timer behind its own sockets.

use std::sync::Arc;

use aeraki_codec::Registry;
use aeraki_route::config::{self, ConfigError};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::{Prepared, counting::Shown, warming::Warming};
use crate::{
    io::Buffers,
    observe::{ListenerStats, Metrics, Stats},
    server::{Budget, Drain, FilterChains, Listener, Phase, ProcessLimit, ProxyProtocol, Serve},
    socket::OwnAddresses,
    stack::Wheel,
    tcp::TcpStats,
    tls::Secrets,
    upstream::{Clusters, Context, LocalCluster, Resolver},
};

/// What all workers have in common.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) protocols: Arc<Registry>,
    pub(super) stats: Stats,
    pub(super) secrets: Secrets,
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) limit: ProcessLimit,
    /// Where the listeners are.
    pub(super) own: OwnAddresses,
    /// The cluster that the proxy itself belongs to.
    pub(super) local_cluster: Option<LocalCluster>,
}

/// What one worker runs on.
#[derive(Debug)]
pub(super) struct Worker {
    clusters: ClustersOfWorker,
    pub(super) buffers: Buffers,
    pub(super) wheel: Wheel,
    pub(super) budget: Budget,
    secrets: Secrets,
    limit: ProcessLimit,
    own: OwnAddresses,
    pub(super) numbers: Numbers,
    tasks: TaskTracker,
}

/// The clusters of a worker, with the runtime that their connections live on.
#[derive(Clone, Debug)]
pub(super) struct ClustersOfWorker {
    handle: Handle,
    clusters: Arc<Clusters>,
}

impl ClustersOfWorker {
    pub(super) const fn shared(&self) -> &Arc<Clusters> {
        &self.clusters
    }

    /// Makes these the clusters from now on.
    pub(super) fn put(&self, configs: &[Arc<config::Cluster>]) {
        let _runtime = self.handle.enter();
        self.clusters.put(configs.iter().cloned());
    }
}

impl Worker {
    /// Makes a worker on the present runtime, that of `handle`, whose clusters share their limits with `sibling`, if
    /// there is one.
    pub(super) fn new(common: &Common, sibling: Option<&Clusters>, handle: Handle, tasks: TaskTracker) -> Self {
        let Common { protocols, stats, secrets, resolver, limit, own, local_cluster } = common;
        let buffers = Buffers::new();
        let context = Context::new()
            .with_buffers(buffers.clone())
            .with_protocols(Arc::clone(protocols))
            .with_secrets(secrets.clone())
            .with_resolver(Arc::clone(resolver))
            .with_local_cluster(local_cluster.clone());
        let clusters = Arc::new(match sibling {
            Some(sibling) => sibling.sibling(context),
            None => Clusters::new(context),
        });
        stats.register(Arc::clone(&clusters) as _);
        Self {
            clusters: ClustersOfWorker { handle, clusters },
            buffers,
            wheel: Wheel::spawn(),
            budget: Budget::default(),
            secrets: secrets.clone(),
            limit: limit.clone(),
            own: own.clone(),
            numbers: Numbers::new(stats),
            tasks,
        }
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.clusters.handle
    }

    pub(super) const fn clusters(&self) -> &ClustersOfWorker {
        &self.clusters
    }

    /// Serves a listener from the end of `warming` until `drain` is through.
    pub(super) fn serve(&self, prepared: Prepared, socket: Listener, warming: Warming, drain: Drain) {
        let _runtime = self.handle().enter();
        let name = prepared.config.name.clone();
        let stats = self.numbers.listeners.of(name.clone(), |name| ListenerStats::new(&**name));
        if let Err(error) = socket.set_keepalive(prepared.config.tcp_keepalive.as_ref()) {
            tracing::warn!(listener = name, %error, "the system will not ask silent clients whether they are there");
        }
        if let Err(error) = socket.set_backlog(prepared.config.tcp_backlog_size) {
            tracing::warn!(listener = name, %error, "the system does not complete as many connections as it should");
        }
        let limit = if prepared.config.ignore_global_conn_limit { ProcessLimit::default() } else { self.limit.clone() };
        let socket = socket.with_limit(limit).with_original_dst(prepared.config.original_dst);
        let services = prepared.services.iter().map(|service| service.clone().serve(self));
        let (services, counting): (Vec<_>, Vec<_>) = services.unzip();
        let serve = self.chains(&prepared, &services, &stats);
        let served = serve.map(|serve| socket.serve(serve, Arc::clone(&*stats), drain.clone()));
        let served = async move {
            let _counting = (stats, counting);
            tokio::select! {
                () = warming.over() => {}
                () = drain.reached(Phase::Draining) => {}
            }
            let result = match served {
                Ok(served) => served.await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = result {
                tracing::error!(listener = name, error, "the listener cannot be served");
            }
        };
        self.tasks.spawn(served);
    }

    /// Returns what waits for the listeners.
    pub(super) const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Puts what comes before the services of the filter chains in front of them.
    fn chains(
        &self,
        prepared: &Prepared,
        services: &[Arc<dyn Serve>],
        stats: &Arc<ListenerStats>,
    ) -> Result<Arc<dyn Serve>, ConfigError> {
        let Prepared { config, protocols, chains, connection_limits, .. } = prepared;
        let served = config.chains().zip(chains).zip(connection_limits);
        let served = served.filter_map(|(((path, chain), place), limit)| {
            let secured = self.secrets.serve(Arc::clone(services.get(*place)?), (&path, chain), &config.name, stats);
            Some(limit.as_ref().map_or_else(|| Arc::clone(&secured), |limit| limit.serve(Arc::clone(&secured))))
        });
        let serve = FilterChains::new(config, protocols, served, Arc::clone(stats))?;
        let serve = Arc::new(serve.with_budget(self.budget.clone()));
        Ok(match config.proxy_protocol {
            Some(settings) => {
                let serve = ProxyProtocol::new(serve, settings, Arc::clone(stats));
                Arc::new(serve.with_budget(self.budget.clone()).with_own(self.own.clone()))
            }
            None => serve,
        })
    }
}

/// What the worker counts, by names.
#[derive(Debug)]
pub(super) struct Numbers {
    listeners: Shown<String, ListenerStats>,
    /// By protocol and prefix.
    pub(super) rpcs: Shown<(String, String), Metrics>,
    pub(super) tcps: Shown<String, TcpStats>,
}

impl Numbers {
    fn new(stats: &Stats) -> Self {
        Self { listeners: Shown::new(stats), rpcs: Shown::new(stats), tcps: Shown::new(stats) }
    }
}

/// Waits until `drain` has begun and all listeners are through; without listeners there is still the admin interface.
pub(super) async fn until_done(tasks: TaskTracker, drain: Drain) {
    drain.reached(Phase::Draining).await;
    tasks.close();
    tasks.wait().await;
}
