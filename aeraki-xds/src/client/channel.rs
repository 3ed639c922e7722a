//! Connections to a cluster of gRPC servers.

use std::time::Duration;

use aeraki_route::config::{Address, Cluster, ConfigError, SocketAddress};
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
        let endpoint = Endpoint::from_shared(uri(address)).map_err(|e| refuse(e.to_string()))?;
        Ok(endpoint
            .connect_timeout(cluster.connect_timeout)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_while_idle(true))
    };
    cluster.endpoints.iter().map(|known| endpoint(&known.address)).collect()
}

/// Describes a connection to each endpoint of `cluster`, among which tonic balances: it knows no Unix sockets there.
///
/// # Errors
///
/// Fails if the cluster has no endpoint, or one on a Unix socket beside others.
pub(crate) fn balanced(cluster: &Cluster, role: &str) -> Result<Vec<Endpoint>, ConfigError> {
    let is_pipe = |address: &Address| matches!(address, Address::Socket(SocketAddress::Pipe(_)));
    if cluster.endpoints.len() > 1 && cluster.endpoints.iter().any(|endpoint| is_pipe(&endpoint.address)) {
        let reason = format!("{role} on a Unix socket must be the only one");
        return Err(ConfigError::new(format!("cluster {:?}", cluster.name), "endpoints", reason));
    }
    endpoints(cluster, role)
}

fn uri(address: &Address) -> String {
    let Address::Socket(SocketAddress::Pipe(pipe)) = address else { return format!("http://{address}") };
    // the system marks a name by a zero byte
    pipe.path.strip_prefix('@').map_or_else(|| format!("unix:{}", pipe.path), |name| format!("unix:\0{name}"))
}

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
