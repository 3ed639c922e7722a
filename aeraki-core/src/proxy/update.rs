//! Another configuration for a proxy that runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use aeraki_codec::Registry;
use aeraki_route::config::{self, ConfigError, NetworkFilter, RouteSource};
use tokio::time::sleep;

use super::{
    Prepared, Proxy, Running, find_check,
    leaving::{NewUsers, Rest},
    running::Serving,
    service::share_codecs,
    worker::Common,
};
use crate::{
    server::{self, Drain, Phase},
    stack::Filters,
    upstream::warn_of_ttl,
};

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

impl Running {
    /// Checks a configuration that is to be the [next](Self::update), as [`Proxy::with_filters`] does, except that
    /// certificates in use are not read again: one that has expired meanwhile is no reason to refuse another change.
    ///
    /// # Errors
    /// The first fault: the object, the field and the reason.
    pub fn prepare(&self, config: config::Proxy, registry: &Registry, filters: &Filters) -> Result<Proxy, ConfigError> {
        Proxy::check(config, registry, filters, self.common.secrets.clone(), &self.warnings)
    }

    /// Makes the configuration of `next` the one in force. What did not change is not touched: a listener that is the
    /// same but for its inline routes keeps its connections, and so does a cluster that is the same but for its
    /// endpoints.
    ///
    /// A listener that changed takes connections from the same socket as before, so that none is refused; connections
    /// that were open have `grace` to finish in the way they began, and so have those of listeners that are gone.
    /// Limits of such a listener count anew. What only the old configuration needs (clusters, keys that its filters
    /// look at) stays until all of them have finished. Connections to servers go on where `next` was made with the same
    /// registry. Tables of a control plane or a file stay in force as long as any listener asks for them.
    ///
    /// # Errors
    /// The first thing that cannot be: an address, a certificate, a table in force that a new listener cannot serve,
    /// another node, admin address or cluster of its own, which take a new start, or listeners that drain already. Then
    /// nothing has changed.
    pub fn update(&mut self, mut next: Proxy, grace: Duration) -> Result<Updated, ConfigError> {
        self.check(&next)?;
        let known = self.listeners.values().flat_map(|serving| serving.prepared.rpcs());
        let new = next.listeners.iter_mut().flat_map(Prepared::rpcs_mut).map(|rpc| &mut rpc.codec);
        share_codecs(new, known.map(|rpc| rpc.codec.clone()).collect());
        let tables = self.join_tables(&mut next)?;
        let plan = self.plan(next.listeners).inspect_err(|_| self.sockets.keep(self.listener_configs()))?;
        warn_of_ttl(&next.config.clusters, &*self.common.resolver);
        // clusters first, so that no route names one that is not there yet
        let rest = self.in_force.update(&next.config.clusters, tables);
        let kept: BTreeSet<_> = next.config.listeners.iter().map(|listener| listener.name.as_str()).collect();
        let gone = self.listeners.keys().filter(|name| !kept.contains(name.as_str())).cloned().collect();
        let updated = self.apply(plan, gone, grace)?;
        self.settle(rest);
        self.common.limit.set(next.config.max_connections);
        (self.config, self.warnings) = (next.config, next.warnings);
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
        if self.listener_drains.phase() != Phase::Serving {
            return Err(ConfigError::new("proxy", "listeners", "drain, and serve in no other way any more"));
        }
        let Common { secrets, protocols, .. } = &self.common;
        next.config.clusters.iter().try_for_each(|cluster| find_check(cluster, protocols))?;
        next.config.listeners.iter().try_for_each(|listener| secrets.check_listener(listener))?;
        next.config.clusters.iter().try_for_each(|cluster| secrets.check_cluster(cluster))
    }

    /// Has the listeners of `next` use the tables that are here already. Returns these, with the users that they will
    /// have.
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
            // the new ones accept before the old ones cease to, also where they wait for their routes first
            let before = self.listeners.remove(&name);
            self.serve(prepared, sockets);
            match before {
                Some(before) => {
                    self.end_after(&name, before.drain, grace);
                    updated.changed.push(name);
                }
                None => updated.added.push(name),
            }
        }
        for name in gone {
            if let Some(before) = self.listeners.remove(&name) {
                self.end(before.drain, grace);
                updated.removed.push(name);
            }
        }
        Ok(updated)
    }

    /// Has what came before a listener finish within `grace`, once that takes connections or goes itself.
    fn end_after(&mut self, listener: &str, before: Drain, grace: Duration) {
        match self.listeners.get(listener) {
            Some(Serving { warming, drain, .. }) if !warming.was_warm() => {
                let (warming, drain) = (warming.clone(), drain.clone());
                self.end_when(before, grace, async move {
                    tokio::select! {
                        () = warming.over() => {}
                        () = drain.reached(Phase::Draining) => {}
                    }
                });
            }
            _ => self.end(before, grace),
        }
    }

    /// Has what a drain tells finish within `grace`.
    fn end(&mut self, drain: Drain, grace: Duration) {
        drain.begin();
        self.end_when(drain, grace, std::future::ready(()));
    }

    fn end_when(&mut self, drain: Drain, grace: Duration, when: impl Future<Output = ()> + Send + 'static) {
        self.ending.push(drain.clone());
        self.spawn(async move {
            when.await;
            drain.begin();
            sleep(grace).await;
            drain.close();
        });
    }

    /// Does the rest of an update when all has ended that goes by an earlier configuration.
    fn settle(&mut self, rest: Rest) {
        self.ending.retain(|drain| drain.phase() != Phase::Closing);
        if self.ending.is_empty() {
            rest.settle();
        } else {
            self.spawn(rest.settle_after(self.ending.clone()));
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(worker) = self.workers.first() {
            worker.handle().spawn(task);
        }
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
