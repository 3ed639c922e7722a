//! One server of a cluster, with a pool for every dialect that is spoken to it and every priority.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use aeraki_route::config::SocketAddress;
use tokio::time::Instant;

use super::{
    health::Host,
    latency::Latency,
    pool::{Pool, PoolKind},
    shared::Shared,
    spare::Spares,
};
use crate::sync::lock;

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddress,
    /// The address as a text, where somebody has asked for it.
    name: OnceLock<Box<str>>,
    /// Requests under way.
    pub(super) active: AtomicU32,
    /// How long it took to answer, where the policy asks.
    pub(super) latency: Latency,
    pools: Mutex<Vec<Arc<Pool>>>,
    /// Whether it has left its cluster.
    gone: AtomicBool,
    /// What all workers know of its health.
    pub(super) host: Arc<Host>,
    pub(super) spares: Arc<Spares>,
    pub(super) shared: Arc<Shared>,
}

impl Endpoint {
    pub(super) fn new(address: SocketAddress, shared: Arc<Shared>) -> Self {
        let (name, active, pools, gone, spares) = Default::default();
        let host = shared.usage.health.host(&address, shared.config.health_check.is_some());
        host.judge_by(&shared.config);
        Self { address, name, active, latency: Latency::new(), pools, gone, host, spares, shared }
    }

    /// Returns the address as a text.
    pub(super) fn name(&self) -> &str {
        self.name.get_or_init(|| self.address.to_string().into())
    }

    /// Returns the pool of a kind.
    pub(super) fn pool(&self, kind: &PoolKind<'_>) -> Arc<Pool> {
        let mut pools = lock(&self.pools);
        if let Some(pool) = pools.iter().find(|pool| pool.is(kind)) {
            return Arc::clone(pool);
        }
        let pool = Arc::new(self.new_pool(kind));
        pools.push(Arc::clone(&pool));
        pool
    }

    /// Makes a pool that nobody else uses.
    pub(super) fn new_pool(&self, kind: &PoolKind<'_>) -> Pool {
        Pool::new(self, kind)
    }

    /// Keeps as many spare connections open from now on as the cluster asks for, or none.
    pub(super) fn keep_spares(&self, wanted: bool) {
        self.spares.keep(wanted, &self.host, &self.shared);
        // it may have left while others were still told to keep some
        if wanted && self.is_gone() {
            self.spares.keep(false, &self.host, &self.shared);
        }
    }

    /// Returns the requests under way to all endpoints of the cluster.
    pub(super) fn cluster_active(&self) -> u64 {
        self.shared.stats.upstream_rq_active.get().try_into().unwrap_or(0)
    }

    /// Counts a request as under way until the guard is dropped; its latency is noted where that has a time of decay.
    pub(super) fn enter(self: Arc<Self>, decay: Option<Duration>) -> Active {
        self.active.fetch_add(1, Relaxed);
        self.shared.stats.upstream_rq_active.inc();
        Active { endpoint: self, watch: decay.map(|decay| (Instant::now(), decay)) }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    /// Ends all connections that are shared, each with its last request.
    pub(super) fn drain(&self) {
        self.gone.store(true, Relaxed);
        self.keep_spares(false);
        lock(&self.pools).iter().for_each(|pool| pool.drain());
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Active {
    endpoint: Arc<Endpoint>,
    /// When it began, and how long its latency counts; none: its latency is of no interest.
    watch: Option<(Instant, Duration)>,
}

impl Active {
    pub(super) const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Notes that it was answered.
    pub(super) fn answered(&mut self) {
        self.note(Duration::ZERO);
    }

    /// Notes that it failed: an endpoint that fails fast must not look like one that is fast.
    pub(super) fn failed(&mut self) {
        self.note(FAILURE);
    }

    fn note(&mut self, at_least: Duration) {
        if let Some((began, decay)) = self.watch.take() {
            self.endpoint.latency.note(began.elapsed().max(at_least), decay);
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.endpoint.active.fetch_sub(1, Relaxed);
        self.endpoint.shared.stats.upstream_rq_active.dec();
        // given up: it would have taken this long at least
        if let Some((began, decay)) = self.watch
            && began.elapsed().as_secs_f64() > self.endpoint.latency.now(decay)
        {
            self.answered();
        }
    }
}

/// As what latency a failure counts, unless it took longer.
const FAILURE: Duration = Duration::from_secs(1);
