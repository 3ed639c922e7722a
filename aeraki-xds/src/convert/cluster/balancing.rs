//! The fields of `envoy.config.cluster.v3.Cluster` by which endpoints are chosen.

use aeraki_route::config::{
    Cluster, CommonLb, ConfigError, Decimal, Discovery, HashFunction, LbPolicy, LeastRequest, Maglev, RingHash,
    SlowStart, ZoneAware,
};

use crate::convert::at::At;
use crate::convert::duration;
use crate::proto::envoy::config::cluster::v3 as proto;
use proto::cluster::common_lb_config::{ConsistentHashingLbConfig, LocalityConfigSpecifier, ZoneAwareLbConfig};
use proto::cluster::ring_hash_lb_config::HashFunction as HashFunctionProto;
use proto::cluster::{
    CommonLbConfig, LbConfig, LbPolicy as LbPolicyProto, LeastRequestLbConfig, MaglevLbConfig, RingHashLbConfig,
    SlowStartConfig,
};

/// Sets policy, slow start and what holds under every policy.
pub(super) fn apply(cluster: &proto::Cluster, converted: &mut Cluster, at: &At<'_>) -> Result<(), ConfigError> {
    if cluster.load_balancing_policy.is_some() {
        return Err(at.field("load_balancing_policy").refuse("is not supported: use lb_policy"));
    }
    refuse_foreign(cluster, at)?;
    let common = cluster.common_lb_config.as_ref();
    converted.common_lb = common_lb(common, &at.field("common_lb_config"))?;
    let factor = balance_factor(common, &at.field("common_lb_config").field("consistent_hashing_lb_config"))?;
    converted.lb_policy = policy(cluster, &converted.discovery, factor, at)?;
    converted.slow_start = slow_start(cluster.lb_config.as_ref(), at)?;
    if let Some(factor) = cluster.load_assignment.as_ref().and_then(|assignment| assignment.policy.as_ref()) {
        converted.common_lb.overprovisioning_factor = factor.overprovisioning_factor.unwrap_or(OVERPROVISIONING);
    }
    Ok(())
}

fn policy(
    cluster: &proto::Cluster,
    discovery: &Discovery,
    factor: Option<u32>,
    at: &At<'_>,
) -> Result<LbPolicy, ConfigError> {
    let policy = match (LbPolicyProto::try_from(cluster.lb_policy), cluster.lb_config.as_ref()) {
        (Ok(LbPolicyProto::RoundRobin), _) => LbPolicy::RoundRobin,
        // there is nothing to choose from: the type of the cluster says where requests go
        (Ok(LbPolicyProto::ClusterProvided), _) if matches!(discovery, Discovery::OriginalDst(_)) => {
            LbPolicy::default()
        }
        (Ok(LbPolicyProto::Random), _) => LbPolicy::Random,
        (Ok(LbPolicyProto::LeastRequest), Some(LbConfig::LeastRequestLbConfig(config))) => {
            LbPolicy::LeastRequest(least_request(config, &at.field("least_request_lb_config"))?)
        }
        (Ok(LbPolicyProto::LeastRequest), _) => LbPolicy::LeastRequest(LeastRequest::default()),
        (Ok(LbPolicyProto::RingHash), Some(LbConfig::RingHashLbConfig(config))) => {
            LbPolicy::RingHash(ring_hash(config, factor, &at.field("ring_hash_lb_config"))?)
        }
        (Ok(LbPolicyProto::RingHash), _) => LbPolicy::RingHash(ring_hash(&RingHashLbConfig::default(), factor, at)?),
        (Ok(LbPolicyProto::Maglev), Some(LbConfig::MaglevLbConfig(config))) => LbPolicy::Maglev(maglev(config, factor)),
        (Ok(LbPolicyProto::Maglev), _) => LbPolicy::Maglev(maglev(&MaglevLbConfig::default(), factor)),
        _ => {
            let reason = format!(
                "{} is not supported: use ROUND_ROBIN, RANDOM, LEAST_REQUEST, RING_HASH or MAGLEV",
                name(cluster.lb_policy)
            );
            return Err(at.field("lb_policy").refuse(reason));
        }
    };
    if factor.is_some() && !policy.is_hashed() {
        let at = at.field("common_lb_config");
        let at = at.field("consistent_hashing_lb_config");
        return Err(at.field("hash_balance_factor").refuse("needs the lb_policy RING_HASH or MAGLEV"));
    }
    Ok(policy)
}

/// Refuses the configuration of a policy that is not the one in force.
fn refuse_foreign(cluster: &proto::Cluster, at: &At<'_>) -> Result<(), ConfigError> {
    let (field, policy) = match &cluster.lb_config {
        None => return Ok(()),
        Some(LbConfig::RoundRobinLbConfig(_)) => ("round_robin_lb_config", LbPolicyProto::RoundRobin),
        Some(LbConfig::LeastRequestLbConfig(_)) => ("least_request_lb_config", LbPolicyProto::LeastRequest),
        Some(LbConfig::RingHashLbConfig(_)) => ("ring_hash_lb_config", LbPolicyProto::RingHash),
        Some(LbConfig::MaglevLbConfig(_)) => ("maglev_lb_config", LbPolicyProto::Maglev),
        Some(LbConfig::OriginalDstLbConfig(_)) => ("original_dst_lb_config", LbPolicyProto::ClusterProvided),
    };
    if cluster.lb_policy == i32::from(policy) {
        return Ok(());
    }
    let reason = format!("belongs to {}, and lb_policy is {}", policy.as_str_name(), name(cluster.lb_policy));
    Err(at.field(field).refuse(reason))
}

fn name(policy: i32) -> String {
    LbPolicyProto::try_from(policy).map_or_else(|_| policy.to_string(), |known| known.as_str_name().to_owned())
}

fn least_request(config: &LeastRequestLbConfig, at: &At<'_>) -> Result<LeastRequest, ConfigError> {
    let mut converted = LeastRequest::default();
    converted.choices = config.choice_count.unwrap_or(converted.choices);
    if let Some(bias) = &config.active_request_bias {
        converted.active_request_bias = decimal(bias.default_value, &at.field("active_request_bias"))?;
    }
    Ok(converted)
}

fn ring_hash(config: &RingHashLbConfig, factor: Option<u32>, at: &At<'_>) -> Result<RingHash, ConfigError> {
    let mut converted = RingHash::default();
    converted.minimum = config.minimum_ring_size.map_or(converted.minimum, saturating);
    converted.maximum = config.maximum_ring_size.map_or(converted.maximum, saturating);
    converted.hash = match HashFunctionProto::try_from(config.hash_function) {
        Ok(HashFunctionProto::XxHash) => HashFunction::XxHash,
        Ok(HashFunctionProto::MurmurHash2) => HashFunction::MurmurHash2,
        Err(_) => return Err(at.field("hash_function").refuse(format!("{} is unknown", config.hash_function))),
    };
    converted.balance_factor = factor;
    Ok(converted)
}

fn maglev(config: &MaglevLbConfig, factor: Option<u32>) -> Maglev {
    let mut converted = Maglev::default();
    converted.table_size = config.table_size.map_or(converted.table_size, saturating);
    converted.balance_factor = factor;
    converted
}

/// What is too large for this is too large for any table, which the check of the cluster says, and more than all
/// endpoints.
fn saturating(size: u64) -> u32 {
    size.try_into().unwrap_or(u32::MAX)
}

fn slow_start(config: Option<&LbConfig>, at: &At<'_>) -> Result<Option<SlowStart>, ConfigError> {
    let (field, config) = match config {
        Some(LbConfig::RoundRobinLbConfig(config)) => ("round_robin_lb_config", config.slow_start_config.as_ref()),
        Some(LbConfig::LeastRequestLbConfig(config)) => ("least_request_lb_config", config.slow_start_config.as_ref()),
        _ => return Ok(None),
    };
    let at = at.field(field);
    let at = at.field("slow_start_config");
    config.map(|config| slow_start_from_proto(config, &at)).transpose().map(Option::flatten)
}

/// Converts a slow start; without a window there is none, as in Envoy.
fn slow_start_from_proto(config: &SlowStartConfig, at: &At<'_>) -> Result<Option<SlowStart>, ConfigError> {
    let window = config.slow_start_window.as_ref();
    let Some(window) = duration::positive_from_proto(window, &at.field("slow_start_window"))? else { return Ok(None) };
    let mut converted = SlowStart::new(window);
    if let Some(aggression) = &config.aggression {
        converted.aggression = decimal(aggression.default_value, &at.field("aggression"))?;
    }
    if let Some(percent) = &config.min_weight_percent {
        converted.min_weight_percent = decimal(percent.value, &at.field("min_weight_percent"))?;
    }
    Ok(Some(converted))
}

fn common_lb(config: Option<&CommonLbConfig>, at: &At<'_>) -> Result<CommonLb, ConfigError> {
    let mut converted = CommonLb::default();
    let Some(config) = config else { return Ok(converted) };
    if let Some(threshold) = &config.healthy_panic_threshold {
        converted.healthy_panic_threshold = decimal(threshold.value, &at.field("healthy_panic_threshold"))?;
    }
    match &config.locality_config_specifier {
        Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_)) => converted.locality_weighted = true,
        Some(LocalityConfigSpecifier::ZoneAwareLbConfig(zone)) => {
            converted.zone_aware = zone_aware(zone, &at.field("zone_aware_lb_config"))?;
        }
        None => {}
    }
    Ok(converted)
}

fn zone_aware(config: &ZoneAwareLbConfig, at: &At<'_>) -> Result<ZoneAware, ConfigError> {
    let mut converted = ZoneAware::default();
    if let Some(percent) = &config.routing_enabled {
        converted.routing_enabled = decimal(percent.value, &at.field("routing_enabled"))?;
    }
    converted.min_cluster_size = config.min_cluster_size.map_or(converted.min_cluster_size, saturating);
    converted.fail_traffic_on_panic = config.fail_traffic_on_panic;
    Ok(converted)
}

/// Returns the bound of endpoints that are chosen by hash, in per cent of the mean.
fn balance_factor(common: Option<&CommonLbConfig>, at: &At<'_>) -> Result<Option<u32>, ConfigError> {
    let config = common.and_then(|common| common.consistent_hashing_lb_config.as_ref());
    let Some(ConsistentHashingLbConfig { use_hostname_for_hashing, hash_balance_factor }) = config else {
        return Ok(None);
    };
    if *use_hostname_for_hashing {
        let reason = "is not supported: give endpoints a hash_key in their metadata under envoy.lb";
        return Err(at.field("use_hostname_for_hashing").refuse(reason));
    }
    Ok(*hash_balance_factor)
}

fn decimal(number: f64, at: &At<'_>) -> Result<Decimal, ConfigError> {
    Decimal::new(number).ok_or_else(|| at.refuse("must be a number of at least 0"))
}

/// Envoy's default for `overprovisioning_factor`, in per cent.
const OVERPROVISIONING: u32 = 140;
