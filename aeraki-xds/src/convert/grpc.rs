//! `envoy.config.core.v3.GrpcService`, of which the cluster counts.

use aeraki_route::config::ConfigError;

use super::at::At;
use crate::proto::envoy::config::core::v3::GrpcService;
use crate::proto::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};

pub(super) fn cluster_from_proto<'a>(service: &'a GrpcService, at: &At<'_>) -> Result<&'a str, ConfigError> {
    match &service.target_specifier {
        Some(TargetSpecifier::EnvoyGrpc(target)) => Ok(&target.cluster_name),
        None => Err(at.field("envoy_grpc").refuse("is required")),
    }
}

pub(super) fn cluster_to_proto(cluster: &str) -> GrpcService {
    let target = EnvoyGrpc { cluster_name: cluster.to_owned(), ..EnvoyGrpc::default() };
    GrpcService { target_specifier: Some(TargetSpecifier::EnvoyGrpc(target)), ..GrpcService::default() }
}
