//! What stands in the place of TLS in a build without the feature `tls`: it refuses whatever asks for TLS.

use std::{io, sync::Arc};

use aeraki_route::config::{Cluster, ConfigError, FilterChain, Listener, SocketAddress};

use crate::{
    io::Io,
    observe::{Collect, ListenerStats, Samples},
    server::{Accepted, Drain, Phase, Serve},
    stack::BoxFuture,
    upstream::{ClusterStats, Connector},
};

/// Refuses every configuration that asks for TLS.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Secrets;

impl Secrets {
    /// Makes it.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// Refuses a listener with TLS.
    ///
    /// # Errors
    /// Listener, field and reason.
    pub fn check_listener(&self, listener: &Listener) -> Result<(), ConfigError> {
        match listener.chains().find(|(_, chain)| chain.tls.is_some()) {
            Some((path, _)) => {
                Err(ConfigError::new(format!("listener {:?}", listener.name), format!("{path}.tls"), MISSING))
            }
            None => Ok(()),
        }
    }

    /// Refuses a cluster with TLS.
    ///
    /// # Errors
    /// Cluster, field and reason.
    pub fn check_cluster(&self, cluster: &Cluster) -> Result<(), ConfigError> {
        let object = || format!("cluster {:?}", cluster.name);
        cluster.tls.as_ref().map_or(Ok(()), |_| Err(ConfigError::new(object(), "tls", MISSING)))
    }

    pub(crate) async fn watch(self, drain: Drain) {
        drain.reached(Phase::Draining).await;
    }

    pub(crate) fn connector(
        &self,
        plain: &Arc<dyn Connector>,
        cluster: &Cluster,
        _: &ClusterStats,
    ) -> Arc<dyn Connector> {
        if cluster.tls.is_some() { Arc::new(NoTls) } else { Arc::clone(plain) }
    }

    pub(crate) fn serve(
        &self,
        plain: Arc<dyn Serve>,
        (_, chain): (&str, &FilterChain),
        _: &str,
        _: &ListenerStats,
    ) -> Arc<dyn Serve> {
        if chain.tls.is_some() { Arc::new(NoTls) } else { plain }
    }
}

impl Collect for Secrets {
    fn collect(&self, _: &mut Samples) {}
}

/// Makes no connection and serves none: never in plain text what was to be in TLS.
#[derive(Debug)]
struct NoTls;

impl Connector for NoTls {
    fn connect(&self, _: &SocketAddress) -> BoxFuture<io::Result<Box<dyn Io>>> {
        Box::pin(async { Err(io::Error::other(MISSING)) })
    }
}

impl Serve for NoTls {
    fn serve(&self, _: Box<dyn Io>, _: Accepted, _: Drain) -> BoxFuture<()> {
        Box::pin(async {})
    }
}

const MISSING: &str = "this build has no TLS (feature `tls`)";

#[cfg(test)]
mod tests {
    use aeraki_route::config::{CertificateValidationContext, DataSource, UpstreamTlsContext};

    use super::*;
    use crate::upstream::Plain;

    #[tokio::test]
    async fn what_asks_for_tls_is_refused_and_never_sent_in_plain_text() {
        let authority = CertificateValidationContext::new(DataSource::InlineString("authority".to_owned()));
        let cluster = Cluster::new("c").with_tls(UpstreamTlsContext::new(authority));
        let secrets = Secrets::new();
        let refused = secrets.check_cluster(&cluster).expect_err("there is no TLS");
        assert_eq!(refused.to_string(), "cluster \"c\": tls: this build has no TLS (feature `tls`)");

        let (plain, stats): (Arc<dyn Connector>, _) = (Arc::new(Plain::default()), ClusterStats::default());
        let server = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = server.local_addr().expect("bound").into();
        let connected = secrets.connector(&plain, &cluster, &stats).connect(&address).await;
        assert_eq!(connected.err().map(|error| error.to_string()).as_deref(), Some(MISSING));
        assert!(secrets.connector(&plain, &Cluster::new("c"), &stats).connect(&address).await.is_ok());
    }
}
