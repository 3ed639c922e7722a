//! `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`.

use aeraki_route::config::{ConfigError, Destination, HashPolicy, TcpProxy, WeightedCluster};

use super::at::At;
use super::unpack::unpack;
use super::{duration, labels};
use crate::Any;
use crate::proto::envoy::extensions::filters::network::tcp_proxy::v3 as proto;
use crate::proto::envoy::r#type::v3 as kinds;
use kinds::hash_policy::PolicySpecifier;
use proto::tcp_proxy::ClusterSpecifier;

pub(super) fn from_any(config: &Any, at: &At<'_>) -> Result<TcpProxy, ConfigError> {
    let proxy: proto::TcpProxy = unpack(config, at)?;
    refuse_unsupported(&proxy, at)?;
    let mut converted = TcpProxy::to(&proxy.stat_prefix, destination(&proxy, at)?);
    converted.metadata_match = labels::criteria(proxy.metadata_match.as_ref(), &at.field("metadata_match"))?;
    converted.hash_policy = hash_policy(&proxy.hash_policy, at)?;
    if let Some(idle) = duration::exact_from_proto(proxy.idle_timeout.as_ref(), &at.field("idle_timeout"))? {
        // Envoy's word for never
        converted.idle_timeout = Some(idle).filter(|idle| !idle.is_zero());
    }
    let at_duration = &at.field("max_downstream_connection_duration");
    converted.max_downstream_connection_duration =
        duration::exact_from_proto(proxy.max_downstream_connection_duration.as_ref(), at_duration)?;
    converted.max_connect_attempts = proxy.max_connect_attempts.unwrap_or(converted.max_connect_attempts);
    Ok(converted)
}

/// Refuses what would make a connection go elsewhere, or end at another time, than it will.
fn refuse_unsupported(proxy: &proto::TcpProxy, at: &At<'_>) -> Result<(), ConfigError> {
    let used = [
        ("on_demand", proxy.on_demand.is_some()),
        ("downstream_idle_timeout", proxy.downstream_idle_timeout.is_some()),
        ("upstream_idle_timeout", proxy.upstream_idle_timeout.is_some()),
        ("backoff_options", proxy.backoff_options.is_some()),
        ("tunneling_config", proxy.tunneling_config.is_some()),
        (
            "max_downstream_connection_duration_jitter_percentage",
            proxy.max_downstream_connection_duration_jitter_percentage.is_some(),
        ),
        ("proxy_protocol_tlvs", !proxy.proxy_protocol_tlvs.is_empty()),
        ("upstream_connect_mode", proxy.upstream_connect_mode != i32::from(proto::UpstreamConnectMode::Immediate)),
        ("max_early_data_bytes", proxy.max_early_data_bytes.is_some()),
        ("check_drain_close", proxy.check_drain_close.unwrap_or_default()),
    ];
    match used.iter().find(|(_, used)| *used) {
        Some((field, _)) => Err(at.field(field).refuse("is not supported")),
        None => Ok(()),
    }
}

fn destination(proxy: &proto::TcpProxy, at: &At<'_>) -> Result<Destination, ConfigError> {
    match at.field("cluster").require(proxy.cluster_specifier.as_ref())? {
        ClusterSpecifier::Cluster(cluster) => Ok(Destination::Cluster(cluster.clone())),
        ClusterSpecifier::WeightedClusters(weighted) => {
            let at = &at.field("weighted_clusters");
            let clusters = weighted.clusters.iter().enumerate().map(|(index, cluster)| {
                let at = at.named("clusters", index, &cluster.name);
                let mut converted = WeightedCluster::new(&cluster.name, cluster.weight);
                let at = at.field("metadata_match");
                converted.metadata_match = labels::criteria(cluster.metadata_match.as_ref(), &at)?;
                Ok(converted)
            });
            clusters.collect::<Result<_, _>>().map(Destination::Weighted)
        }
    }
}

fn hash_policy(policies: &[kinds::HashPolicy], at: &At<'_>) -> Result<Vec<HashPolicy>, ConfigError> {
    let convert = |(index, policy): (usize, &kinds::HashPolicy)| match &policy.policy_specifier {
        Some(PolicySpecifier::SourceIp(_)) => Ok(HashPolicy::source_ip()),
        _ => Err(at.item("hash_policy", index).refuse("is not supported: use source_ip")),
    };
    policies.iter().enumerate().map(convert).collect()
}
