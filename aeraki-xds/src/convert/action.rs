//! What the HTTP-shaped and the native route action share: destinations, mirrors, durations.

use std::time::Duration;

use aeraki_route::config::{ConfigError, Denominator, Destination, FractionalPercent, WeightedCluster};

use super::at::At;
use crate::proto::envoy::config::core::v3::RuntimeFractionalPercent;
use crate::proto::envoy::config::route::v3::{WeightedCluster as WeightedProto, weighted_cluster::ClusterWeight};
use crate::proto::envoy::r#type::v3::{FractionalPercent as FractionProto, fractional_percent::DenominatorType};

pub(super) fn weighted_from_proto(weighted: &WeightedProto, at: &At<'_>) -> Result<Destination, ConfigError> {
    let at = at.field("weighted_clusters");
    let convert = |(index, cluster): (usize, &ClusterWeight)| {
        let at = at.named("clusters", index, &cluster.name);
        let weight = at.field("weight").require(cluster.weight)?;
        Ok(WeightedCluster::new(&cluster.name, weight))
    };
    Ok(Destination::Weighted(weighted.clusters.iter().enumerate().map(convert).collect::<Result<_, _>>()?))
}

pub(super) fn weighted_to_proto(clusters: &[WeightedCluster]) -> WeightedProto {
    let convert = |cluster: &WeightedCluster| ClusterWeight {
        name: cluster.name.clone(),
        weight: Some(cluster.weight),
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

/// Reads the share of a mirror; an absent one means everything.
pub(super) fn fraction_from_proto(
    fraction: Option<&RuntimeFractionalPercent>,
    at: &At<'_>,
) -> Result<FractionalPercent, ConfigError> {
    let Some(value) = fraction.and_then(|fraction| fraction.default_value.as_ref()) else {
        return Ok(FractionalPercent::ALWAYS);
    };
    let denominator = match DenominatorType::try_from(value.denominator) {
        Ok(DenominatorType::Hundred) => Denominator::Hundred,
        Ok(DenominatorType::TenThousand) => Denominator::TenThousand,
        Ok(DenominatorType::Million) => Denominator::Million,
        Err(_) => return Err(at.field("runtime_fraction").refuse("has an unknown denominator")),
    };
    Ok(FractionalPercent::new(value.numerator, denominator))
}

pub(super) fn fraction_to_proto(fraction: FractionalPercent) -> RuntimeFractionalPercent {
    let denominator = match fraction.denominator.value() {
        100 => DenominatorType::Hundred,
        10_000 => DenominatorType::TenThousand,
        _ => DenominatorType::Million,
    };
    let value = FractionProto { numerator: fraction.numerator, denominator: denominator.into() };
    RuntimeFractionalPercent { default_value: Some(value), ..RuntimeFractionalPercent::default() }
}

/// Reads a duration where zero means none.
pub(super) fn duration_from_proto(
    duration: Option<&prost_types::Duration>,
    at: &At<'_>,
) -> Result<Option<Duration>, ConfigError> {
    let Some(duration) = duration else { return Ok(None) };
    let duration = Duration::try_from(*duration).map_err(|_| at.refuse("must not be negative"))?;
    Ok(Some(duration).filter(|duration| !duration.is_zero()))
}
