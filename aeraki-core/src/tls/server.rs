//! TLS with clients.

use std::{io, sync::Arc};

use aeraki_route::config::DownstreamTlsContext;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::{Secrets, certificate::Names, context::Context, handshake};
use crate::{
    io::{Io, Prefixed},
    observe::SslStats,
    server::{Accepted, Drain, Phase, Serve},
    stack::BoxFuture,
};

/// Speaks TLS on the connections of a listener, and serves what is inside as another [`Serve`] does.
#[derive(Clone, Debug)]
pub struct Secured {
    inner: Arc<dyn Serve>,
    context: Arc<Context<DownstreamTlsContext>>,
    config: DownstreamTlsContext,
    stats: Arc<SslStats>,
}

impl Secured {
    /// Serves connections by `inner` once their handshakes, which are counted in `stats`, have succeeded.
    #[must_use]
    pub fn new(inner: Arc<dyn Serve>, secrets: &Secrets, config: DownstreamTlsContext, stats: Arc<SslStats>) -> Self {
        Self { inner, context: secrets.server(&config), config, stats }
    }

    async fn open(&self, io: Box<dyn Io>, accepted: Accepted) -> io::Result<(Box<dyn Io>, Accepted)> {
        let deadline = Instant::now() + self.config.handshake_timeout;
        if !self.config.permissive {
            return self.handshake(io, accepted, deadline).await;
        }
        let mut io = Prefixed::new(io);
        // who says nothing has no handshake to begin: clients of most protocols connect before they have a request
        let is_tls = timeout_at(deadline, starts_with_tls(&mut io)).await.unwrap_or(Ok(false))?;
        if is_tls {
            return self.handshake(Box::new(io), accepted, deadline).await;
        }
        self.stats.plaintext.inc();
        Ok((Box::new(io), accepted))
    }

    async fn handshake(
        &self,
        io: Box<dyn Io>,
        accepted: Accepted,
        deadline: Instant,
    ) -> io::Result<(Box<dyn Io>, Accepted)> {
        let acceptor = TlsAcceptor::from(self.context.config().map_err(io::Error::other)?);
        let stream = timeout_at(deadline, acceptor.accept(io)).await.map_err(|_| io::ErrorKind::TimedOut)??;
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
                () = drain.reached(Phase::Closing) => return,
                opened = this.open(io, accepted) => opened,
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

/// Tells whether a client speaks TLS from its first two bytes; no more than these is looked at.
async fn starts_with_tls(io: &mut Prefixed) -> io::Result<bool> {
    while io.prefix().len() < HANDSHAKE.len() && HANDSHAKE.starts_with(io.prefix()) {
        if !io.read_more(HANDSHAKE.len()).await? {
            break;
        }
    }
    Ok(io.prefix() == HANDSHAKE)
}

/// How a record begins that holds a handshake, of any version 3 (RFC 8446 §5.1).
const HANDSHAKE: &[u8] = &[0x16, 0x03];
