//! Clusters in Envoy's text form: `cluster::endpoint::property::value`.

use std::{
    fmt::{self, Write},
    sync::Arc,
};

use aeraki_route::config::RoutingPriority;

use crate::upstream::{Cluster, Clusters, Seen};

/// Writes the clusters that every worker has, in the order of their names.
pub(super) fn to_text(workers: &[Arc<Clusters>]) -> String {
    let Some((first, others)) = workers.split_first() else { return String::new() };
    let mut clusters = first.list();
    clusters.sort_unstable_by(|one, other| one.config().name.cmp(&other.config().name));
    let mut text = String::new();
    for cluster in clusters {
        let siblings = others.iter().filter_map(|other| other.get(&cluster.config().name));
        // nothing can fail in writing to memory
        let _ = write(&mut text, &cluster, siblings);
    }
    text
}

fn write(text: &mut String, cluster: &Cluster, siblings: impl Iterator<Item = Arc<Cluster>>) -> fmt::Result {
    let config = cluster.config();
    let name = &config.name;
    for (priority, called) in [(RoutingPriority::Default, "default"), (RoutingPriority::High, "high")] {
        let most = config.limits.of(priority);
        let limits = [
            ("max_connections", Some(most.max_connections)),
            ("max_pending_requests", Some(most.max_pending_requests)),
            ("max_requests", most.max_requests),
            ("max_retries", most.max_retries),
        ];
        for (limit, most) in limits {
            let Some(most) = most else { continue };
            writeln!(text, "{name}::{called}_priority::{limit}::{most}")?;
        }
    }
    for (address, seen) in cluster.seen(siblings) {
        let Seen { config, flags, connections, requests } = &seen;
        let flags = if flags.is_empty() { "healthy".to_owned() } else { flags.concat() };
        let (weight, place, priority) = (config.weight, &config.locality, config.priority);
        writeln!(text, "{name}::{address}::cx_active::{connections}")?;
        writeln!(text, "{name}::{address}::rq_active::{requests}")?;
        writeln!(text, "{name}::{address}::health_flags::{flags}")?;
        writeln!(text, "{name}::{address}::weight::{weight}")?;
        writeln!(text, "{name}::{address}::region::{}", place.region)?;
        writeln!(text, "{name}::{address}::zone::{}", place.zone)?;
        writeln!(text, "{name}::{address}::sub_zone::{}", place.sub_zone)?;
        writeln!(text, "{name}::{address}::priority::{priority}")?;
    }
    Ok(())
}
