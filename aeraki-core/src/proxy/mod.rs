//! A whole proxy from its configuration: listeners, stacks and clusters on one or more workers.

mod counting;
#[cfg(all(feature = "hot-restart", target_os = "linux"))]
mod hot_restart;
mod running;
mod sockets;
mod tables;
mod update;
mod worker;

use std::{collections::BTreeMap, sync::Arc};

use aeraki_codec::{Protocol, Registry};
use aeraki_route::{
    SharedRules,
    config::{self, ConfigError, HealthCheckKind, Listener, RouteSource, RouteSubscription},
};
use tokio::runtime::Handle;

#[cfg(all(feature = "hot-restart", target_os = "linux"))]
pub use self::hot_restart::Predecessor;
pub use self::{running::Running, update::Updated};
use self::{sockets::Sockets, tables::Tables};
use crate::{
    observe::Stats,
    server::ConnectionLimit,
    stack::{CompiledFilters, Filters, LocalLimitStats, RateLimiters},
    tls::Secrets,
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
    /// Those that are bound before it starts.
    sockets: Sockets,
}

/// A listener with everything that its name stands for.
#[derive(Clone, Debug)]
struct Prepared {
    config: Listener,
    protocol: Arc<dyn Protocol>,
    rules: Arc<SharedRules>,
    filters: CompiledFilters,
    services: Arc<dyn RateLimiters>,
    connection_limit: Option<ConnectionLimit>,
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
        config.validate()?;
        if config.admin.is_some() && !cfg!(feature = "admin") {
            return Err(ConfigError::new("proxy", "admin", "this build has no admin interface (feature `admin`)"));
        }
        config.clusters.iter().try_for_each(|cluster| find_check(cluster, registry))?;
        let prepare =
            |listener: &Listener| Ok((find_protocol(listener, registry)?, filters.compile(listener, &config.node)?));
        let prepared = config.listeners.iter().map(prepare).collect::<Result<Vec<_>, ConfigError>>()?;
        let mut tables = Tables::new(&filters.services);
        let listeners = config.listeners.iter().zip(&prepared);
        listeners.for_each(|(listener, (protocol, filters))| tables.add(listener, protocol, filters));
        let listeners = config.listeners.iter().zip(prepared).map(|(listener, (protocol, compiled))| {
            let rules = tables.rules(listener, &protocol, &compiled)?;
            let services = Arc::clone(&filters.services);
            let connection_limit = listener.connection_limit.clone().map(ConnectionLimit::new);
            let config = listener.clone();
            Ok(Prepared { config, protocol, rules, filters: compiled, services, connection_limit })
        });
        let listeners = listeners.collect::<Result<Vec<_>, ConfigError>>()?;
        let secrets = Secrets::new();
        config.listeners.iter().try_for_each(|listener| secrets.check_listener(listener))?;
        config.clusters.iter().try_for_each(|cluster| secrets.check_cluster(cluster))?;
        let stats = Stats::new();
        stats.register(Arc::new(secrets.clone()));
        Ok(Self {
            listeners,
            config,
            protocols: Arc::new(registry.clone()),
            stats,
            secrets,
            sockets: Sockets::default(),
        })
    }

    /// Returns the configuration.
    #[must_use]
    pub const fn config(&self) -> &config::Proxy {
        &self.config
    }

    /// Returns the rules of a listener, to be swapped while the proxy runs.
    #[must_use]
    pub fn rules(&self, listener: &str) -> Option<&Arc<SharedRules>> {
        self.listeners.iter().find(|prepared| prepared.config.name == listener).map(|prepared| &prepared.rules)
    }

    /// Lists which route tables a control plane is to deliver, and the rules to swap when they come: each table once,
    /// however many listeners ask for it. Until then requests are answered that there is no route.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&RouteSubscription, &Arc<SharedRules>)> {
        subscriptions(&self.listeners)
    }

    /// Returns the statistics, to which others may add theirs.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Has the proxy serve the sockets of the process before it where it listens on the same addresses; others are closed.
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
    let subscription = |prepared: &'a Prepared| match &prepared.config.routes {
        RouteSource::Dynamic(subscription) => Some((&subscription.route_config_name, (subscription, &prepared.rules))),
        _ => None,
    };
    let tables: BTreeMap<_, _> = listeners.into_iter().filter_map(subscription).collect();
    tables.into_values()
}

/// Shows every local rate limit, those of tables that several listeners share once.
fn limit_stats<'a>(listeners: impl IntoIterator<Item = &'a Prepared> + Clone) -> LocalLimitStats {
    let limits = listeners.clone().into_iter().flat_map(|prepared| prepared.filters.local_limits()).cloned();
    LocalLimitStats::new(limits, listeners.into_iter().map(|prepared| Arc::clone(&prepared.rules)))
}

fn refuse(listener: &Listener, field: &str, reason: String) -> ConfigError {
    ConfigError::new(format!("listener {:?}", listener.name), field, reason)
}

fn find_protocol(listener: &Listener, registry: &Registry) -> Result<Arc<dyn Protocol>, ConfigError> {
    let codec = listener.protocol.codec();
    let protocol = registry.get(codec).ok_or_else(|| {
        refuse(listener, "protocol.codec", format!("there is no codec {codec:?}; known are: {}", known(registry)))
    })?;
    match listener.protocol.options.keys().next() {
        Some(option) => {
            Err(refuse(listener, "protocol.options", format!("the codec {codec:?} has no option {option:?}")))
        }
        None => Ok(Arc::clone(protocol)),
    }
}

/// Finds the protocol in which the endpoints of a cluster are asked, where they are asked in one.
fn find_check(cluster: &config::Cluster, registry: &Registry) -> Result<(), ConfigError> {
    match cluster.health_check.as_ref().map(|check| &check.kind) {
        Some(HealthCheckKind::Heartbeat { protocol }) if registry.get(protocol).is_none() => {
            let reason = format!("there is no codec {protocol:?}; known are: {}", known(registry));
            Err(ConfigError::new(format!("cluster {:?}", cluster.name), "healthCheck.kind.protocol", reason))
        }
        _ => Ok(()),
    }
}

fn known(registry: &Registry) -> String {
    registry.names().collect::<Vec<_>>().join(", ")
}

fn cannot_start(error: &std::io::Error) -> ConfigError {
    ConfigError::new("proxy", "workers", format!("cannot start a worker: {error}"))
}
