//! The rate limit services that a proxy may ask: one for each cluster.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use aeraki_core::stack::{RateLimiter, RateLimiters};
use aeraki_route::config::Cluster;

use super::Client;

/// The rate limit services behind the clusters of a proxy, each asked by a [`Client`] of its own.
///
/// ```
/// use aeraki_core::{codec::Registry, proxy::Proxy, route::config, stack::Filters};
/// use aeraki_xds::ratelimit::Clients;
///
/// let config = config::Proxy::default();
/// let filters = Filters::new().with_rate_limiters(Clients::new(&config.clusters));
/// let proxy = Proxy::with_filters(config, &Registry::builtin(), &filters)?;
/// # Ok::<_, config::ConfigError>(())
/// ```
///
/// A proxy that takes [another configuration](aeraki_core::proxy::Running::update) while it runs is given the
/// [next](Self::prepare) clients in their place, so that requests under way are asked about where they were before:
///
/// ```
/// # use std::time::Duration;
/// # use aeraki_core::{codec::Registry, proxy::Running, route::config, stack::Filters};
/// # use aeraki_xds::ratelimit::Clients;
/// # use std::sync::Arc;
/// # use config::ConfigError;
/// # fn update(running: &mut Running, clients: &Arc<Clients>, config: config::Proxy) -> Result<(), ConfigError> {
/// let next = clients.prepare(&config.clusters);
/// let filters = Filters::new().with_rate_limiters(Arc::clone(&next) as _);
/// let updated = running.prepare(config, &Registry::builtin(), &filters);
/// let updated = updated.and_then(|proxy| running.update(proxy, Duration::from_secs(30)));
/// if updated.is_ok() {
///     next.put_in_force();
/// }
/// // now, and again when the connections from before have ended
/// clients.keep(running.clusters().iter().map(|cluster| &**cluster));
/// # updated.map(drop)
/// # }
/// ```
#[derive(Debug)]
pub struct Clients(RwLock<Known>);

/// Clients by the names of their clusters.
type Known = BTreeMap<String, (Cluster, Arc<Client>)>;

impl Clients {
    /// Makes a client for every cluster that has endpoints; it connects when it is first asked.
    pub fn new<'a>(clusters: impl IntoIterator<Item = &'a Cluster>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(make(clusters, &Known::new()))))
    }

    /// Makes the clients of another configuration, to check it with; that of a cluster that is the same stays.
    ///
    /// Those of new names are there for everybody at once, so that no request comes before them; what others are asked
    /// by does not change before the configuration is [in force](NextClients::put_in_force). What is not wanted after
    /// all goes with the next [`keep`](Self::keep).
    pub fn prepare<'a>(self: &Arc<Self>, clusters: impl IntoIterator<Item = &'a Cluster>) -> Arc<NextClients> {
        let mut known = self.write();
        let own = make(clusters, &known);
        for (name, client) in &own {
            known.entry(name.clone()).or_insert_with(|| client.clone());
        }
        Arc::new(NextClients { clients: Arc::clone(self), own: RwLock::new(Some(own)) })
    }

    /// Forgets the clients of all clusters but these, which are all [in use](aeraki_core::proxy::Running::clusters).
    pub fn keep<'a>(&self, clusters: impl IntoIterator<Item = &'a Cluster>) {
        let kept: BTreeMap<_, _> = clusters.into_iter().map(|cluster| (cluster.name.as_str(), cluster)).collect();
        self.write().retain(|name, (cluster, _)| kept.get(name.as_str()) == Some(&&*cluster));
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RateLimiters for Clients {
    fn find(&self, cluster: &str) -> Option<Arc<dyn RateLimiter>> {
        find(&self.read(), cluster)
    }
}

/// The [`Clients`] as a configuration has them that is being checked, and that may come into force.
#[derive(Debug)]
pub struct NextClients {
    clients: Arc<Clients>,
    /// None where the configuration has come into force, so that these are those of everybody.
    own: RwLock<Option<Known>>,
}

impl NextClients {
    /// Makes its clients those of everybody, in the place of others of the same names.
    pub fn put_in_force(&self) {
        let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        // under the lock: who finds nothing here any more finds it there
        self.clients.write().extend(own.take().unwrap_or_default());
    }
}

impl RateLimiters for NextClients {
    fn find(&self, cluster: &str) -> Option<Arc<dyn RateLimiter>> {
        match &*self.own.read().unwrap_or_else(PoisonError::into_inner) {
            Some(own) => find(own, cluster),
            None => self.clients.find(cluster),
        }
    }
}

/// Makes a client for every cluster, or takes the one that is known. A cluster that nobody can connect to is missed
/// where a limit names it.
fn make<'a>(clusters: impl IntoIterator<Item = &'a Cluster>, known: &Known) -> Known {
    let client = |cluster: &'a Cluster| match known.get(&cluster.name) {
        Some((same, client)) if same == cluster => Some(Arc::clone(client)),
        _ => Client::new(cluster).ok().map(Arc::new),
    };
    let named = |cluster: &'a Cluster| Some((cluster.name.clone(), (cluster.clone(), client(cluster)?)));
    clusters.into_iter().filter_map(named).collect()
}

fn find(known: &Known, cluster: &str) -> Option<Arc<dyn RateLimiter>> {
    known.get(cluster).map(|(_, client)| Arc::clone(client) as _)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str, port: u16) -> Cluster {
        Cluster::new(name).with_endpoint(std::net::SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Tells whether both find the same client.
    fn same(one: &dyn RateLimiters, other: &dyn RateLimiters, name: &str) -> bool {
        match (one.find(name), other.find(name)) {
            (Some(one), Some(other)) => Arc::ptr_eq(&one, &other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    #[test]
    fn what_is_prepared_changes_nothing_for_others_before_it_is_in_force() {
        let clients = Clients::new(&[cluster("same", 1), cluster("changed", 1), cluster("useless", 1)]);
        let before = clients.find("changed").expect("it is there");
        let next = [cluster("same", 1), cluster("changed", 2), cluster("new", 1), Cluster::new("useless")];
        let prepared = clients.prepare(&next);
        assert!(same(&*clients, &*prepared, "same"));
        assert!(same(&*clients, &*prepared, "new"), "who asks for it is there before it is in force");
        assert!(prepared.find("useless").is_none() && clients.find("useless").is_some());
        assert!(!same(&*clients, &*prepared, "changed"));
        assert!(Arc::ptr_eq(&clients.find("changed").expect("it is there"), &before));

        let after = prepared.find("changed").expect("it is there");
        prepared.put_in_force();
        clients.keep(&next);
        for name in ["same", "changed", "new", "useless"] {
            assert!(same(&*clients, &*prepared, name), "{name}");
        }
        assert!(Arc::ptr_eq(&clients.find("changed").expect("it is there"), &after));
        assert!(clients.find("useless").is_none());
    }

    #[test]
    fn what_is_refused_leaves_what_was_there_before() {
        let kept = [cluster("changed", 1), cluster("gone", 1)];
        let clients = Clients::new(&kept);
        let before = clients.find("changed").expect("it is there");
        drop(clients.prepare(&[cluster("changed", 2), cluster("new", 1)]));
        clients.keep(&kept);
        assert!(Arc::ptr_eq(&clients.find("changed").expect("it is there"), &before));
        assert!(clients.find("gone").is_some() && clients.find("new").is_none());
    }
}
