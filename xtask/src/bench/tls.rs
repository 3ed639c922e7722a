//! TLS between generator and proxies: one certificate, shown by all of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use serde_json::{Value, json};

use crate::peers::{
    certificates::{Authority, certificate, socket},
    install::{debian, peers_dir},
};

/// What proxies show, and what the generator believes.
#[derive(Debug)]
pub(crate) struct Tls {
    authority: PathBuf,
    /// The transport socket of a listener.
    socket: Value,
}

impl Tls {
    pub(crate) fn new() -> Result<Self> {
        debian("openssl", "openssl")?;
        let folder = peers_dir().join("run/bench-tls");
        fs::create_dir_all(&folder)?;
        let authority = Authority::new(&folder, "authority")?;
        let shown = authority.issue("proxy", "IP:127.0.0.1", 2)?;
        let context = json!({"common_tls_context": {"tls_certificates": [certificate(&shown)]}});
        Ok(Self { authority: authority.certificate(), socket: socket("DownstreamTlsContext", context) })
    }

    /// The certificate of who issued that of the proxies.
    pub(crate) fn authority(&self) -> &Path {
        &self.authority
    }

    /// Has a filter chain of a bootstrap speak TLS.
    pub(crate) fn secure(&self, chain: &mut Value) {
        chain["transport_socket"] = self.socket.clone();
    }
}
