//! What holds for requests to a service: how endpoints are chosen, and what the service may take.

use std::time::Duration;

use aeraki_route::config::Decimal;
use serde::{Deserialize, Serialize};

use super::unread::Unread;
use crate::crd::{PortSelector, duration};

/// Says how requests are spread over endpoints, and how many there may be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TrafficPolicy {
    /// The load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// What the service may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is taken out for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier_detection: Option<OutlierDetection>,
    /// What holds for single ports, instead of everything above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub port_level_settings: Vec<PortTrafficPolicy>,
    /// What has no effect.
    #[serde(flatten, skip_serializing)]
    pub unread: Unread,
}

/// Says how requests to one port are spread; it inherits nothing from the other ports.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PortTrafficPolicy {
    /// The port of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortSelector>,
    /// The load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// What the service may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is taken out for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier_detection: Option<OutlierDetection>,
    /// What has no effect.
    #[serde(flatten, skip_serializing)]
    pub unread: Unread,
}

/// Names a load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LoadBalancer {
    /// One of the balancers without parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simple: Option<SimpleBalancer>,
    /// The balancer that sends equal keys to the same endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistent_hash: Option<ConsistentHash>,
    /// How where endpoints run counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locality_lb_setting: Option<LocalityLbSetting>,
    /// For how long a new endpoint gets less; the old form of `warmup`.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub warmup_duration_secs: Option<Duration>,
    /// Sends less to new endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup: Option<Warmup>,
    /// What has no effect.
    #[serde(flatten, skip_serializing)]
    pub unread: Unread,
}

/// Lists the load balancers without parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum SimpleBalancer {
    /// Leaves the choice to the mesh.
    #[default]
    Unspecified,
    /// The endpoint with the fewest requests under way, of two taken at random.
    LeastRequest,
    /// The old name of `LEAST_REQUEST`.
    LeastConn,
    /// Any.
    Random,
    /// One after the other.
    RoundRobin,
    /// The address that the client used.
    Passthrough,
}

/// Says what a request's key is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ConsistentHash {
    /// The attribute whose value is the key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub http_header_name: String,
    /// Whether the key is the client's IP address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_source_ip: bool,
    /// Points that the ring has at least; where there is no `ring_hash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_ring_size: Option<u32>,
    /// Chooses by a ring, as without anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring_hash: Option<RingSize>,
    /// Chooses by a Maglev table instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maglev: Option<TableSize>,
    /// What has no effect.
    #[serde(flatten, skip_serializing)]
    pub unread: Unread,
}

/// Says how large a ring is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RingSize {
    /// Points that it has at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_ring_size: Option<u32>,
}

/// Says how large a Maglev table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TableSize {
    /// Entries that it has; a prime number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_size: Option<u32>,
}

/// Says how where endpoints run counts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LocalityLbSetting {
    /// Whether near endpoints come first; true where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What has no effect.
    #[serde(flatten, skip_serializing)]
    pub unread: Unread,
}

/// Sends less to new endpoints; with round robin and least request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Warmup {
    /// For how long an endpoint is new.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// What it begins with, in per cent of its weight; 10 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_percent: Option<Decimal>,
    /// How fast its share grows; 1, evenly, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggression: Option<Decimal>,
    /// What has no effect.
    #[serde(flatten, skip_serializing)]
    pub unread: Unread,
}

/// Says what a service may take.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ConnectionPool {
    /// Its connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpSettings>,
    /// The requests on them, which are of any protocol here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSettings>,
    /// What has no effect.
    #[serde(flatten, skip_serializing)]
    pub unread: Unread,
}

/// Bounds the connections to a service; 0 is as nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TcpSettings {
    /// How many there may be; 1024 where absent.
    #[serde(default)]
    pub max_connections: u32,
    /// How long connecting may take; as the mesh says where absent.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Duration>,
    /// How long one takes requests; for ever where absent.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub max_connection_duration: Option<Duration>,
    /// Has the system ask silent servers whether they are there; where absent, it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// What has no effect.
    #[serde(flatten, skip_serializing)]
    pub unread: Unread,
}

/// Says how the system asks silent servers; what is absent is as the system has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TcpKeepalive {
    /// Probes without an answer after which a connection is given up; 0 is as absent.
    #[serde(default)]
    pub probes: u32,
    /// How long a connection is silent before the first probe.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub time: Option<Duration>,
    /// The time between two probes.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
}

/// Bounds the requests to a service; 0 is as nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HttpSettings {
    /// How many may wait for a connection; 1024 where absent.
    #[serde(default)]
    pub http1_max_pending_requests: u32,
    /// How many may be under way; any number where absent.
    #[serde(default)]
    pub http2_max_requests: u32,
    /// How many a connection takes; any number where absent.
    #[serde(default)]
    pub max_requests_per_connection: u32,
    /// How many further tries may be under way; as many as routes allow where absent.
    #[serde(default)]
    pub max_retries: u32,
    /// How long a connection may be without a request; an hour where absent, for ever if 0.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// What has no effect.
    #[serde(flatten, skip_serializing)]
    pub unread: Unread,
}

/// Says when an endpoint is taken out for a while.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OutlierDetection {
    /// Errors in a row, 0: does not count; 5 where absent.
    #[serde(default, rename = "consecutive5xxErrors", skip_serializing_if = "Option::is_none")]
    pub consecutive_5xx_errors: Option<u32>,
    /// Refusals and missing answers in a row; 0 or absent: they do not count for themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_gateway_errors: Option<u32>,
    /// Whether failures of local origin are counted for themselves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub split_external_local_origin_errors: bool,
    /// Failures of local origin in a row, where these are counted for themselves; 5 where absent or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_local_origin_failures: Option<u32>,
    /// The time between two looks; 10 s where absent.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// How long an endpoint is out at first; 30 s where absent.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub base_ejection_time: Option<Duration>,
    /// The share of endpoints that may be out, in per cent; 10 where absent or 0.
    #[serde(default)]
    pub max_ejection_percent: u32,
    /// Where fewer endpoints are left, in per cent, all of them get requests; 0: never.
    #[serde(default)]
    pub min_health_percent: u32,
    /// What has no effect.
    #[serde(flatten, skip_serializing)]
    pub unread: Unread,
}
