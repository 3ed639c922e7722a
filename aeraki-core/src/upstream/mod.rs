//! Where requests go: clusters, their endpoints, and shared connections to them.
//!
//! ```text
//! Clusters -> Cluster -> balance: which endpoint? -> Endpoint -> pool: which connection?
//!                                                                  |
//!     caller: request into the queue, waits for its slot <-> link <-> driver: one task a connection
//! ```
//!
//! A connection takes many requests at a time, each under an id of the connection's own, and an answer is matched by
//! that id only. Where servers work on one request at a time a connection does too. Nothing is ever answered twice, and
//! nothing is left waiting: when a connection ends, so do its requests.
//!
//! A stream keeps the slot of its opening to its end. Its frames go into the same queue; those of the server wait in
//! the slot for the connection of the client, which has a [`StreamHandle`] on it.

mod announce;
mod balance;
mod binding;
mod call;
mod cluster;
mod connect;
mod dedicated;
mod destinations;
mod directory;
mod discovery;
mod driver;
mod endpoint;
mod health;
mod latency;
mod link;
mod local;
mod members;
mod pool;
#[cfg(feature = "admin")]
mod seen;
mod shared;
mod slots;
mod spare;
mod stats;
mod stream;
mod subsets;
mod upkeep;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use aeraki_codec::{Limits, Registry};
use aeraki_route::config;
use arc_swap::ArcSwap;

#[cfg(feature = "dns")]
pub use self::discovery::Hickory;
#[cfg(feature = "admin")]
pub(crate) use self::seen::Seen;
use self::{announce::Announcing, shared::Shared, stats::Usage};
pub(crate) use self::{
    binding::Bindings,
    cluster::Flight,
    discovery::{DefaultResolver, warn_of_ttl},
    health::has_sign_of_life,
    stream::{Arrival, Arrivals, Backlog},
};
pub use self::{
    cluster::Cluster,
    connect::{Connector, Plain},
    dedicated::Dedicated,
    discovery::{Resolved, Resolver, SystemResolver},
    local::LocalCluster,
    stats::ClusterStats,
    stream::StreamHandle,
};
use crate::{
    io::Buffers,
    observe::{Collect, Samples},
    proxy_protocol::Addresses,
    stack::{Forward, Resolve},
    sync::lock,
    tls::Secrets,
};

/// All clusters of one worker, by name.
///
/// Workers have connections of their own, but a cluster's limits hold for all of them together: make the first with
/// [`new`](Self::new) and the others with [`sibling`](Self::sibling).
#[derive(Debug)]
pub struct Clusters {
    clusters: ArcSwap<ByName>,
    /// Grows when `clusters` has been replaced.
    generation: AtomicU64,
    /// One update at a time.
    updating: Mutex<()>,
    context: Context,
    usage: Arc<Mutex<Usages>>,
    /// Whether these clusters look after the health of endpoints for all workers.
    looks_after: bool,
}

/// Clusters by name.
type ByName = HashMap<Arc<str>, Arc<Cluster>, foldhash::fast::RandomState>;

/// What is used of the limits of every cluster, by name.
type Usages = HashMap<Arc<str>, Arc<Usage>>;

/// What clusters are made with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context {
    /// How connections are made, whatever a cluster says of its sockets; default: over TCP, as the cluster says.
    pub connector: Option<Arc<dyn Connector>>,
    /// How host names are looked up; default: as the operating system does.
    pub resolver: Arc<dyn Resolver>,
    /// What servers may send.
    pub limits: Limits,
    /// The read buffers of the worker.
    pub buffers: Buffers,
    /// The protocols that endpoints may be asked in whether they are well; default: none.
    pub protocols: Arc<Registry>,
    /// What the TLS of clusters stands for.
    pub secrets: Secrets,
    /// The cluster that the proxy itself belongs to, by which requests are kept in its zone; default: none, zones do
    /// not count.
    pub local_cluster: Option<LocalCluster>,
}

impl Context {
    /// Makes a context with default parts.
    #[must_use]
    pub fn new() -> Self {
        Self {
            connector: None,
            resolver: Arc::new(SystemResolver),
            limits: Limits::default(),
            buffers: Buffers::new(),
            protocols: Arc::default(),
            secrets: Secrets::new(),
            local_cluster: None,
        }
    }

    /// Sets how connections are made.
    #[must_use]
    pub fn with_connector(mut self, connector: Arc<dyn Connector>) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Sets how host names are looked up.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Sets what servers may send.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Shares the read buffers of a worker.
    #[must_use]
    pub fn with_buffers(mut self, buffers: Buffers) -> Self {
        self.buffers = buffers;
        self
    }

    /// Sets the protocols that endpoints may be asked in whether they are well.
    #[must_use]
    pub fn with_protocols(mut self, protocols: Arc<Registry>) -> Self {
        self.protocols = protocols;
        self
    }

    /// Sets the cluster that the proxy itself belongs to.
    #[must_use]
    pub fn with_local_cluster(mut self, local: Option<LocalCluster>) -> Self {
        self.local_cluster = local;
        self
    }

    /// Shares what the TLS of clusters stands for.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = secrets;
        self
    }

    /// Returns how connections to a cluster are made for a client, or for nobody: with a header of the PROXY protocol
    /// first where the cluster wants one, and TLS inside it where the cluster has any.
    pub(crate) fn connector(
        &self,
        cluster: &config::Cluster,
        stats: &ClusterStats,
        client: Option<Addresses>,
    ) -> Arc<dyn Connector> {
        let own = || Arc::new(Plain::default().with_keepalive(cluster.tcp_keepalive)) as Arc<dyn Connector>;
        let plain = self.connector.clone().unwrap_or_else(own);
        let announced = match cluster.proxy_protocol {
            Some(version) => Arc::new(Announcing::new(plain, version, client)),
            None => plain,
        };
        self.secrets.connector(&announced, cluster, stats)
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

impl Clusters {
    /// Makes an empty set of clusters.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self::counting(context, Arc::default(), true)
    }

    /// Makes an empty set for another worker, whose connections count towards the same limits.
    #[must_use]
    pub fn sibling(&self, context: Context) -> Self {
        Self::counting(context, Arc::clone(&self.usage), false)
    }

    fn counting(context: Context, usage: Arc<Mutex<Usages>>, looks_after: bool) -> Self {
        let generation = AtomicU64::new(0);
        Self { clusters: ArcSwap::default(), generation, updating: Mutex::default(), context, usage, looks_after }
    }

    /// Makes these the clusters from now on; call it on the worker's runtime.
    ///
    /// Clusters that are as before keep everything; changed ones keep the connections to endpoints that stay, unless
    /// the change is about connections; what goes finishes the requests that it has. The configurations are expected
    /// to be [valid](config::Cluster::validate); of two with one name the last counts.
    pub fn update(&self, configs: impl IntoIterator<Item = config::Cluster>) {
        self.put(configs.into_iter().map(Arc::new));
    }

    /// Makes these the clusters from now on, as [`update`](Self::update) does; siblings may share them.
    pub(crate) fn put(&self, configs: impl IntoIterator<Item = Arc<config::Cluster>>) {
        let updating = lock(&self.updating);
        let old = self.clusters.load_full();
        let mut new = HashMap::default();
        // from the end, since of two with one name the last counts: the other must not take anything over
        for config in configs.into_iter().collect::<Vec<_>>().into_iter().rev() {
            if !new.contains_key(config.name.as_str()) {
                let (name, cluster) = self.successor(&old, config);
                new.insert(name, cluster);
            }
        }
        let new = Arc::new(new);
        self.clusters.store(Arc::clone(&new));
        // who sees the new number finds the new clusters
        self.generation.fetch_add(1, Ordering::Release);
        for (name, cluster) in old.iter() {
            match new.get(name) {
                Some(next) if Arc::ptr_eq(next, cluster) => {}
                next => cluster.drain(next.map(|next| &**next)),
            }
        }
        drop((old, new));
        // a name that comes no more is not to be kept for ever; what is still under way keeps it for a while
        lock(&self.usage).retain(|_, usage| Arc::strong_count(usage) > 1);
        drop(updating);
    }

    /// Returns configurations to put, of which those that are in force are the ones that are here, and need neither be
    /// copied nor compared again.
    pub(crate) fn known<'a>(
        &self,
        configs: impl IntoIterator<Item = &'a config::Cluster>,
    ) -> Vec<Arc<config::Cluster>> {
        let clusters = self.clusters.load();
        let known = |config: &config::Cluster| {
            let known = clusters.get(config.name.as_str()).map(|cluster| cluster.config());
            known.filter(|known| ***known == *config).map_or_else(|| Arc::new(config.clone()), Arc::clone)
        };
        configs.into_iter().map(known).collect()
    }

    /// Returns what goes by a configuration from now on: the cluster that does already, or a new one.
    fn successor(&self, old: &ByName, config: Arc<config::Cluster>) -> (Arc<str>, Arc<Cluster>) {
        let (name, previous) = match old.get_key_value(config.name.as_str()) {
            Some((name, previous)) => (Arc::clone(name), Some(previous)),
            None => (config.name.as_str().into(), None),
        };
        let cluster = match previous {
            Some(previous) if *previous.config() == config => Arc::clone(previous),
            _ => Arc::new(self.cluster(&name, config, previous)),
        };
        (name, cluster)
    }

    fn cluster(&self, name: &Arc<str>, config: Arc<config::Cluster>, previous: Option<&Arc<Cluster>>) -> Cluster {
        let kept = config.without_endpoints();
        let shared = match previous.map(|previous| previous.shared()) {
            // only endpoints come and go
            Some(shared) if shared.config == kept => Arc::clone(shared),
            shared => Arc::new(self.shared(name, kept, shared)),
        };
        Cluster::new(config, shared, previous.map(|previous| &**previous), self.looks_after)
    }

    fn shared(&self, name: &Arc<str>, config: config::Cluster, previous: Option<&Arc<Shared>>) -> Shared {
        let stats = previous.map(|previous| Arc::clone(&previous.stats)).unwrap_or_default();
        let mut usages = lock(&self.usage);
        let usage = usages.entry(Arc::clone(name)).or_insert_with(|| Arc::new(Usage::of_cluster(name)));
        Shared {
            name: Arc::clone(name),
            connector: self.context.connector(&config, &stats, None),
            config,
            context: self.context.clone(),
            stats,
            usage: Arc::clone(usage),
        }
    }

    /// Returns the cluster of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Cluster>> {
        self.clusters.load().get(name).cloned()
    }

    /// Lists the clusters in no order.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Cluster>> {
        self.clusters.load().values().cloned().collect()
    }
}

impl Resolve for Clusters {
    fn resolve(&self, cluster: &str) -> Option<Arc<dyn Forward>> {
        Some(self.get(cluster)?)
    }

    fn generation(&self) -> Option<u64> {
        Some(self.generation.load(Ordering::Acquire))
    }
}

impl Collect for Clusters {
    fn collect(&self, samples: &mut Samples) {
        for (name, cluster) in self.clusters.load().iter() {
            let mut scope = samples.scope("cluster", &[("name", name)]);
            cluster.stats().collect(&mut scope);
            if self.looks_after {
                let Shared { usage, config, .. } = &**cluster.shared();
                usage.health.stats.collect(&mut scope);
                usage.collect(&config.limits, &mut scope);
                cluster.directory().membership().collect(&mut scope);
            }
        }
    }
}

impl Drop for Clusters {
    fn drop(&mut self) {
        self.clusters.load().values().for_each(|cluster| cluster.drain(None));
    }
}

#[cfg(test)]
mod tests;
