//! Upstream connections that belong to one downstream connection.

use std::sync::{Arc, Mutex, OnceLock};

use super::{endpoint::Endpoint, pool::Pool};
use crate::sync::lock;

/// The upstream connections of one downstream connection, one a cluster; they end with it.
#[derive(Debug, Default)]
pub(crate) struct Bindings(OnceLock<Mutex<Vec<Binding>>>);

#[derive(Clone, Debug)]
struct Binding {
    cluster: Arc<str>,
    endpoint: Arc<Endpoint>,
    pool: Arc<Pool>,
}

impl Bindings {
    /// Returns where requests to this cluster go, if that is settled.
    pub(super) fn find(&self, cluster: &str) -> Option<(Arc<Endpoint>, Arc<Pool>)> {
        let bindings = lock(self.0.get()?);
        let binding = bindings.iter().find(|binding| &*binding.cluster == cluster)?;
        Some((Arc::clone(&binding.endpoint), Arc::clone(&binding.pool)))
    }

    /// Sends all further requests to this cluster to a pool of one connection, unless that is settled already.
    pub(super) fn bind(&self, cluster: &Arc<str>, endpoint: &Arc<Endpoint>, pool: Pool) -> Arc<Pool> {
        let mut bindings = lock(self.0.get_or_init(Mutex::default));
        if let Some(binding) = bindings.iter().find(|binding| binding.cluster == *cluster) {
            return Arc::clone(&binding.pool);
        }
        let pool = Arc::new(pool);
        let (cluster, endpoint) = (Arc::clone(cluster), Arc::clone(endpoint));
        bindings.push(Binding { cluster, endpoint, pool: Arc::clone(&pool) });
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
