//! `envoy.config.cluster.v3.Cluster`.

use std::time::Duration;

use aeraki_route::config::{Cluster, ClusterLimits, ConfigError, Discovery, Dns, LbPolicy};
use prost_types::{Struct, value::Kind};

use super::at::At;
use super::duration;
use super::endpoint::endpoints_from_proto;
use super::proxy_protocol;
use super::tls;
use crate::proto::envoy::config::cluster::v3 as proto;
use crate::proto::envoy::config::core::v3::RoutingPriority;
use proto::cluster::{ClusterDiscoveryType, DiscoveryType, LbConfig, LbPolicy as LbPolicyProto};

/// Converts and validates a cluster.
///
/// # Errors
///
/// Names the cluster, the field and the reason: a discovery type other than static, strict DNS and logical DNS, a load
/// balancing policy other than round robin, random and least request, TLS that is not supported or would verify nobody,
/// and everything that [`Cluster::validate`] refuses.
pub fn cluster_from_proto(cluster: &proto::Cluster) -> Result<Cluster, ConfigError> {
    let at = &At::resource("cluster", &cluster.name);
    let mut converted = Cluster::new(&cluster.name).with_discovery(discovery(cluster, at)?);
    if let Some(assignment) = &cluster.load_assignment {
        converted.endpoints = endpoints_from_proto(assignment, &at.field("load_assignment"))?;
    }
    converted.lb_policy = lb_policy(cluster, at)?;
    converted.limits = limits(cluster);
    let socket = cluster.transport_socket.as_ref();
    let announced = proxy_protocol::upstream(socket, at)?;
    converted.proxy_protocol = announced.as_ref().map(|(version, _)| *version);
    converted.tls = match &announced {
        Some((_, inner)) => tls::upstream(Some(inner), &at.field("transport_socket").field("typed_config"))?,
        None => tls::upstream(socket, at)?,
    };
    if let Some(timeout) =
        duration::positive_from_proto(cluster.connect_timeout.as_ref(), &at.field("connect_timeout"))?
    {
        converted.connect_timeout = timeout;
    }
    if let Some(settings) = cluster.metadata.as_ref().and_then(|metadata| metadata.filter_metadata.get(OWN_METADATA)) {
        apply_own(settings, &mut converted, &at.field("metadata.filter_metadata.aeraki"))?;
    }
    converted.validate()?;
    Ok(converted)
}

/// Applies what Envoy's clusters have no field for: `depth`, the requests in flight on one connection, and
/// `concurrent`, whether the servers work on several of them at a time.
fn apply_own(settings: &Struct, cluster: &mut Cluster, at: &At<'_>) -> Result<(), ConfigError> {
    for (key, value) in &settings.fields {
        match (key.as_str(), &value.kind) {
            ("concurrent", Some(Kind::BoolValue(concurrent))) => cluster.concurrent = Some(*concurrent),
            ("depth", Some(Kind::NumberValue(depth))) => cluster.depth = Some(whole(*depth, &at.field("depth"))?),
            ("concurrent", _) => return Err(at.field(key).refuse("must be true or false")),
            ("depth", _) => return Err(at.field(key).refuse("must be a number")),
            _ => return Err(at.field(key).refuse("is unknown: use depth or concurrent")),
        }
    }
    Ok(())
}

/// Protobuf's structs know numbers as doubles only.
fn whole(number: f64, at: &At<'_>) -> Result<u32, ConfigError> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is compared")]
    let whole = number as u32;
    if f64::from(whole) == number { Ok(whole) } else { Err(at.refuse("must be a whole number of at least 0")) }
}

fn discovery(cluster: &proto::Cluster, at: &At<'_>) -> Result<Discovery, ConfigError> {
    let kind = match cluster.cluster_discovery_type {
        None => DiscoveryType::Static.into(),
        Some(ClusterDiscoveryType::Type(kind)) => kind,
    };
    match DiscoveryType::try_from(kind) {
        Ok(DiscoveryType::Static) => Ok(Discovery::Static),
        Ok(DiscoveryType::StrictDns) => Ok(Discovery::StrictDns(dns(cluster, at)?)),
        Ok(DiscoveryType::LogicalDns) => Ok(Discovery::LogicalDns(dns(cluster, at)?)),
        other => {
            let name = other.map_or_else(|_| kind.to_string(), |other| other.as_str_name().to_owned());
            Err(at.field("type").refuse(format!("{name} is not supported: use STATIC, STRICT_DNS or LOGICAL_DNS")))
        }
    }
}

fn dns(cluster: &proto::Cluster, at: &At<'_>) -> Result<Dns, ConfigError> {
    let refresh = duration::positive_from_proto(cluster.dns_refresh_rate.as_ref(), &at.field("dns_refresh_rate"))?;
    Ok(Dns::every(refresh.unwrap_or(DNS_REFRESH)).with_respect_ttl(cluster.respect_dns_ttl))
}

fn lb_policy(cluster: &proto::Cluster, at: &At<'_>) -> Result<LbPolicy, ConfigError> {
    match LbPolicyProto::try_from(cluster.lb_policy) {
        Ok(LbPolicyProto::RoundRobin) => Ok(LbPolicy::RoundRobin),
        Ok(LbPolicyProto::Random) => Ok(LbPolicy::Random),
        Ok(LbPolicyProto::LeastRequest) => {
            let choices = cluster.lb_config.and_then(|LbConfig::LeastRequestLbConfig(config)| config.choice_count);
            Ok(LbPolicy::LeastRequest { choices: choices.unwrap_or(2) })
        }
        other => {
            let name = other.map_or_else(|_| cluster.lb_policy.to_string(), |other| other.as_str_name().to_owned());
            let reason = format!("{name} is not supported: use ROUND_ROBIN, RANDOM or LEAST_REQUEST");
            Err(at.field("lb_policy").refuse(reason))
        }
    }
}

/// The thresholds of the default priority; there is no other here.
fn limits(cluster: &proto::Cluster) -> ClusterLimits {
    let thresholds = cluster.circuit_breakers.iter().flat_map(|breakers| &breakers.thresholds);
    let default = thresholds.into_iter().find(|threshold| threshold.priority == i32::from(RoutingPriority::Default));
    let mut limits = ClusterLimits::default();
    if let Some(threshold) = default {
        limits.max_connections = threshold.max_connections.unwrap_or(limits.max_connections);
        limits.max_pending_requests = threshold.max_pending_requests.unwrap_or(limits.max_pending_requests);
        limits.max_requests = threshold.max_requests;
    }
    limits
}

/// The key in a cluster's metadata under which our own settings stand.
const OWN_METADATA: &str = "aeraki";
/// Envoy's default for `dns_refresh_rate`.
const DNS_REFRESH: Duration = Duration::from_secs(5);
