//! Connections to a cluster of gRPC servers.

use std::time::Duration;

use aeraki_route::config::{Address, Cluster, ConfigError, SocketAddress};
use tonic::transport::Endpoint;

/// Describes a connection to each endpoint of `cluster`, which serves as `role`.
///
/// # Errors
///
/// Fails if the cluster has no endpoint, or asks for more than plain text.
pub(crate) fn endpoints(cluster: &Cluster, role: &str) -> Result<Vec<Endpoint>, ConfigError> {
    let object = || format!("cluster {:?}", cluster.name);
    let refuse = |reason: String| ConfigError::new(object(), "endpoints", reason);
    if cluster.endpoints.is_empty() {
        return Err(refuse(format!("{role} must have at least one")));
    }
    if cluster.tls.is_some() || cluster.proxy_protocol.is_some() {
        // rather than to send it in plain text what was to be kept from others
        let reason = format!("is not supported for {role}, which is spoken to in plain text");
        return Err(ConfigError::new(object(), "transport_socket", reason));
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
    pipe.path.strip_prefix('@').map_or_else(|| format!("unix://{}", pipe.path), |name| format!("unix:\0{name}"))
}

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use aeraki_route::config::{CertificateValidationContext, DataSource, ProxyProtocolVersion, UpstreamTlsContext};

    use super::*;

    #[test]
    fn what_cannot_be_spoken_to_as_its_cluster_says_is_refused() {
        let cluster =
            Cluster::new("c").with_endpoint("127.0.0.1:1".parse::<std::net::SocketAddr>().expect("an address"));
        assert_eq!(endpoints(&cluster, "a control plane").map(|endpoints| endpoints.len()), Ok(1));
        let authority = CertificateValidationContext::new(DataSource::InlineString("pem".to_owned()));
        let secured = cluster.clone().with_tls(UpstreamTlsContext::new(authority));
        let announced = cluster.with_proxy_protocol(ProxyProtocolVersion::V2);
        for (cluster, expected) in [
            (Cluster::new("c"), "endpoints: a control plane must have at least one"),
            (secured, "transport_socket: is not supported for a control plane, which is spoken to in plain text"),
            (announced, "transport_socket: is not supported for a control plane, which is spoken to in plain text"),
        ] {
            let refused = endpoints(&cluster, "a control plane").map(drop).map_err(|error| error.to_string());
            assert_eq!(refused, Err(format!("cluster \"c\": {expected}")));
        }
    }
}
