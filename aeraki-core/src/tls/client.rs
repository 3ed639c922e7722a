//! TLS with servers.

use std::{io, net::Ipv6Addr, sync::Arc};

use aeraki_route::config::{SocketAddress, UpstreamTlsContext};
use rustls::pki_types::ServerName;

use super::{
    Secrets,
    context::{Context, User},
    handshake,
};
use crate::{io::Io, observe::SslStats, stack::BoxFuture, upstream::Connector};

/// Speaks TLS on the connections that another connector makes.
#[derive(Debug)]
pub(crate) struct TlsConnector {
    inner: Arc<dyn Connector>,
    context: Arc<Context<UpstreamTlsContext>>,
    sni: Option<String>,
    stats: Arc<SslStats>,
    /// Says for whom, as long as it is in use.
    _user: Arc<User>,
}

impl TlsConnector {
    /// Makes a connector for an object such as `cluster "c"` that speaks TLS as `config` says, and counts what comes of
    /// it.
    pub(crate) fn new(
        inner: Arc<dyn Connector>,
        secrets: &Secrets,
        config: &UpstreamTlsContext,
        stats: Arc<SslStats>,
        object: String,
    ) -> Self {
        let context = secrets.client(config);
        let user = context.used_by(object, "");
        Self { inner, context, sni: config.sni.clone(), stats, _user: user }
    }

    /// Returns the name that the server is told and, without other matchers, has to prove: an IP address is not told.
    fn server_name(&self, address: &SocketAddress) -> io::Result<ServerName<'static>> {
        match (&self.sni, address) {
            (Some(sni), _) => ServerName::try_from(sni.clone()).map_err(io::Error::other),
            (None, SocketAddress::Ip(address)) => Ok(ServerName::IpAddress(address.ip().to_canonical().into())),
            // matchers say who it is; nobody can prove this
            (None, _) => Ok(ServerName::IpAddress(Ipv6Addr::UNSPECIFIED.into())),
        }
    }
}

impl Connector for TlsConnector {
    fn connect(&self, address: &SocketAddress) -> BoxFuture<io::Result<Box<dyn Io>>> {
        let config = self.context.config().map_err(io::Error::other);
        let (name, connection) = (self.server_name(address), self.inner.connect(address));
        let stats = Arc::clone(&self.stats);
        Box::pin(async move {
            let connector = tokio_rustls::TlsConnector::from(config?);
            let stream = connector.connect(name?, connection.await?).await;
            let stream = stream.inspect_err(|error| handshake::failed(error, &stats))?;
            handshake::succeeded(stream.get_ref().1, &stats);
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}
