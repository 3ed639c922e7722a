//! Connections to a cluster of gRPC servers.

use std::time::Duration;

use aeraki_route::config::{Cluster, ConfigError};
use tonic::transport::Endpoint;

/// Describes a connection to each endpoint of `cluster`, which serves as `role`.
///
/// # Errors
///
/// Fails if the cluster has no endpoint.
pub(crate) fn endpoints(cluster: &Cluster, role: &str) -> Result<Vec<Endpoint>, ConfigError> {
    let refuse = |reason: String| ConfigError::new(format!("cluster {:?}", cluster.name), "endpoints", reason);
    if cluster.endpoints.is_empty() {
        return Err(refuse(format!("{role} must have at least one")));
    }
    let endpoint = |address: &_| -> Result<Endpoint, ConfigError> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| refuse(e.to_string()))?;
        Ok(endpoint
            .connect_timeout(cluster.connect_timeout)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_while_idle(true))
    };
    cluster.endpoints.iter().map(|known| endpoint(&known.address)).collect()
}

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
