//! What the HTTP-shaped and the native route action share: weighted clusters.

use aeraki_route::config::{ConfigError, Destination, WeightedCluster};

use super::at::At;
use super::labels;
use crate::proto::envoy::config::route::v3::{WeightedCluster as WeightedProto, weighted_cluster::ClusterWeight};

pub(super) fn from_proto(weighted: &WeightedProto, at: &At<'_>) -> Result<Destination, ConfigError> {
    let at = at.field("weighted_clusters");
    let convert = |(index, cluster): (usize, &ClusterWeight)| {
        let at = at.named("clusters", index, &cluster.name);
        let weight = at.field("weight").require(cluster.weight)?;
        let mut converted = WeightedCluster::new(&cluster.name, weight);
        converted.metadata_match = labels::criteria(cluster.metadata_match.as_ref(), &at.field("metadata_match"))?;
        Ok(converted)
    };
    Ok(Destination::Weighted(weighted.clusters.iter().enumerate().map(convert).collect::<Result<_, _>>()?))
}

pub(super) fn to_proto(clusters: &[WeightedCluster]) -> WeightedProto {
    let convert = |cluster: &WeightedCluster| ClusterWeight {
        name: cluster.name.clone(),
        weight: Some(cluster.weight),
        metadata_match: labels::to_proto(&cluster.metadata_match),
        ..ClusterWeight::default()
    };
    let total = clusters.iter().fold(0u32, |sum, cluster| sum.saturating_add(cluster.weight));
    WeightedProto {
        clusters: clusters.iter().map(convert).collect(),
        // Older Envoys take 100 for an absent total and refuse other sums.
        total_weight: Some(total),
        ..WeightedProto::default()
    }
}
