//! Keeps dynamic routes at what their control planes and files say.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aeraki_core::{
    proxy::Proxy,
    route::{
        SharedRules,
        config::{self, Cluster, RouteConfig, RouteOrigin, RouteSubscription},
    },
};
use aeraki_xds::{
    RouteFile,
    client::{Event, Subscriber, UpdateStats},
};
use anyhow::{Context, Result, bail};
use tokio::task::AbortHandle;

/// The route tables that control planes and files keep up to date, and one connection for each control plane.
#[derive(Default)]
pub(crate) struct Routes {
    control_planes: ControlPlanes,
    tables: BTreeMap<String, Table>,
    stats: Arc<UpdateStats>,
}

/// What keeps the tables of a configuration up to date, by their names, and the control planes among that.
#[derive(Default)]
pub(crate) struct Sources {
    of_tables: BTreeMap<String, Source>,
    control_planes: ControlPlanes,
}

/// The clusters of control planes, by their names, and who subscribes there.
type ControlPlanes = BTreeMap<String, (Cluster, Arc<Subscriber>)>;

struct Table {
    rules: Arc<SharedRules>,
    source: Source,
    task: AbortHandle,
}

/// What keeps a table up to date.
#[derive(Clone)]
pub(crate) enum Source {
    ControlPlane(Arc<Subscriber>),
    File(Arc<RouteFile>),
}

impl Source {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ControlPlane(one), Self::ControlPlane(other)) => Arc::ptr_eq(one, other),
            (Self::File(one), Self::File(other)) => one.path() == other.path(),
            _ => false,
        }
    }

    async fn drive(self, name: &str, rules: Arc<SharedRules>) {
        match self {
            Self::ControlPlane(subscriber) => subscriber.drive(name, rules).await,
            Self::File(file) => file.drive(name, rules).await,
        }
    }
}

impl Routes {
    /// Finds what keeps the tables of a proxy up to date.
    ///
    /// # Errors
    /// When the cluster of a control plane has no endpoint.
    pub(crate) fn sources(&self, proxy: &Proxy) -> Result<Sources> {
        let mut sources = Sources::default();
        for (RouteSubscription { route_config_name, origin, .. }, _) in proxy.subscriptions() {
            let source = match origin {
                RouteOrigin::Cluster(cluster) => {
                    Source::ControlPlane(self.subscriber(proxy.config(), cluster, &mut sources.control_planes)?)
                }
                RouteOrigin::File(path) => {
                    let file = RouteFile::new(path).with_stats(Arc::clone(&self.stats)).with_observer(log);
                    Source::File(Arc::new(file))
                }
                _ => bail!("routes come from where this proxy does not know"),
            };
            sources.of_tables.insert(route_config_name.clone(), source);
        }
        Ok(sources)
    }

    /// Tells whether a table is kept up to date from its file already, so that a fault of the file is no news.
    pub(crate) fn reads(&self, subscription: &RouteSubscription) -> bool {
        let table = self.tables.get(&subscription.route_config_name);
        match (table.map(|table| &table.source), &subscription.origin) {
            (Some(Source::File(file)), RouteOrigin::File(path)) => file.path() == path,
            _ => false,
        }
    }

    /// Keeps these tables up to date, and no others any more; nor is any other control plane spoken to.
    pub(crate) fn follow<'a>(
        &mut self,
        mut sources: Sources,
        subscriptions: impl Iterator<Item = (&'a RouteSubscription, &'a Arc<SharedRules>)>,
    ) {
        let mut wanted = BTreeSet::new();
        for (RouteSubscription { route_config_name: name, .. }, rules) in subscriptions {
            if let Some(source) = sources.of_tables.remove(name) {
                wanted.insert(name.clone());
                self.subscribe(name, rules, source);
            }
        }
        self.tables.retain(|name, table| {
            let stays = wanted.contains(name);
            if !stays {
                table.task.abort();
            }
            stays
        });
        self.control_planes = sources.control_planes;
        self.stats.keep(self.tables.keys().map(String::as_str));
    }

    /// Returns what became of the tables that came.
    pub(crate) const fn stats(&self) -> &Arc<UpdateStats> {
        &self.stats
    }

    fn subscribe(&mut self, name: &str, rules: &Arc<SharedRules>, source: Source) {
        if let Some(table) = self.tables.get(name) {
            if Arc::ptr_eq(&table.rules, rules) && table.source.is(&source) {
                return;
            }
            table.task.abort();
        }
        let (rules, drives) = (Arc::clone(rules), (name.to_owned(), source.clone(), Arc::clone(rules)));
        let task = tokio::spawn(async move {
            let (name, source, rules) = drives;
            source.drive(&name, rules).await;
        });
        self.tables.insert(name.to_owned(), Table { rules, source, task: task.abort_handle() });
    }

    /// Returns the subscriber at a control plane, the one that there is unless its cluster is another now, and puts it
    /// among those that are `needed`.
    fn subscriber(&self, config: &config::Proxy, cluster: &str, needed: &mut ControlPlanes) -> Result<Arc<Subscriber>> {
        let found = control_plane(config, cluster)?;
        let known = [&*needed, &self.control_planes].into_iter().find_map(|known| known.get(cluster));
        let subscriber = match known.filter(|(known, _)| known == found) {
            Some((_, subscriber)) => Arc::clone(subscriber),
            None => {
                let new = Subscriber::new(found, &config.node)?.with_stats(Arc::clone(&self.stats));
                Arc::new(new.with_observer(log))
            }
        };
        needed.insert(cluster.to_owned(), (found.clone(), Arc::clone(&subscriber)));
        Ok(subscriber)
    }
}

/// Checks that a table can be had: puts that of a file in force at once, and looks for the control plane of another.
///
/// # Errors
/// When the file or its table cannot be used, or the cluster of the control plane has no endpoint.
pub(crate) fn check(config: &config::Proxy, subscription: &RouteSubscription, rules: &SharedRules) -> Result<()> {
    match &subscription.origin {
        RouteOrigin::Cluster(cluster) => _ = Subscriber::new(control_plane(config, cluster)?, &config.node)?,
        RouteOrigin::File(path) => {
            let table = RouteFile::new(path).read(&subscription.route_config_name)?;
            check_clusters(config, &table)
                .and_then(|()| Ok(rules.update(&table)?))
                .with_context(|| path.display().to_string())?;
        }
        _ => {}
    }
    Ok(())
}

/// Refuses a route to a cluster that is not there: all of them are in the bootstrap.
fn check_clusters(config: &config::Proxy, table: &RouteConfig) -> Result<()> {
    let is_known = |name: &str| config.clusters.iter().any(|cluster| cluster.name == name);
    match table.clusters().find(|(.., name)| !is_known(name)) {
        Some((index, name)) => {
            bail!(
                "route configuration {:?}: {}.route: there is no cluster {name:?}",
                table.name,
                table.routes[index].path(index)
            )
        }
        None => Ok(()),
    }
}

fn control_plane<'a>(config: &'a config::Proxy, cluster: &str) -> Result<&'a Cluster> {
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
