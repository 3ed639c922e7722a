//! TLS with clients.

use std::{io, sync::Arc, time::Duration};

use aeraki_route::config::DownstreamTlsContext;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::{
    Secrets,
    certificate::Names,
    context::{Context, User},
    handshake,
};
use crate::{
    io::Io,
    observe::SslStats,
    server::{Accepted, Drain, Serve},
    stack::BoxFuture,
};

/// Speaks TLS on the connections of a filter chain, and serves what is inside as another [`Serve`] does.
#[derive(Clone, Debug)]
pub struct Secured {
    inner: Arc<dyn Serve>,
    context: Arc<Context<DownstreamTlsContext>>,
    timeout: Duration,
    stats: Arc<SslStats>,
    /// Says for whom, as long as it is in use.
    _user: Option<Arc<User>>,
}

impl Secured {
    /// Serves connections by `inner` once their handshakes, which are counted in `stats`, have succeeded.
    #[must_use]
    pub fn new(inner: Arc<dyn Serve>, secrets: &Secrets, config: &DownstreamTlsContext, stats: Arc<SslStats>) -> Self {
        Self { inner, context: secrets.server(config), timeout: config.handshake_timeout, stats, _user: None }
    }

    /// Says for whom it is, where its files cannot be used: for what is at `path` in an object such as `listener "in"`.
    pub(super) fn of(self, object: String, path: &str) -> Self {
        Self { _user: Some(self.context.used_by(object, path)), ..self }
    }

    async fn handshake(&self, io: Box<dyn Io>, accepted: Accepted) -> io::Result<(Box<dyn Io>, Accepted)> {
        let acceptor = TlsAcceptor::from(self.context.config().map_err(io::Error::other)?);
        let stream = timeout(self.timeout, acceptor.accept(io)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let session = stream.get_ref().1;
        handshake::succeeded(session, &self.stats);
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let principal = certificate.and_then(|certificate| Names::of(certificate).principal());
        let accepted = Accepted { principal, ..accepted };
        Ok((Box::new(stream), accepted))
    }
}

impl Serve for Secured {
    fn serve(&self, io: Box<dyn Io>, accepted: Accepted, drain: Drain) -> BoxFuture<()> {
        let this = self.clone();
        Box::pin(async move {
            let peer = accepted.peer;
            let opened = tokio::select! {
                biased;
                () = drain.leaves_silent() => return,
                opened = this.handshake(io, accepted) => opened,
            };
            match opened {
                Ok((io, accepted)) => this.inner.serve(io, accepted, drain).await,
                Err(error) => {
                    handshake::failed(&error, &this.stats);
                    tracing::debug!(%peer, %error, "the handshake with a client failed");
                }
            }
        })
    }
}
