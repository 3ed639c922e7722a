//! One worker: its own clusters, connections and timer behind its own sockets.

use std::sync::Arc;

use aeraki_codec::Registry;
use futures_util::future::{join, join_all};

use super::Prepared;
use crate::{
    io::Buffers,
    observe::{Metrics, Stats},
    server::{Budget, Drain, Listener, Phase, ProxyProtocol, Rpc, Serve},
    stack::{ApplyPolicies, GateLayer, Resolve, Stack, Wheel, stack},
    tls::Secrets,
    upstream::{Clusters, Context, LocalCluster},
};

/// What one worker runs.
#[derive(Debug)]
pub(super) struct Worker {
    listeners: Vec<(Prepared, Listener, Arc<Metrics>)>,
    pub(super) clusters: Arc<Clusters>,
    buffers: Buffers,
    secrets: Secrets,
}

impl Worker {
    /// Makes a worker whose clusters share their limits with `sibling`, if there is one.
    pub(super) fn new(
        listeners: Vec<(Prepared, Listener)>,
        sibling: Option<&Clusters>,
        protocols: &Arc<Registry>,
        stats: &Stats,
        (secrets, local_cluster): (Secrets, Option<LocalCluster>),
    ) -> Self {
        let buffers = Buffers::new();
        let context = Context::new()
            .with_buffers(buffers.clone())
            .with_protocols(Arc::clone(protocols))
            .with_secrets(secrets.clone())
            .with_local_cluster(local_cluster);
        let clusters = Arc::new(match sibling {
            Some(sibling) => sibling.sibling(context),
            None => Clusters::new(context),
        });
        stats.register(Arc::clone(&clusters) as _);
        let listeners = listeners.into_iter().map(|(prepared, socket)| {
            let metrics = Metrics::new(prepared.config.protocol.name.as_str(), prepared.config.stat_prefix.as_str());
            stats.register(Arc::clone(&metrics) as _);
            (prepared, socket, metrics)
        });
        Self { listeners: listeners.collect(), clusters, buffers, secrets }
    }

    /// Serves until `drain` is through.
    pub(super) async fn run(self, drain: Drain) {
        let (wheel, budget) = (Wheel::spawn(), Budget::default());
        let served = self.listeners.into_iter().map(|(prepared, socket, metrics)| {
            let clusters = Arc::clone(&self.clusters) as Arc<dyn Resolve>;
            let config = prepared.config.clone();
            let rpc = rpc(prepared, clusters, &wheel, &metrics).with_buffers(self.buffers.clone());
            let plain: Arc<dyn Serve> = Arc::new(rpc.with_budget(budget.clone()));
            let secured = self.secrets.serve(plain, &config, &metrics);
            let serve = match config.proxy_protocol {
                Some(settings) => Arc::new(ProxyProtocol::new(secured, settings, Arc::clone(&metrics))),
                None => secured,
            };
            let served = socket.serve(serve, metrics, drain.clone());
            async move {
                if let Err(error) = served.await {
                    tracing::error!(listener = config.name, %error, "the listener cannot be served");
                }
            }
        });
        // without listeners there is still the admin interface
        join(join_all(served), drain.reached(Phase::Draining)).await;
    }
}

fn rpc(prepared: Prepared, clusters: Arc<dyn Resolve>, wheel: &Wheel, metrics: &Arc<Metrics>) -> Rpc<Stack> {
    let Prepared { config, protocol, rules, filters, services } = prepared;
    let gates = filters.gates(wheel, metrics);
    let filters = GateLayer::new(gates).with_response_order(config.response_order);
    let policies = ApplyPolicies::new(services, wheel.clone(), Arc::clone(metrics));
    let stack = stack(clusters, wheel.clone(), Arc::clone(metrics), &filters, Arc::new(policies));
    Rpc::new(config.name, protocol, rules, Arc::clone(metrics), stack)
        .with_limits(config.limits)
        .with_idle_timeout(config.idle_timeout)
}
