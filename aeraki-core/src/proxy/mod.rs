//! A whole proxy from its configuration: listeners, stacks and clusters on one or more workers.

mod counting;
#[cfg(all(feature = "hot-restart", target_os = "linux"))]
mod hot_restart;
mod leaving;
mod running;
mod service;
mod sockets;
mod tables;
mod update;
mod warming;
mod worker;

use std::{collections::BTreeMap, sync::Arc};

use aeraki_codec::Registry;
use aeraki_route::{
    SharedRules,
    config::{self, ConfigError, FilterChain, HealthCheckKind, Listener, RouteSource, RouteSubscription},
};
use tokio::runtime::Handle;

#[cfg(all(feature = "hot-restart", target_os = "linux"))]
pub use self::hot_restart::Predecessor;
pub use self::{running::Running, update::Updated};
use self::{
    service::{Found, RpcService, Service, share_codecs},
    sockets::Sockets,
    tables::{Tables, Warnings},
};
use crate::{
    observe::Stats,
    server::{ConnectionLimit, Inspection},
    stack::{Filters, LocalLimitStats},
    tls::Secrets,
    upstream::{DefaultResolver, Resolver, has_sign_of_life},
};

/// A proxy that has been checked and can be started.
///
/// ```
/// use aeraki_core::{codec::Registry, proxy::Proxy, route::config};
///
/// let config: config::Proxy = config::Proxy::default();
/// let proxy = Proxy::new(config, &Registry::builtin())?;
/// assert_eq!(proxy.subscriptions().count(), 0);
/// # Ok::<_, config::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Proxy {
    config: config::Proxy,
    listeners: Vec<Prepared>,
    protocols: Arc<Registry>,
    stats: Stats,
    secrets: Secrets,
    resolver: Arc<dyn Resolver>,
    warnings: Warnings,
    /// Those that are bound before it starts.
    sockets: Sockets,
}

/// A listener with what serves its filter chains.
#[derive(Clone, Debug)]
struct Prepared {
    config: Listener,
    /// The protocols that there are, for chains that ask which one a client speaks.
    protocols: Arc<Registry>,
    /// Each once, however many chains it serves, so that they share its limits.
    services: Vec<Service>,
    /// The place of the service of each chain, in the order of the chains.
    chains: Vec<usize>,
    /// How many connections each chain has at most, in the order of the chains.
    connection_limits: Vec<Option<ConnectionLimit>>,
}

impl Prepared {
    fn rpcs(&self) -> impl Iterator<Item = &RpcService> {
        self.services.iter().filter_map(Service::rpc)
    }

    fn rpcs_mut(&mut self) -> impl Iterator<Item = &mut RpcService> {
        self.services.iter_mut().filter_map(Service::rpc_mut)
    }
}

impl Proxy {
    /// Checks a configuration, finds its protocols in `registry`, and compiles the routes that it carries.
    ///
    /// # Errors
    /// The first fault: the object, the field and the reason.
    pub fn new(config: config::Proxy, registry: &Registry) -> Result<Self, ConfigError> {
        Self::with_filters(config, registry, &Filters::new())
    }

    /// Checks a configuration that may ask for filters of the embedder's own, and for rate limit services.
    ///
    /// # Errors
    /// The first fault: the object, the field and the reason.
    pub fn with_filters(config: config::Proxy, registry: &Registry, filters: &Filters) -> Result<Self, ConfigError> {
        Self::check(config, registry, filters, Secrets::new(), &Warnings::default())
    }

    fn check(
        config: config::Proxy,
        registry: &Registry,
        filters: &Filters,
        secrets: Secrets,
        before: &Warnings,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        if config.admin.is_some() && !cfg!(feature = "admin") {
            return Err(ConfigError::new("proxy", "admin", "this build has no admin interface (feature `admin`)"));
        }
        config.clusters.iter().try_for_each(|cluster| find_check(cluster, registry))?;
        config.listeners.iter().try_for_each(|listener| Inspection::new(listener, registry).map(drop))?;
        let find = |listener: &Listener| Found::all(listener, &config.node, registry, filters);
        let mut found = config.listeners.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let rpcs = found.iter_mut().flat_map(|(services, _)| services).filter_map(Found::rpc_mut);
        share_codecs(rpcs.map(|rpc| &mut rpc.codec), Vec::new());
        let protocols = Arc::new(registry.clone());
        let mut tables = Tables::new(&filters.services, before);
        found.iter().flat_map(|(services, _)| services).filter_map(Found::rpc).for_each(|rpc| tables.add(rpc));
        let listeners = config.listeners.iter().zip(found).map(|(listener, (services, chains))| {
            let services = services.into_iter().map(|found| found.prepare(&mut tables, &filters.services));
            let services = services.collect::<Result<_, _>>()?;
            let limit = |(_, chain): (_, &FilterChain)| chain.connection_limit.clone().map(ConnectionLimit::new);
            let connection_limits = listener.chains().map(limit).collect();
            Ok(Prepared {
                config: listener.clone(),
                protocols: Arc::clone(&protocols),
                services,
                chains,
                connection_limits,
            })
        });
        let listeners = listeners.collect::<Result<Vec<_>, ConfigError>>()?;
        config.listeners.iter().try_for_each(|listener| secrets.check_listener(listener))?;
        config.clusters.iter().try_for_each(|cluster| secrets.check_cluster(cluster))?;
        let stats = Stats::new();
        stats.register(Arc::new(secrets.clone()));
        let (warnings, sockets) = (tables.into_warnings(), Sockets::default());
        let resolver = Arc::new(DefaultResolver::default());
        Ok(Self { listeners, config, protocols, stats, secrets, resolver, warnings, sockets })
    }

    /// Sets how the names of endpoints are looked up, by all workers and after every update.
    ///
    /// Else, with the feature `dns`, the name servers of the system's configuration are asked, which is read with the
    /// first name; without it, and where that cannot be read, names are looked up as the operating system does, which
    /// tells no time to live.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Returns the configuration.
    #[must_use]
    pub const fn config(&self) -> &config::Proxy {
        &self.config
    }

    /// Lists the rules of a listener, one of each filter chain that has any, to be swapped while the proxy runs.
    pub fn rules(&self, listener: &str) -> impl Iterator<Item = &Arc<SharedRules>> {
        let listener = self.listeners.iter().filter(move |prepared| prepared.config.name == listener);
        listener.flat_map(Prepared::rpcs).map(|rpc| &rpc.rules)
    }

    /// Lists which route tables a control plane is to deliver, and the rules to swap when they come: each table once,
    /// however many listeners ask for it. Until then, or for as long as the subscription says, connections to them
    /// wait.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&RouteSubscription, &Arc<SharedRules>)> {
        subscriptions(&self.listeners)
    }

    /// Returns the statistics, to which others may add theirs.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Has the proxy serve the sockets of the process before it where it listens on the same addresses; others are
    /// closed.
    #[cfg(all(feature = "hot-restart", target_os = "linux"))]
    #[must_use]
    pub fn with_sockets_of(self, predecessor: &mut Predecessor) -> Self {
        self.sockets.adopt(predecessor.take_sockets());
        self.sockets.keep(&self.config.listeners);
        self
    }

    /// Starts on threads of its own: each worker has its own runtime, connections and queue of new connections.
    ///
    /// # Errors
    /// When an address cannot be had, or the system refuses a thread: the object, the field and the reason.
    pub fn start(self, workers: usize) -> Result<Running, ConfigError> {
        self.start_on(&vec![Place::Thread; workers.max(1)])
    }

    /// Starts as one worker on the present runtime, which may have several threads.
    ///
    /// # Errors
    /// When an address cannot be had: the object, the field and the reason.
    pub fn start_here(self) -> Result<Running, ConfigError> {
        self.start_on(&[Place::Here(Handle::current())])
    }

    fn start_on(self, places: &[Place]) -> Result<Running, ConfigError> {
        Running::start(self, places)
    }
}

/// Where a worker runs.
#[derive(Clone, Debug)]
enum Place {
    /// On a runtime that is there anyway.
    Here(Handle),
    /// On a thread of its own.
    Thread,
}

/// Lists the tables that listeners subscribe to, each once.
fn subscriptions<'a>(
    listeners: impl IntoIterator<Item = &'a Prepared>,
) -> impl Iterator<Item = (&'a RouteSubscription, &'a Arc<SharedRules>)> {
    let subscription = |rpc: &'a RpcService| match &rpc.config.routes {
        RouteSource::Dynamic(subscription) => Some((&subscription.route_config_name, (subscription, &rpc.rules))),
        _ => None,
    };
    let tables: BTreeMap<_, _> = listeners.into_iter().flat_map(Prepared::rpcs).filter_map(subscription).collect();
    tables.into_values()
}

/// Shows every local rate limit, those of tables that several listeners share once.
fn limit_stats<'a>(listeners: impl IntoIterator<Item = &'a Prepared> + Clone) -> LocalLimitStats {
    let rpcs = || listeners.clone().into_iter().flat_map(Prepared::rpcs);
    let limits = rpcs().flat_map(|rpc| rpc.filters.local_limits()).cloned();
    LocalLimitStats::new(limits, rpcs().map(|rpc| Arc::clone(&rpc.rules)))
}

/// Finds the protocol in which the endpoints of a cluster are asked, where they are asked in one, and whether they can
/// be.
fn find_check(cluster: &config::Cluster, registry: &Registry) -> Result<(), ConfigError> {
    let Some(HealthCheckKind::Heartbeat { protocol }) = cluster.health_check.as_ref().map(|check| &check.kind) else {
        return Ok(());
    };
    let reason = match registry.get(protocol) {
        None => format!("there is no codec {protocol:?}; known are: {}", known(registry)),
        Some(found) if !has_sign_of_life(&**found) => {
            format!("{protocol:?} has no sign of life to ask for: use a check over TCP")
        }
        Some(_) => return Ok(()),
    };
    Err(ConfigError::new(format!("cluster {:?}", cluster.name), "healthCheck.kind.protocol", reason))
}

fn known(registry: &Registry) -> String {
    registry.names().collect::<Vec<_>>().join(", ")
}

fn cannot_start(error: &std::io::Error) -> ConfigError {
    ConfigError::new("proxy", "workers", format!("cannot start a worker: {error}"))
}
