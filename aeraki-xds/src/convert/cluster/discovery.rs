//! How the endpoints of a cluster are found.

use std::time::Duration;

use aeraki_route::config::{ConfigError, Discovery, Dns, OriginalDst};

use crate::convert::at::At;
use crate::convert::duration;
use crate::proto::envoy::config::cluster::v3 as proto;
use proto::cluster::{ClusterDiscoveryType, DiscoveryType, LbConfig, LbPolicy};

/// Converts the type of a cluster and what belongs to it.
pub(super) fn from_proto(cluster: &proto::Cluster, at: &At<'_>) -> Result<Discovery, ConfigError> {
    let kind = match cluster.cluster_discovery_type {
        None => DiscoveryType::Static.into(),
        Some(ClusterDiscoveryType::Type(kind)) => kind,
    };
    match DiscoveryType::try_from(kind) {
        Ok(DiscoveryType::Static) => Ok(Discovery::Static),
        Ok(DiscoveryType::StrictDns) => Ok(Discovery::StrictDns(dns(cluster, at)?)),
        Ok(DiscoveryType::LogicalDns) => Ok(Discovery::LogicalDns(dns(cluster, at)?)),
        Ok(DiscoveryType::OriginalDst) => Ok(Discovery::OriginalDst(original_dst(cluster, at)?)),
        other => {
            let name = other.map_or_else(|_| kind.to_string(), |other| other.as_str_name().to_owned());
            Err(at.field("type").refuse(format!("{name} is not supported: use {SUPPORTED}")))
        }
    }
}

fn dns(cluster: &proto::Cluster, at: &At<'_>) -> Result<Dns, ConfigError> {
    let refresh = duration::exact_from_proto(cluster.dns_refresh_rate.as_ref(), &at.field("dns_refresh_rate"))?;
    Ok(Dns::every(refresh.unwrap_or(DNS_REFRESH)).with_respect_ttl(cluster.respect_dns_ttl))
}

fn original_dst(cluster: &proto::Cluster, at: &At<'_>) -> Result<OriginalDst, ConfigError> {
    if cluster.lb_policy != i32::from(LbPolicy::ClusterProvided) {
        return Err(at.field("lb_policy").refuse("must be CLUSTER_PROVIDED: clients say where they want to go"));
    }
    let mut converted = OriginalDst::default();
    let interval = cluster.cleanup_interval.as_ref();
    if let Some(interval) = duration::exact_from_proto(interval, &at.field("cleanup_interval"))? {
        converted.cleanup_interval = interval;
    }
    let Some(LbConfig::OriginalDstLbConfig(config)) = &cluster.lb_config else { return Ok(converted) };
    let at = &at.field("original_dst_lb_config");
    at.refuse_used(&[
        ("use_http_header", config.use_http_header),
        ("http_header_name", !config.http_header_name.is_empty()),
    ])?;
    let port = config.upstream_port_override.filter(|port| *port != 0).map(|port| {
        u16::try_from(port).map_err(|_| at.field("upstream_port_override").refuse(format!("{port} is not a port")))
    });
    converted.port_override = port.transpose()?;
    Ok(converted)
}

const SUPPORTED: &str = "STATIC, STRICT_DNS, LOGICAL_DNS or ORIGINAL_DST";
/// Envoy's default for `dns_refresh_rate`.
const DNS_REFRESH: Duration = Duration::from_secs(5);
