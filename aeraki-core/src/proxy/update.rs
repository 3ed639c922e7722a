//! Another configuration for a proxy that runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aeraki_route::{
    SharedRules,
    config::{Cluster, ConfigError, NetworkFilter, RouteSource},
};
use tokio::time::sleep;

use super::{Prepared, Proxy, Running, worker::ClustersOfWorker};
use crate::server::{self, Drain};

/// What became of the listeners in an [update](Running::update), by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Updated {
    /// Those that are new.
    pub added: Vec<String>,
    /// Those whose new connections are served in another way; the ones before finish in the old one.
    pub changed: Vec<String>,
    /// Those that are gone once their connections have finished.
    pub removed: Vec<String>,
}

/// The new listeners with their sockets, and new routes for listeners that stay as they are.
struct Plan {
    starts: Vec<(Prepared, Vec<server::Listener>)>,
    routes: Vec<Prepared>,
}

/// The clusters of a configuration, to be the only ones of all workers.
struct NewClusters {
    clusters: Vec<Arc<Cluster>>,
    workers: Vec<ClustersOfWorker>,
    /// The number of the last update, and of this one.
    turn: Arc<AtomicU64>,
    mine: u64,
}

/// A table that is here already, and rules with the users that it will have.
type NewUsers = (Arc<SharedRules>, Arc<SharedRules>);

impl Running {
    /// Makes the configuration of `next` the one in force. What did not change is not touched: a listener that is the same
    /// but for its inline routes keeps its connections, and so does a cluster that is the same but for its endpoints.
    ///
    /// A listener that changed takes connections from the same socket as before, so that none is refused; connections that
    /// were open have `grace` to finish in the way they began, and so have those of listeners that are gone. Limits of such
    /// a listener count anew. Tables of a control plane stay in force as long as any listener asks for them.
    ///
    /// # Errors
    /// The first thing that cannot be: an address, a certificate, a table in force that a new listener cannot serve, another
    /// node, admin address or cluster of its own, which take a new start. Then nothing has changed.
    pub fn update(&mut self, mut next: Proxy, grace: Duration) -> Result<Updated, ConfigError> {
        self.check(&next)?;
        let tables = self.join_tables(&mut next)?;
        let plan = self.plan(next.listeners).inspect_err(|_| self.sockets.keep(self.listener_configs()))?;
        // clusters first, so that no route names one that is not there yet
        let without_gone = self.add_clusters(&next.config.clusters);
        for (table, users) in tables {
            table.take_users(&users);
        }
        let kept: BTreeSet<_> = next.config.listeners.iter().map(|listener| listener.name.as_str()).collect();
        let gone = self.listeners.keys().filter(|name| !kept.contains(name.as_str())).cloned().collect();
        let updated = self.apply(plan, gone, grace)?;
        match without_gone {
            // connections that finish in the old way still need the old clusters
            Some(clusters) if updated.ends_any() => self.after(grace, move || clusters.put_all()),
            Some(clusters) => clusters.put_all(),
            None => {}
        }
        self.common.limit.set(next.config.max_connections);
        self.config = next.config;
        self.sockets.keep(&self.config.listeners);
        self.show_listeners();
        Ok(updated)
    }

    fn check(&self, next: &Proxy) -> Result<(), ConfigError> {
        let (old, new) = (&self.config, &next.config);
        let fixed = [
            ("node", new.node == old.node),
            ("admin", new.admin == old.admin),
            ("localCluster", new.local_cluster == old.local_cluster),
        ];
        if let Some((field, _)) = fixed.iter().find(|(_, same)| !same) {
            return Err(ConfigError::new("proxy", *field, "cannot change while the proxy runs"));
        }
        let secrets = &self.common.secrets;
        next.config.listeners.iter().try_for_each(|listener| secrets.check_listener(listener))?;
        next.config.clusters.iter().try_for_each(|cluster| secrets.check_cluster(cluster))
    }

    /// Has the listeners of `next` use the tables that are here already. Returns these, with the users that they will have.
    fn join_tables(&self, next: &mut Proxy) -> Result<Vec<NewUsers>, ConfigError> {
        let here = self.subscriptions().map(|(subscription, table)| (&*subscription.route_config_name, table));
        let here: BTreeMap<_, _> = here.collect();
        let mut joined = BTreeMap::new();
        for rpc in next.listeners.iter_mut().flat_map(Prepared::rpcs_mut) {
            let RouteSource::Dynamic(subscription) = &rpc.config.routes else { continue };
            let Some(table) = here.get(&*subscription.route_config_name) else { continue };
            let users = std::mem::replace(&mut rpc.rules, Arc::clone(table));
            table.suits(&users)?;
            joined.insert(subscription.route_config_name.clone(), (Arc::clone(table), users));
        }
        Ok(joined.into_values().collect())
    }

    /// Adds and changes clusters. Where others are to go, returns how.
    fn add_clusters(&self, next: &[Cluster]) -> Option<NewClusters> {
        let known: BTreeSet<_> = next.iter().map(|cluster| cluster.name.as_str()).collect();
        let gone = self.config.clusters.iter().filter(|cluster| !known.contains(cluster.name.as_str()));
        let mut all = self.known_clusters(next.iter().chain(gone));
        self.put_clusters(&all);
        let turn = Arc::clone(&self.turn);
        let mine = turn.fetch_add(1, Ordering::Relaxed) + 1;
        let workers = self.workers.iter().map(|worker| worker.clusters().clone()).collect();
        let gone = all.split_off(next.len());
        (!gone.is_empty()).then_some(NewClusters { clusters: all, workers, turn, mine })
    }

    fn plan(&self, listeners: Vec<Prepared>) -> Result<Plan, ConfigError> {
        let mut plan = Plan { starts: Vec::new(), routes: Vec::new() };
        for prepared in listeners {
            let before = self.listeners.get(&prepared.config.name).map(|serving| &serving.prepared);
            match before {
                Some(before) if before.config == prepared.config => {}
                Some(before) if is_same_but_routes(before, &prepared) => plan.routes.push(prepared),
                _ => {
                    let sockets = self.sockets.get(&prepared.config, self.workers.len())?;
                    plan.starts.push((prepared, sockets));
                }
            }
        }
        Ok(plan)
    }

    fn apply(&mut self, plan: Plan, gone: Vec<String>, grace: Duration) -> Result<Updated, ConfigError> {
        let mut updated = Updated::default();
        for mut prepared in plan.routes {
            let Some(serving) = self.listeners.get_mut(&prepared.config.name) else { continue };
            for (rpc, next) in serving.prepared.rpcs_mut().zip(prepared.rpcs_mut()) {
                rpc.take_routes(next)?;
            }
            serving.prepared.config = prepared.config;
        }
        for (prepared, sockets) in plan.starts {
            let name = prepared.config.name.clone();
            // the new ones accept before the old ones cease to
            let before = self.listeners.remove(&name);
            self.serve(prepared, sockets);
            match before {
                Some(before) => {
                    self.end(&before.drain, grace);
                    updated.changed.push(name);
                }
                None => updated.added.push(name),
            }
        }
        for name in gone {
            if let Some(before) = self.listeners.remove(&name) {
                self.end(&before.drain, grace);
                updated.removed.push(name);
            }
        }
        Ok(updated)
    }

    /// Has what a drain tells finish within `grace`.
    fn end(&self, drain: &Drain, grace: Duration) {
        drain.begin();
        let drain = drain.clone();
        self.after(grace, move || drain.close());
    }

    fn after(&self, grace: Duration, act: impl FnOnce() + Send + 'static) {
        if let Some(worker) = self.workers.first() {
            worker.handle().spawn(async move {
                sleep(grace).await;
                act();
            });
        }
    }
}

impl NewClusters {
    /// Makes them the only ones, unless there was another update since.
    fn put_all(self) {
        if self.turn.load(Ordering::Relaxed) == self.mine {
            self.workers.iter().for_each(|clusters| clusters.put(&self.clusters));
        }
    }
}

impl Updated {
    /// Tells whether any connections finish in the old way.
    const fn ends_any(&self) -> bool {
        !self.changed.is_empty() || !self.removed.is_empty()
    }
}

/// Tells whether only the inline routes differ.
fn is_same_but_routes(before: &Prepared, after: &Prepared) -> bool {
    let mut like = after.config.clone();
    let chains = like.filter_chains.iter_mut().chain(&mut like.default_filter_chain);
    for (chain, (_, before)) in chains.zip(before.config.chains()) {
        if let (NetworkFilter::MetaProtocolProxy(like), NetworkFilter::MetaProtocolProxy(before)) =
            (&mut chain.filter, &before.filter)
            && let (RouteSource::Inline(like), RouteSource::Inline(before)) = (&mut like.routes, &before.routes)
        {
            like.clone_from(before);
        }
    }
    like == before.config && after.chains == before.chains
}
