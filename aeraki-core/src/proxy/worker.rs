//! One worker: its own clusters, connections and timer behind its own sockets.

use std::sync::Arc;

use aeraki_codec::Registry;
use aeraki_route::config;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::{
    Prepared,
    counting::{Counting, MetricsOfWorker},
};
use crate::{
    io::Buffers,
    observe::{Metrics, Stats},
    server::{Budget, Drain, Listener, Phase, ProcessLimit, ProxyProtocol, Rpc, Serve},
    stack::{ApplyPolicies, GateLayer, Resolve, Stack, Wheel, stack},
    tls::Secrets,
    upstream::{Clusters, Context, LocalCluster},
};

/// What all workers have in common.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) protocols: Arc<Registry>,
    pub(super) stats: Stats,
    pub(super) secrets: Secrets,
    pub(super) limit: ProcessLimit,
    /// The cluster that the proxy itself belongs to.
    pub(super) local_cluster: Option<LocalCluster>,
}

/// What one worker runs on.
#[derive(Debug)]
pub(super) struct Worker {
    clusters: ClustersOfWorker,
    buffers: Buffers,
    wheel: Wheel,
    budget: Budget,
    secrets: Secrets,
    limit: ProcessLimit,
    metrics: MetricsOfWorker,
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
    pub(super) fn put(&self, configs: &[config::Cluster]) {
        let _runtime = self.handle.enter();
        self.clusters.update(configs.iter().cloned());
    }
}

impl Worker {
    /// Makes a worker on the present runtime, that of `handle`, whose clusters share their limits with `sibling`, if there
    /// is one.
    pub(super) fn new(common: &Common, sibling: Option<&Clusters>, handle: Handle, tasks: TaskTracker) -> Self {
        let Common { protocols, stats, secrets, limit, local_cluster } = common;
        let buffers = Buffers::new();
        let context = Context::new()
            .with_buffers(buffers.clone())
            .with_protocols(Arc::clone(protocols))
            .with_secrets(secrets.clone())
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
            metrics: MetricsOfWorker::new(stats.clone()),
            tasks,
        }
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.clusters.handle
    }

    pub(super) const fn clusters(&self) -> &ClustersOfWorker {
        &self.clusters
    }

    /// Serves a listener until `drain` is through.
    pub(super) fn serve(&self, prepared: Prepared, socket: Listener, drain: Drain) {
        let _runtime = self.handle().enter();
        let name = prepared.config.name.clone();
        let counting = self.metrics.of(&prepared.config);
        if let Err(error) = socket.set_keepalive(prepared.config.tcp_keepalive.as_ref()) {
            tracing::warn!(listener = name, %error, "the system will not ask silent clients whether they are there");
        }
        let socket = socket.with_limit(self.limit.clone()).with_original_dst(prepared.config.original_dst);
        let served = socket.serve(self.service(prepared, &counting), Arc::clone(&*counting), drain);
        let served = async move {
            let _counting = counting;
            if let Err(error) = served.await {
                tracing::error!(listener = name, %error, "the listener cannot be served");
            }
        };
        self.tasks.spawn(served);
    }

    /// Returns what waits for the listeners.
    pub(super) const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    fn service(&self, prepared: Prepared, metrics: &Counting) -> Arc<dyn Serve> {
        let clusters = Arc::clone(self.clusters.shared()) as Arc<dyn Resolve>;
        let (config, limit) = (prepared.config.clone(), prepared.connection_limit.clone());
        let rpc = rpc(prepared, clusters, &self.wheel, metrics).with_buffers(self.buffers.clone());
        let plain: Arc<dyn Serve> = Arc::new(rpc.with_budget(self.budget.clone()));
        let secured = self.secrets.serve(plain, &config, metrics);
        let limited = limit.map_or_else(|| Arc::clone(&secured), |limit| limit.serve(Arc::clone(&secured)));
        match config.proxy_protocol {
            Some(settings) => Arc::new(ProxyProtocol::new(limited, settings, Arc::clone(metrics))),
            None => limited,
        }
    }
}

/// Waits until `drain` has begun and all listeners are through; without listeners there is still the admin interface.
pub(super) async fn until_done(tasks: TaskTracker, drain: Drain) {
    drain.reached(Phase::Draining).await;
    tasks.close();
    tasks.wait().await;
}

fn rpc(prepared: Prepared, clusters: Arc<dyn Resolve>, wheel: &Wheel, metrics: &Arc<Metrics>) -> Rpc<Stack> {
    let Prepared { config, protocol, rules, filters, services, .. } = prepared;
    let gates = filters.gates(wheel, metrics);
    let filters = GateLayer::new(gates).with_response_order(config.response_order);
    let policies = ApplyPolicies::new(services, wheel.clone(), Arc::clone(metrics));
    let stack = stack(clusters, wheel.clone(), Arc::clone(metrics), &filters, Arc::new(policies));
    Rpc::new(config.name, protocol, rules, Arc::clone(metrics), stack)
        .with_limits(config.limits)
        .with_idle_timeout(config.idle_timeout)
        .with_stream_timeouts(config.streams)
}
