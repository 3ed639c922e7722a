//! Keeps dynamic routes at what their control planes say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aeraki_core::route::{
    SharedRules,
    config::{Cluster, Proxy, RouteSubscription},
};
use aeraki_xds::client::{Event, Subscriber, UpdateStats};
use anyhow::{Context, Result};
use tokio::task::AbortHandle;

/// The route tables that control planes keep up to date, and one connection for each control plane.
#[derive(Default)]
pub(crate) struct Routes {
    control_planes: BTreeMap<String, (Cluster, Arc<Subscriber>)>,
    tables: BTreeMap<String, Table>,
    stats: Arc<UpdateStats>,
}

struct Table {
    rules: Arc<SharedRules>,
    subscriber: Arc<Subscriber>,
    task: AbortHandle,
}

impl Routes {
    /// Subscribes to these tables of a proxy, and to no others any more.
    ///
    /// # Errors
    /// When the cluster of a control plane has no endpoint.
    pub(crate) fn follow<'a>(
        &mut self,
        config: &Proxy,
        subscriptions: impl Iterator<Item = (&'a RouteSubscription, &'a Arc<SharedRules>)>,
    ) -> Result<()> {
        let mut wanted = BTreeSet::new();
        for (subscription, rules) in subscriptions {
            let subscriber = self.subscriber(config, &subscription.cluster)?;
            wanted.insert(subscription.route_config_name.clone());
            self.subscribe(&subscription.route_config_name, rules, subscriber);
        }
        self.tables.retain(|name, table| {
            let stays = wanted.contains(name);
            if !stays {
                table.task.abort();
            }
            stays
        });
        self.stats.keep(self.tables.keys());
        Ok(())
    }

    /// Returns what became of the tables that came.
    pub(crate) const fn stats(&self) -> &Arc<UpdateStats> {
        &self.stats
    }

    fn subscribe(&mut self, name: &str, rules: &Arc<SharedRules>, subscriber: Arc<Subscriber>) {
        if let Some(table) = self.tables.get(name) {
            if Arc::ptr_eq(&table.rules, rules) && Arc::ptr_eq(&table.subscriber, &subscriber) {
                return;
            }
            table.task.abort();
        }
        let (rules, drives) = (Arc::clone(rules), (name.to_owned(), Arc::clone(&subscriber), Arc::clone(rules)));
        let task = tokio::spawn(async move {
            let (name, subscriber, rules) = drives;
            subscriber.drive(&name, rules).await;
        });
        self.tables.insert(name.to_owned(), Table { rules, subscriber, task: task.abort_handle() });
    }

    /// Returns the subscriber at a control plane: the one that there is, unless its cluster is another now.
    fn subscriber(&mut self, config: &Proxy, cluster: &str) -> Result<Arc<Subscriber>> {
        let found = control_plane(config, cluster)?;
        if let Some((known, subscriber)) = self.control_planes.get(cluster)
            && known == found
        {
            return Ok(Arc::clone(subscriber));
        }
        let subscriber = Subscriber::new(found, &config.node)?.with_stats(Arc::clone(&self.stats)).with_observer(log);
        let subscriber = Arc::new(subscriber);
        self.control_planes.insert(cluster.to_owned(), (found.clone(), Arc::clone(&subscriber)));
        Ok(subscriber)
    }
}

/// Checks that the control plane of a table can be subscribed to.
///
/// # Errors
/// When its cluster has no endpoint.
pub(crate) fn check(config: &Proxy, subscription: &RouteSubscription) -> Result<()> {
    Subscriber::new(control_plane(config, &subscription.cluster)?, &config.node)?;
    Ok(())
}

fn control_plane<'a>(config: &'a Proxy, cluster: &str) -> Result<&'a Cluster> {
    let found = config.clusters.iter().find(|known| known.name == cluster);
    found.with_context(|| format!("cluster {cluster:?} of a control plane does not exist"))
}

fn log(event: &Event<'_>) {
    match event {
        Event::Connected { name } => tracing::info!(routes = name, "subscribed"),
        Event::Accepted { name, version } => tracing::info!(routes = name, version, "in force"),
        Event::Rejected { name, version, reason } => {
            tracing::error!(routes = name, version, "refused, the last good routes stay: {reason}");
        }
        Event::Empty { name } => tracing::warn!(routes = name, "the control plane has none"),
        Event::Disconnected { name, reason, retry_in } => {
            tracing::warn!(routes = name, ?retry_in, "the control plane is away: {reason}");
        }
        _ => {}
    }
}
