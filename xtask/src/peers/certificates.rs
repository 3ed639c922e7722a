//! Certificates that the command line of OpenSSL issues, and how bootstraps name them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use serde_json::{Value, json};

use super::install;

/// An authority whose files lie in a folder.
#[derive(Debug)]
pub(crate) struct Authority {
    folder: PathBuf,
    name: &'static str,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new(folder: &Path, name: &'static str) -> Result<Self> {
        let authority = Self { folder: folder.to_owned(), name };
        let mut command = new_key(&authority.file("key"));
        command.args(["-x509", "-days", "2", "-subj", "/CN=authority", "-addext", "basicConstraints=critical,CA:TRUE"]);
        install::run(command.arg("-out").arg(authority.certificate()))?;
        Ok(authority)
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.file("pem")
    }

    /// Issues a certificate for names as `subjectAltName` has them, valid for a number of days: 0 is for less than a
    /// second.
    pub(crate) fn issue(&self, name: &str, names: &str, days: u32) -> Result<Pair> {
        let file = |kind: &str| self.folder.join(format!("{}-{name}.{kind}", self.name));
        let pair = Pair { chain: file("pem"), key: file("key") };
        install::run(new_key(&pair.key).args(["-subj", "/CN=peer"]).arg("-out").arg(file("csr")))?;
        fs::write(file("ext"), format!("subjectAltName={names}\n"))?;
        let mut command = openssl("x509");
        command.args(["-req", "-days", &days.to_string(), "-in"]).arg(file("csr")).arg("-out").arg(&pair.chain);
        command.arg("-extfile").arg(file("ext")).arg("-CA").arg(self.certificate());
        install::run(command.arg("-CAkey").arg(self.file("key")))?;
        Ok(pair)
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", self.name))
    }
}

fn new_key(key: &Path) -> Command {
    let mut command = openssl("req");
    command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout"]).arg(key);
    command
}

/// A tool of OpenSSL's command line.
pub(crate) fn openssl(tool: &str) -> Command {
    let mut command = Command::new("openssl");
    command.arg(tool);
    command
}

/// The transport socket of a bootstrap with a TLS context of this kind.
pub(crate) fn socket(kind: &str, mut context: Value) -> Value {
    context["@type"] = format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}").into();
    json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
}

/// A certificate as a bootstrap names it.
pub(crate) fn certificate(pair: &Pair) -> Value {
    json!({"certificate_chain": file(&pair.chain), "private_key": file(&pair.key)})
}

/// A file as a bootstrap names it.
pub(crate) fn file(path: &Path) -> Value {
    json!({"filename": path})
}
