//! Connections of the generator, in plain text or TLS.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, Result};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::{cipher_suite::TLS13_AES_128_GCM_SHA256, default_provider},
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// A connection to a target.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// How targets are connected to.
#[derive(Clone)]
pub(crate) struct Client {
    tls: Option<TlsConnector>,
}

impl Client {
    /// Makes one that speaks TLS where there is an `authority`, a file with the certificate of who issues that of the
    /// target; always by the same cipher, lest targets be compared by the ones that they like.
    pub(crate) fn new(authority: Option<&Path>) -> Result<Self> {
        let Some(file) = authority else { return Ok(Self { tls: None }) };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file).with_context(|| file.display().to_string())?)?;
        let mut provider = default_provider();
        provider.cipher_suites = vec![TLS13_AES_128_GCM_SHA256];
        let config = ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { tls: Some(TlsConnector::from(Arc::new(config))) })
    }

    pub(crate) async fn connect(&self, target: SocketAddr) -> Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(target).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.connect(ServerName::IpAddress(target.ip().into()), stream).await?),
        })
    }
}
