//! `envoy.config.cluster.v3.Cluster`.

mod balancing;
mod discovery;
mod health_check;
mod limits;
mod outlier;
mod subsets;

use std::time::Duration;

use aeraki_route::config::{Cluster, ConfigError, LbPolicy, PeakEwma};
use prost_types::{Struct, Value, value::Kind};

use super::at::At;
use super::duration;
use super::endpoint::endpoints_from_proto;
use super::proxy_protocol;
use super::tcp_keepalive;
use super::tls;
use crate::proto::envoy::config::cluster::v3 as proto;

/// Converts and validates a cluster.
///
/// # Errors
///
/// Names the cluster, the field and the reason: a discovery type other than static, DNS and original destination, a
/// load balancing policy other than round robin, random, least request, ring hash and Maglev, or the configuration of
/// another one than that in force, TLS that is not supported or would verify nobody, transport sockets by what
/// endpoints say, and everything that [`Cluster::validate`] refuses.
pub fn cluster_from_proto(cluster: &proto::Cluster) -> Result<Cluster, ConfigError> {
    let at = &At::resource("cluster", &cluster.name);
    let mut converted = Cluster::new(&cluster.name).with_discovery(discovery::from_proto(cluster, at)?);
    if let Some(assignment) = &cluster.load_assignment {
        converted.endpoints = endpoints_from_proto(assignment, &at.field("load_assignment"))?;
    }
    balancing::apply(cluster, &mut converted, at)?;
    converted.subsets = subsets::from_proto(cluster.lb_subset_config.as_ref(), &at.field("lb_subset_config"))?;
    limits::apply(cluster, &mut converted, at)?;
    converted.health_check = health_check::from_proto(&cluster.health_checks, at)?;
    if let Some(detection) = &cluster.outlier_detection {
        converted.outlier_detection = Some(outlier::from_proto(detection, &at.field("outlier_detection"))?);
    }
    let options = cluster.upstream_connection_options.as_ref();
    let keepalive = options.and_then(|options| options.tcp_keepalive.as_ref());
    converted.tcp_keepalive = keepalive.and_then(tcp_keepalive::from_proto);
    apply_transport_socket(cluster, &mut converted, at)?;
    if let Some(timeout) = duration::exact_from_proto(cluster.connect_timeout.as_ref(), &at.field("connect_timeout"))? {
        converted.connect_timeout = timeout;
    }
    if let Some(settings) = cluster.metadata.as_ref().and_then(|metadata| metadata.filter_metadata.get(OWN_METADATA)) {
        apply_own(settings, &mut converted, &at.field("metadata.filter_metadata.aeraki"))?;
    }
    converted.validate()?;
    Ok(converted)
}

/// Applies the one transport socket of a cluster, and refuses those that endpoints would have by their metadata: most
/// of them encrypt, and endpoints must not be spoken to in plain text instead.
fn apply_transport_socket(cluster: &proto::Cluster, converted: &mut Cluster, at: &At<'_>) -> Result<(), ConfigError> {
    let by_endpoint = [
        ("transport_socket_matches", !cluster.transport_socket_matches.is_empty()),
        ("transport_socket_matcher", cluster.transport_socket_matcher.is_some()),
    ];
    if let Some((field, _)) = by_endpoint.iter().find(|(_, used)| *used) {
        return Err(at.field(field).refuse("is not supported: use transport_socket, the same for all endpoints"));
    }
    let socket = cluster.transport_socket.as_ref();
    let announced = proxy_protocol::upstream(socket, at)?;
    converted.proxy_protocol = announced.as_ref().map(|(version, _)| *version);
    converted.tls = match &announced {
        Some((_, inner)) => tls::upstream(Some(inner), &at.field("transport_socket.typed_config"))?,
        None => tls::upstream(socket, at)?,
    };
    Ok(())
}

/// Applies what Envoy's clusters have no field for: `depth`, the requests in flight on one connection, `concurrent`,
/// whether the servers work on several of them at a time, `spare_connections`, those to every endpoint that nobody uses
/// yet, `peak_ewma_decay`, in seconds, which makes endpoints be
/// chosen by their latency, and `error_statuses`, those that take endpoints out.
fn apply_own(settings: &Struct, cluster: &mut Cluster, at: &At<'_>) -> Result<(), ConfigError> {
    for (key, value) in &settings.fields {
        match (key.as_str(), &value.kind) {
            ("concurrent", Some(Kind::BoolValue(concurrent))) => cluster.concurrent = Some(*concurrent),
            ("depth", Some(Kind::NumberValue(depth))) => cluster.depth = Some(whole(*depth, &at.field("depth"))?),
            ("spare_connections", Some(Kind::NumberValue(count))) => {
                cluster.preconnect.spare_connections = whole(*count, &at.field(key))?;
            }
            ("peak_ewma_decay", Some(Kind::NumberValue(decay))) if cluster.lb_policy == LbPolicy::RoundRobin => {
                let decay = Duration::try_from_secs_f64(*decay).unwrap_or_default();
                cluster.lb_policy = LbPolicy::PeakEwma(PeakEwma::default().with_decay(decay));
            }
            ("peak_ewma_decay", Some(Kind::NumberValue(_))) => {
                return Err(at.field(key).refuse("is a policy of its own: leave lb_policy out"));
            }
            ("error_statuses", Some(Kind::ListValue(list))) => {
                let at = at.field(key);
                let statuses = list.values.iter().map(|value| status(value, &at)).collect::<Result<_, _>>()?;
                let Some(detection) = &mut cluster.outlier_detection else {
                    return Err(at.refuse("has no outlier_detection to apply to"));
                };
                detection.error_statuses = Some(statuses);
            }
            ("error_statuses", _) => return Err(at.field(key).refuse("must be a list of numbers")),
            ("concurrent", _) => return Err(at.field(key).refuse("must be true or false")),
            ("depth" | "peak_ewma_decay" | "spare_connections", _) => {
                return Err(at.field(key).refuse("must be a number"));
            }
            _ => {
                return Err(at.field(key).refuse(
                    "is unknown: use depth, concurrent, spare_connections, peak_ewma_decay or error_statuses",
                ));
            }
        }
    }
    Ok(())
}

fn status(value: &Value, at: &At<'_>) -> Result<i32, ConfigError> {
    let Some(Kind::NumberValue(number)) = value.kind else { return Err(at.refuse("must be a list of numbers")) };
    i32::try_from(whole(number, at)?).map_err(|_| at.refuse("must hold numbers of 31 bits"))
}

/// Protobuf's structs know numbers as doubles only.
fn whole(number: f64, at: &At<'_>) -> Result<u32, ConfigError> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is compared")]
    let whole = number as u32;
    if f64::from(whole) == number { Ok(whole) } else { Err(at.refuse("must be a whole number of at least 0")) }
}

/// The key in a cluster's metadata under which our own settings stand.
const OWN_METADATA: &str = "aeraki";
