//! A whole proxy from its configuration: listeners, stacks and clusters on one or more workers.

mod running;
mod tables;
mod worker;

use std::{collections::BTreeMap, sync::Arc};

use aeraki_codec::{Protocol, Registry};
use aeraki_route::{
    SharedRules,
    config::{self, ConfigError, HealthCheckKind, Listener, RouteSource, RouteSubscription},
};
use tokio::runtime::Handle;

pub use self::running::Running;
use self::{tables::Tables, worker::Worker};
use crate::{
    observe::Stats,
    server::{self, ListenerOptions},
    stack::{CompiledFilters, Filters, LocalLimitStats, RateLimiters},
    tls::Secrets,
    upstream::LocalCluster,
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
}

/// A listener with everything that its name stands for.
#[derive(Clone, Debug)]
struct Prepared {
    config: Listener,
    protocol: Arc<dyn Protocol>,
    rules: Arc<SharedRules>,
    filters: CompiledFilters,
    services: Arc<dyn RateLimiters>,
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
            Ok(Prepared { config: listener.clone(), protocol, rules, filters: compiled, services })
        });
        let listeners = listeners.collect::<Result<Vec<_>, ConfigError>>()?;
        let secrets = Secrets::new();
        config.listeners.iter().try_for_each(|listener| secrets.check_listener(listener))?;
        config.clusters.iter().try_for_each(|cluster| secrets.check_cluster(cluster))?;
        let stats = Stats::new();
        stats.register(Arc::new(limit_stats(&listeners)));
        stats.register(Arc::new(secrets.clone()));
        Ok(Self { listeners, config, protocols: Arc::new(registry.clone()), stats, secrets })
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
        let tables: BTreeMap<_, _> = self
            .listeners
            .iter()
            .filter_map(|prepared| match &prepared.config.routes {
                RouteSource::Dynamic(subscription) => {
                    Some((&subscription.route_config_name, (subscription, &prepared.rules)))
                }
                _ => None,
            })
            .collect();
        tables.into_values()
    }

    /// Returns the statistics, to which others may add theirs.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
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
        let bind = |prepared: &Prepared| bind(&prepared.config, places.len());
        let mut sockets = self.listeners.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let addresses = self
            .listeners
            .iter()
            .zip(&sockets)
            .filter_map(|(prepared, sockets)| Some((prepared.config.name.clone(), sockets.first()?.local_addr())));
        let mut running = Running::new(addresses.collect(), self.stats.clone(), self.secrets.clone());
        #[cfg(feature = "admin")]
        let admin = self.config.admin.map(|address| {
            let tables = self.listeners.iter().map(|prepared| Arc::clone(&prepared.rules)).collect();
            running.bind_admin(address, tables)
        });
        #[cfg(feature = "admin")]
        let admin = admin.transpose()?;
        let locality = &self.config.node.locality;
        let local_cluster = self.config.local_cluster.as_deref();
        let local_cluster = local_cluster.map(|name| LocalCluster::new(name, locality.clone()));
        for place in places {
            let listeners = self.listeners.iter().zip(&mut sockets);
            let listeners = listeners.filter_map(|(prepared, sockets)| Some((prepared.clone(), sockets.pop()?)));
            let sibling = running.any_clusters();
            let shared = (self.secrets.clone(), local_cluster.clone());
            let worker = Worker::new(listeners.collect(), sibling, &self.protocols, &self.stats, shared);
            running.add(place, worker, self.config.clusters.clone())?;
        }
        running.watch_secrets();
        #[cfg(feature = "admin")]
        if let Some(admin) = admin {
            running.serve_admin(admin);
        }
        Ok(running)
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

/// Shows every local rate limit, those of tables that several listeners share once.
fn limit_stats(listeners: &[Prepared]) -> LocalLimitStats {
    let limits = listeners.iter().flat_map(|prepared| prepared.filters.local_limits()).cloned();
    LocalLimitStats::new(limits, listeners.iter().map(|prepared| Arc::clone(&prepared.rules)))
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

/// Binds one socket for each worker.
fn bind(listener: &Listener, workers: usize) -> Result<Vec<server::Listener>, ConfigError> {
    let alone = ListenerOptions::default();
    if workers == 1 {
        return Ok(vec![server::Listener::bind(&listener.name, listener.address, &alone)?]);
    }
    if listener.address.port() != 0 {
        // a process that shares its port would take half of our connections unnoticed
        server::Listener::bind(&listener.name, listener.address, &alone)?;
    }
    let shared = alone.with_reuse_port(true);
    let mut sockets = vec![server::Listener::bind(&listener.name, listener.address, &shared)?];
    let address = sockets[0].local_addr();
    for _ in 1..workers {
        sockets.push(server::Listener::bind(&listener.name, address, &shared)?);
    }
    Ok(sockets)
}

fn cannot_start(error: &std::io::Error) -> ConfigError {
    ConfigError::new("proxy", "workers", format!("cannot start a worker: {error}"))
}
