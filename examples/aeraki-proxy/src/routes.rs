//! Keeps dynamic routes at what their control planes say.

use std::{collections::BTreeMap, sync::Arc};

use aeraki_core::proxy::Proxy;
use aeraki_xds::client::{Event, Subscriber};
use anyhow::{Context, Result};

/// Subscribes to every dynamic route table of `proxy`, one connection for each control plane.
///
/// # Errors
/// When the cluster of a control plane has no endpoint.
pub(crate) fn follow(proxy: &Proxy) -> Result<()> {
    let mut control_planes: BTreeMap<&str, Arc<Subscriber>> = BTreeMap::new();
    let subscriptions: Vec<_> = proxy.subscriptions().collect();
    for (subscription, rules) in subscriptions {
        let subscriber = match control_planes.get(subscription.cluster.as_str()) {
            Some(subscriber) => Arc::clone(subscriber),
            None => {
                let subscriber = Arc::new(subscriber(proxy, &subscription.cluster)?);
                control_planes.insert(&subscription.cluster, Arc::clone(&subscriber));
                subscriber
            }
        };
        let (name, rules) = (subscription.route_config_name.clone(), Arc::clone(rules));
        tokio::spawn(async move { subscriber.drive(&name, rules).await });
    }
    Ok(())
}

fn subscriber(proxy: &Proxy, cluster: &str) -> Result<Subscriber> {
    let config = proxy.config();
    let found = config.clusters.iter().find(|known| known.name == cluster);
    let found = found.with_context(|| format!("cluster {cluster:?} of a control plane does not exist"))?;
    Ok(Subscriber::new(found, &config.node)?.with_observer(log))
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
