//! A proxy that runs.

use std::{collections::BTreeMap, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use aeraki_route::config;
use tokio::{
    runtime::{Builder, Handle},
    sync::mpsc,
    time::timeout,
};

use super::{Place, cannot_start, worker::Worker};
use crate::{observe::Stats, server::Drain, tls::Secrets, upstream::Clusters};

/// A proxy that runs, until it is told to [shut down](Self::shutdown).
#[derive(Debug)]
pub struct Running {
    addresses: BTreeMap<String, SocketAddr>,
    admin: Option<SocketAddr>,
    stats: Stats,
    secrets: Secrets,
    drain: Drain,
    workers: Vec<(Handle, Arc<Clusters>)>,
    /// Held by every worker until it has finished.
    alive: Option<mpsc::Sender<()>>,
    finished: mpsc::Receiver<()>,
}

impl Running {
    pub(super) fn new(addresses: BTreeMap<String, SocketAddr>, stats: Stats, secrets: Secrets) -> Self {
        let (alive, finished) = mpsc::channel(1);
        let (drain, alive) = (Drain::new(), Some(alive));
        Self { addresses, admin: None, stats, secrets, drain, workers: Vec::new(), alive, finished }
    }

    /// Returns the address that a listener is bound to.
    #[must_use]
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.addresses.get(listener).copied()
    }

    /// Lists all listeners and their addresses.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.addresses.iter().map(|(name, address)| (name.as_str(), *address))
    }

    /// Returns the address of the admin interface, if there is one.
    #[must_use]
    pub const fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Returns the statistics of all workers.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Returns what tells everybody to finish.
    #[must_use]
    pub const fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Makes these the clusters of all workers from now on; see [`Clusters::update`].
    ///
    /// # Errors
    /// The first fault of any of them; then nothing has changed.
    pub fn update_clusters(&self, configs: &[config::Cluster]) -> Result<(), config::ConfigError> {
        configs.iter().try_for_each(config::Cluster::validate)?;
        configs.iter().try_for_each(|cluster| self.secrets.check_cluster(cluster))?;
        for (handle, clusters) in &self.workers {
            let _runtime = handle.enter();
            clusters.update(configs.iter().cloned());
        }
        Ok(())
    }

    /// Takes no new connections, lets those that are open finish for at most `grace`, and ends the rest.
    pub async fn shutdown(mut self, grace: Duration) {
        self.alive = None;
        self.drain.begin();
        if timeout(grace, self.finished.recv()).await.is_err() {
            self.drain.close();
            self.finished.recv().await;
        }
    }

    pub(super) fn any_clusters(&self) -> Option<&Clusters> {
        self.workers.first().map(|(_, clusters)| &**clusters)
    }

    /// Starts a worker; when this returns its clusters are there.
    pub(super) fn add(
        &mut self,
        place: &Place,
        worker: Worker,
        configs: Vec<config::Cluster>,
    ) -> Result<(), config::ConfigError> {
        let shared = Arc::clone(&worker.clusters);
        let alive = self.alive.clone();
        let run = worker.run(self.drain.clone());
        let clusters = Arc::clone(&shared);
        let work = async move {
            run.await;
            drop(alive);
        };
        let handle = match place {
            Place::Here(handle) => {
                let _runtime = handle.enter();
                clusters.update(configs);
                handle.spawn(work);
                handle.clone()
            }
            Place::Thread => {
                let name = format!("worker-{}", self.workers.len());
                thread(name, move || clusters.update(configs), work).map_err(|error| cannot_start(&error))?
            }
        };
        self.workers.push((handle, shared));
        Ok(())
    }

    /// Takes up changed certificates from now on.
    pub(super) fn watch_secrets(&self) {
        if let Some((handle, _)) = self.workers.first() {
            handle.spawn(self.secrets.clone().watch(self.drain.clone()));
        }
    }

    #[cfg(feature = "admin")]
    pub(super) fn bind_admin(
        &mut self,
        address: SocketAddr,
        tables: Vec<Arc<aeraki_route::SharedRules>>,
    ) -> Result<crate::admin::Admin, config::ConfigError> {
        let admin = crate::admin::Admin::bind(address, self.stats.clone(), self.drain.clone(), tables)?;
        self.admin = Some(admin.local_addr());
        Ok(admin)
    }

    #[cfg(feature = "admin")]
    pub(super) fn serve_admin(&self, admin: crate::admin::Admin) {
        if let Some((handle, _)) = self.workers.first() {
            handle.spawn(admin.serve());
        }
    }
}

impl Drop for Running {
    /// A proxy that nobody holds any more ends at once.
    fn drop(&mut self) {
        self.drain.close();
    }
}

/// Runs `work` on a thread with a runtime of its own, which is made and dropped there: a runtime must not be dropped by
/// somebody else's asynchronous task.
fn thread(
    name: String,
    prepare: impl FnOnce() + Send + 'static,
    work: impl Future<Output = ()> + Send + 'static,
) -> io::Result<Handle> {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new().name(name).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tell.send(Err(error)).unwrap_or_default(),
        };
        {
            let _runtime = runtime.enter();
            prepare();
        }
        if tell.send(Ok(runtime.handle().clone())).is_ok() {
            runtime.block_on(work);
        }
    })?;
    told.recv().map_err(|_| io::Error::other("the thread has ended"))?
}
