//! Certificates of a storm in TLS, and the files of the proxy that are replaced while it goes on.

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};

/// An authority that everybody believes, and what clients and servers show. Both sides of the proxy want certificates.
pub(super) struct Secrets {
    folder: PathBuf,
    authority: Issuer<'static, KeyPair>,
    pub(super) clients: Arc<ClientConfig>,
    pub(super) servers: Arc<ServerConfig>,
}

impl Secrets {
    /// Issues everything, with the files of the proxy in `folder`.
    pub(super) fn new(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        fs::write(folder.join(AUTHORITY), certificate.pem())?;
        let authority = Issuer::new(params, key);

        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone())?;
        let (roots, provider) = (Arc::new(roots), Arc::new(ring::default_provider()));
        let clients = clients(&authority, &roots, &provider)?;
        let servers = servers(&authority, &roots, &provider)?;
        let secrets = Self { folder, authority, clients: Arc::new(clients), servers: Arc::new(servers) };
        secrets.renew()?;
        Ok(secrets)
    }

    /// Issues another certificate for the proxy. For a moment one file is half written, and then the two do not belong
    /// together.
    pub(super) fn renew(&self) -> Result<()> {
        let (certificate, key) = issue(&self.authority)?;
        fs::write(self.folder.join(CHAIN), certificate.pem())?;
        fs::write(self.folder.join(KEY), key.serialize_pem())?;
        Ok(())
    }

    /// Has the proxy speak TLS with clients and servers.
    pub(super) fn secure(&self, resources: &mut Value) {
        let file = |name: &str| json!({"filename": self.folder.join(name)});
        let socket = |kind: &str, mut context: Value| {
            context["@type"] = format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}").into();
            context["common_tls_context"] = json!({
                "tls_certificates": [{"certificate_chain": file(CHAIN), "private_key": file(KEY)}],
                "validation_context": {"trusted_ca": file(AUTHORITY)},
            });
            json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
        };
        resources["listeners"][0]["filter_chains"][0]["transport_socket"] =
            socket("DownstreamTlsContext", json!({"require_client_certificate": true}));
        resources["clusters"][1]["transport_socket"] = socket("UpstreamTlsContext", json!({}));
    }
}

fn clients(
    authority: &Issuer<'_, KeyPair>,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig> {
    let (chain, key) = shown(authority)?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(Arc::clone(roots)).with_client_auth_cert(chain, key)?)
}

fn servers(
    authority: &Issuer<'_, KeyPair>,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig> {
    let (chain, key) = shown(authority)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider)).build()?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions()?;
    Ok(builder.with_client_cert_verifier(verifier).with_single_cert(chain, key)?)
}

/// Issues what one end of the harness shows.
fn shown(authority: &Issuer<'_, KeyPair>) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let (certificate, key) = issue(authority)?;
    Ok((vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
}

/// Issues a certificate for 127.0.0.1, where everybody is.
fn issue(authority: &Issuer<'_, KeyPair>) -> Result<(rcgen::Certificate, KeyPair)> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, authority)?, key))
}

const AUTHORITY: &str = "authority.pem";
const CHAIN: &str = "chain.pem";
const KEY: &str = "key.pem";
