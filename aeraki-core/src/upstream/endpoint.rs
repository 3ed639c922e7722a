//! One server of a cluster, with a pool for every dialect that is spoken to it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use aeraki_codec::Protocol;

use super::{cluster::Shared, pool::Pool};
use crate::sync::lock;

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    /// Requests under way.
    pub(super) active: AtomicU32,
    pools: Mutex<Vec<Arc<Pool>>>,
    shared: Arc<Shared>,
}

impl Endpoint {
    pub(super) const fn new(address: SocketAddr, shared: Arc<Shared>) -> Self {
        Self { address, active: AtomicU32::new(0), pools: Mutex::new(Vec::new()), shared }
    }

    /// Returns the pool for a dialect. Protocols are told apart by identity: two of one name may be set up differently.
    pub(super) fn pool(&self, protocol: &Arc<dyn Protocol>, dialect: u32) -> Arc<Pool> {
        let mut pools = lock(&self.pools);
        let fits = |pool: &&Arc<Pool>| {
            pool.dialect == dialect && std::ptr::addr_eq(Arc::as_ptr(&pool.protocol), Arc::as_ptr(protocol))
        };
        if let Some(pool) = pools.iter().find(fits) {
            return Arc::clone(pool);
        }
        let pool = Arc::new(self.new_pool(protocol, dialect));
        pools.push(Arc::clone(&pool));
        pool
    }

    /// Makes a pool that nobody else uses.
    pub(super) fn new_pool(&self, protocol: &Arc<dyn Protocol>, dialect: u32) -> Pool {
        Pool::new(self.address, Arc::clone(protocol), dialect, Arc::clone(&self.shared))
    }

    /// Counts a request as under way until the guard is dropped.
    pub(super) fn enter(self: Arc<Self>) -> Active {
        self.active.fetch_add(1, Relaxed);
        self.shared.stats.upstream_rq_active.inc();
        Active(self)
    }

    /// Ends all connections, each with its last request.
    pub(super) fn drain(&self) {
        lock(&self.pools).iter().for_each(|pool| pool.drain());
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Active(Arc<Endpoint>);

impl Active {
    pub(super) const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
        self.0.shared.stats.upstream_rq_active.dec();
    }
}
