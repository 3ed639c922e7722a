//! `envoy.config.core.v3.Address` and `envoy.config.endpoint.v3.ClusterLoadAssignment`.

#[cfg(feature = "bootstrap")]
use std::net::SocketAddr;

use aeraki_route::config::{Address, ConfigError, Endpoint, HealthStatus, Pipe, SocketAddress};

use super::at::At;
use super::{labels, locality};
use crate::proto::envoy::config::core::v3 as core;
use crate::proto::envoy::config::core::v3::socket_address::{PortSpecifier, Protocol};
use crate::proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use crate::proto::envoy::config::endpoint::v3::{ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints};

/// Converts endpoints, whatever is said of their health.
pub(super) fn endpoints_from_proto(
    assignment: &ClusterLoadAssignment,
    at: &At<'_>,
) -> Result<Vec<Endpoint>, ConfigError> {
    if assignment.policy.as_ref().is_some_and(|policy| !policy.drop_overloads.is_empty()) {
        return Err(at.field("policy").field("drop_overloads").refuse("is not supported: requests are not dropped"));
    }
    let mut converted = Vec::new();
    for (index, group) in assignment.endpoints.iter().enumerate() {
        group_from_proto(group, &mut converted, &at.item("endpoints", index))?;
    }
    Ok(converted)
}

/// Converts the address that `object`, of which there is one, listens on.
#[cfg(feature = "bootstrap")]
pub(crate) fn socket_of(object: &str, address: &core::Address) -> Result<SocketAddr, ConfigError> {
    let at = &At::resource(object, "");
    let at = &at.field("address");
    match listening_from_proto(Some(address), at)? {
        SocketAddress::Ip(address) => Ok(address),
        other => Err(at.refuse(format!("{other} is not an IP address"))),
    }
}

/// Converts the address that a listener listens on.
pub(super) fn listening_from_proto(address: Option<&core::Address>, at: &At<'_>) -> Result<SocketAddress, ConfigError> {
    match address_from_proto(address, at)? {
        Address::Socket(address) => Ok(address),
        other => Err(at.refuse(format!("{other} is not an IP address"))),
    }
}

fn group_from_proto(
    group: &LocalityLbEndpoints,
    converted: &mut Vec<Endpoint>,
    at: &At<'_>,
) -> Result<(), ConfigError> {
    let place = group.locality.as_ref().map(locality::from_proto).unwrap_or_default();
    for (index, endpoint) in group.lb_endpoints.iter().enumerate() {
        let mut endpoint = endpoint_from_proto(endpoint, &at.item("lb_endpoints", index))?;
        endpoint.locality = place.clone();
        endpoint.locality_weight = group.load_balancing_weight;
        endpoint.priority = group.priority;
        converted.push(endpoint);
    }
    Ok(())
}

fn health_from_proto(status: i32, at: &At<'_>) -> Result<HealthStatus, ConfigError> {
    use core::HealthStatus as Proto;
    match Proto::try_from(status) {
        Ok(Proto::Unknown | Proto::Healthy) => Ok(HealthStatus::Healthy),
        Ok(Proto::Degraded) => Ok(HealthStatus::Degraded),
        Ok(Proto::Unhealthy | Proto::Timeout) => Ok(HealthStatus::Unhealthy),
        Ok(Proto::Draining) => Ok(HealthStatus::Draining),
        Err(_) => Err(at.refuse(format!("{status} is unknown"))),
    }
}

fn endpoint_from_proto(endpoint: &LbEndpoint, at: &At<'_>) -> Result<Endpoint, ConfigError> {
    let Some(HostIdentifier::Endpoint(host)) = &endpoint.host_identifier else {
        return Err(at.field("endpoint").refuse("is required"));
    };
    let address = address_from_proto(host.address.as_ref(), &at.field("endpoint").field("address"))?;
    let mut converted = Endpoint::new(address).with_weight(endpoint.load_balancing_weight.unwrap_or(1));
    converted.health_status = health_from_proto(endpoint.health_status, &at.field("health_status"))?;
    converted.metadata = labels::of_endpoint(endpoint.metadata.as_ref());
    Ok(converted)
}

fn address_from_proto(address: Option<&core::Address>, at: &At<'_>) -> Result<Address, ConfigError> {
    match address.and_then(|address| address.address.as_ref()) {
        Some(core::address::Address::SocketAddress(socket)) => tcp_from_proto(socket, &at.field("socket_address")),
        Some(core::address::Address::Pipe(pipe)) => Ok(pipe_from_proto(pipe).into()),
        None => Err(at.refuse("a socket_address or a pipe is required")),
    }
}

fn pipe_from_proto(pipe: &core::Pipe) -> Pipe {
    let converted = Pipe::new(&*pipe.path);
    if pipe.mode == 0 { converted } else { converted.with_mode(pipe.mode) }
}

fn tcp_from_proto(socket: &core::SocketAddress, at: &At<'_>) -> Result<Address, ConfigError> {
    if socket.protocol != i32::from(Protocol::Tcp) {
        return Err(at.field("protocol").refuse("must be TCP"));
    }
    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else {
        return Err(at.field("port_value").refuse("is required"));
    };
    let port = u16::try_from(port).map_err(|_| at.field("port_value").refuse(format!("{port} is not a port")))?;
    Ok(Address::new(&socket.address, port))
}
