//! Both sides against each other over a pipe, with certificates made on the spot.

mod authority;
mod chains;
mod handshakes;
mod reload;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use aeraki_route::config::{self, DownstreamTlsContext, UpstreamTlsContext};
use rustls::crypto::ring;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, split},
    sync::mpsc,
    time::timeout,
};

use self::authority::{Authority, Issued};
use super::{Secrets, Secured, client::TlsConnector, clock::Clock};
use crate::{
    io::Io,
    observe::{Samples, SslStats, Value},
    server::{Accepted, Drain, Serve},
    stack::BoxFuture,
    upstream::Connector,
};

/// Sends everything back, and tells whose connection it is.
#[derive(Debug)]
struct Echo(mpsc::UnboundedSender<Accepted>);

impl Serve for Echo {
    fn serve(&self, io: Box<dyn Io>, accepted: Accepted, _: Drain) -> BoxFuture<()> {
        let _ = self.0.send(accepted);
        Box::pin(async move {
            let (mut reader, mut writer) = split(io);
            let _ = copy(&mut reader, &mut writer).await;
            let _ = writer.shutdown().await;
        })
    }
}

/// Makes connections to a server in the same process.
#[derive(Debug)]
struct Pipe(Arc<dyn Serve>);

impl Connector for Pipe {
    fn connect(&self, address: &config::SocketAddress) -> BoxFuture<io::Result<Box<dyn Io>>> {
        let (near, far) = tokio::io::duplex(1 << 10);
        let address = address.as_ip().unwrap_or(NOWHERE);
        tokio::spawn(self.0.serve(Box::new(far), Accepted::new(address, address), Drain::new()));
        Box::pin(async move { Ok(Box::new(near) as Box<dyn Io>) })
    }
}

/// A server that echoes, and a client of it.
struct Bench {
    server: Secured,
    served: mpsc::UnboundedReceiver<Accepted>,
    downstream: Arc<SslStats>,
    upstream: Arc<SslStats>,
    secrets: Secrets,
}

impl Bench {
    fn new(config: DownstreamTlsContext) -> Self {
        Self::with(Secrets::new(), config)
    }

    fn with(secrets: Secrets, config: DownstreamTlsContext) -> Self {
        let (sender, served) = mpsc::unbounded_channel();
        let downstream = Arc::<SslStats>::default();
        let server = Secured::new(Arc::new(Echo(sender)), &secrets, &config, Arc::clone(&downstream));
        Self { server, served, downstream, upstream: Arc::default(), secrets }
    }

    /// Connects, sends a line and expects it back.
    async fn call(&self, config: &UpstreamTlsContext) -> io::Result<()> {
        let mut io = self.connect(config).await?;
        io.write_all(b"hello").await?;
        io.flush().await?;
        let mut answer = [0; 5];
        soon(io.read_exact(&mut answer)).await?;
        assert_eq!(&answer, b"hello");
        Ok(())
    }

    async fn connect(&self, config: &UpstreamTlsContext) -> io::Result<Box<dyn Io>> {
        self.connect_to(&SocketAddr::from(([127, 0, 0, 1], 443)).into(), config).await
    }

    async fn connect_to(
        &self,
        address: &config::SocketAddress,
        config: &UpstreamTlsContext,
    ) -> io::Result<Box<dyn Io>> {
        let pipe = Arc::new(Pipe(Arc::new(self.server.clone())));
        let (stats, object) = (Arc::clone(&self.upstream), "cluster \"c\"".to_owned());
        let connector = TlsConnector::new(pipe, &self.secrets, config, stats, object);
        soon(connector.connect(address)).await
    }

    /// Connects without TLS.
    fn connect_plain(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(1 << 10);
        tokio::spawn(self.server.serve(Box::new(far), Accepted::new(NOWHERE, NOWHERE), Drain::new()));
        near
    }

    async fn accepted(&mut self) -> Accepted {
        soon(self.served.recv()).await.expect("a connection is served")
    }
}

/// Fails where something never happens, rather than let the paused clock run on.
async fn soon<T>(something: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(3600), something).await.expect("nobody waits for ever")
}

/// Makes a store that takes certificates for what they are at this time, in seconds since 1970.
fn secrets_at(now: &Arc<AtomicI64>) -> Secrets {
    let now = Arc::clone(now);
    Secrets::with_clock(Arc::new(ring::default_provider()), Clock::new(move || now.load(Relaxed)))
}

/// The 1st of June 2020: what is issued here has begun, and has not expired yet.
fn in_2020() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(1_590_969_600))
}

/// Lists what was counted.
fn counted(stats: &SslStats) -> Vec<(String, u64)> {
    let mut samples = Samples::default();
    stats.collect(&mut samples.scope("x", &[]));
    let counters = samples.dotted().filter_map(|(name, value)| match value {
        Value::Counter(count @ 1..) => Some((name.trim_start_matches("x.ssl.").to_owned(), count)),
        _ => None,
    });
    counters.collect()
}

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
