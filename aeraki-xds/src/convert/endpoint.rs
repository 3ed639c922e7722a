//! `envoy.config.core.v3.Address` and `envoy.config.endpoint.v3.ClusterLoadAssignment`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use aeraki_route::config::{Address, ConfigError, Endpoint};
use prost_types::value::Kind;

use super::at::At;
use crate::proto::envoy::config::core::v3 as core;
use crate::proto::envoy::config::core::v3::socket_address::{PortSpecifier, Protocol};
use crate::proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use crate::proto::envoy::config::endpoint::v3::{ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints};

/// Converts the endpoints that may take requests; those that are said to be unhealthy or draining are left out.
pub(super) fn endpoints_from_proto(
    assignment: &ClusterLoadAssignment,
    at: &At<'_>,
) -> Result<Vec<Endpoint>, ConfigError> {
    let mut converted = Vec::new();
    for (index, locality) in assignment.endpoints.iter().enumerate() {
        locality_from_proto(locality, &mut converted, &at.item("endpoints", index))?;
    }
    Ok(converted)
}

/// Converts the address that `object`, of which there is one, listens on.
#[cfg(feature = "bootstrap")]
pub(crate) fn socket_of(object: &str, address: &core::Address) -> Result<SocketAddr, ConfigError> {
    socket_from_proto(Some(address), &At::resource(object, "").field("address"))
}

/// Converts the address of a socket to listen on.
pub(super) fn socket_from_proto(address: Option<&core::Address>, at: &At<'_>) -> Result<SocketAddr, ConfigError> {
    match address_from_proto(address, at)? {
        Address::Socket(address) => Ok(address),
        other => Err(at.refuse(format!("{other} is not an IP address"))),
    }
}

fn locality_from_proto(
    locality: &LocalityLbEndpoints,
    converted: &mut Vec<Endpoint>,
    at: &At<'_>,
) -> Result<(), ConfigError> {
    if locality.priority != 0 {
        return Err(at.field("priority").refuse("only the highest priority, 0, can be served"));
    }
    for (index, endpoint) in locality.lb_endpoints.iter().enumerate().filter(|(_, endpoint)| may_serve(endpoint)) {
        converted.push(endpoint_from_proto(endpoint, &at.item("lb_endpoints", index))?);
    }
    Ok(())
}

fn may_serve(endpoint: &LbEndpoint) -> bool {
    use core::HealthStatus::{Degraded, Healthy, Unknown};
    matches!(core::HealthStatus::try_from(endpoint.health_status), Ok(Unknown | Healthy | Degraded))
}

fn endpoint_from_proto(endpoint: &LbEndpoint, at: &At<'_>) -> Result<Endpoint, ConfigError> {
    let Some(HostIdentifier::Endpoint(host)) = &endpoint.host_identifier else {
        return Err(at.field("endpoint").refuse("is required"));
    };
    let address = address_from_proto(host.address.as_ref(), &at.field("endpoint").field("address"))?;
    let mut converted = Endpoint::new(address).with_weight(endpoint.load_balancing_weight.unwrap_or(1));
    converted.metadata = endpoint.metadata.as_ref().map(labels).unwrap_or_default();
    Ok(converted)
}

fn address_from_proto(address: Option<&core::Address>, at: &At<'_>) -> Result<Address, ConfigError> {
    let Some(core::address::Address::SocketAddress(socket)) = address.and_then(|address| address.address.as_ref())
    else {
        return Err(at.refuse("a socket_address is required"));
    };
    let at = at.field("socket_address");
    if socket.protocol != i32::from(Protocol::Tcp) {
        return Err(at.field("protocol").refuse("must be TCP"));
    }
    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else {
        return Err(at.field("port_value").refuse("is required"));
    };
    let port = u16::try_from(port).map_err(|_| at.field("port_value").refuse(format!("{port} is not a port")))?;
    Ok(Address::new(&socket.address, port))
}

/// What load balancing is told about an endpoint: the texts under `envoy.lb`.
fn labels(metadata: &core::Metadata) -> BTreeMap<String, String> {
    let fields = metadata.filter_metadata.get("envoy.lb").map(|labels| &labels.fields);
    let text = |(key, value): (&String, &prost_types::Value)| match &value.kind {
        Some(Kind::StringValue(text)) => Some((key.clone(), text.clone())),
        _ => None,
    };
    fields.into_iter().flatten().filter_map(text).collect()
}
