//! Upstream connections that belong to one downstream connection.

use std::sync::{Arc, Mutex, OnceLock};

use super::{
    endpoint::Endpoint,
    pool::{Pool, PoolKind},
};
use crate::sync::lock;

/// The upstream connections of one downstream connection; they end with it.
#[derive(Debug, Default)]
pub(crate) struct Bindings(OnceLock<Mutex<Vec<Binding>>>);

#[derive(Clone, Debug)]
struct Binding {
    cluster: Arc<str>,
    endpoint: Arc<Endpoint>,
    pool: Arc<Pool>,
    /// Whether all requests to the cluster go there.
    settled: bool,
}

impl Binding {
    fn new(cluster: &Arc<str>, endpoint: &Arc<Endpoint>, pool: &Arc<Pool>, settled: bool) -> Self {
        Self { cluster: Arc::clone(cluster), endpoint: Arc::clone(endpoint), pool: Arc::clone(pool), settled }
    }
}

impl Bindings {
    /// Returns where requests to this cluster go, if that is settled.
    pub(super) fn find(&self, cluster: &str) -> Option<(Arc<Endpoint>, Arc<Pool>)> {
        let bindings = lock(self.0.get()?);
        let binding = bindings.iter().find(|binding| binding.settled && &*binding.cluster == cluster)?;
        Some((Arc::clone(&binding.endpoint), Arc::clone(&binding.pool)))
    }

    /// Sends all further requests to this cluster to a pool of one connection, unless that is settled already.
    pub(super) fn bind(&self, cluster: &Arc<str>, endpoint: &Arc<Endpoint>, pool: Pool) -> Arc<Pool> {
        let mut bindings = lock(self.0.get_or_init(Mutex::default));
        if let Some(binding) = bindings.iter().find(|binding| binding.settled && binding.cluster == *cluster) {
            return Arc::clone(&binding.pool);
        }
        let pool = Arc::new(pool);
        bindings.push(Binding::new(cluster, endpoint, &pool, true));
        pool
    }

    /// Returns the pool that only this connection uses to an endpoint, made where there is none yet; those to endpoints
    /// that are gone are drained then.
    pub(super) fn own(
        &self,
        cluster: &Arc<str>,
        endpoint: &Arc<Endpoint>,
        kind: &PoolKind<'_>,
        new_pool: impl FnOnce() -> Pool,
    ) -> Arc<Pool> {
        let mut bindings = lock(self.0.get_or_init(Mutex::default));
        let is_it =
            |binding: &&Binding| !binding.settled && Arc::ptr_eq(&binding.endpoint, endpoint) && binding.pool.is(kind);
        if let Some(binding) = bindings.iter().find(is_it) {
            return Arc::clone(&binding.pool);
        }
        bindings.retain(|binding| {
            let stays = binding.settled || !binding.endpoint.is_gone();
            if !stays {
                binding.pool.drain();
            }
            stays
        });
        let pool = Arc::new(new_pool());
        bindings.push(Binding::new(cluster, endpoint, &pool, false));
        pool
    }
}

impl Drop for Bindings {
    fn drop(&mut self) {
        if let Some(bindings) = self.0.get() {
            lock(bindings).iter().for_each(|binding| binding.pool.drain());
        }
    }
}
