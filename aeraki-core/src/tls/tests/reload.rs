//! Certificates that change while they are in use.

use std::{fs, path::PathBuf};

use aeraki_route::config::{CertificateValidationContext, TlsCertificate};
use tempfile::TempDir;

use super::*;

const SHOP: &str = "127.0.0.1";

/// The files of a server.
struct Files(TempDir);

impl Files {
    fn new(issued: &Issued) -> Self {
        let files = Self(TempDir::new().expect("a folder"));
        files.write(issued);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, Issued { chain, key }: &Issued) {
        fs::write(self.path("chain.pem"), chain).expect("written");
        fs::write(self.path("key.pem"), key).expect("written");
    }

    fn certificate(&self) -> TlsCertificate {
        TlsCertificate::new(self.path("chain.pem"), self.path("key.pem"))
    }
}

fn sample(secrets: &Secrets, name: &str) -> Option<Value> {
    let mut samples = Samples::default();
    crate::observe::Collect::collect(secrets, &mut samples);
    samples.get(&format!("server.{name}"))
}

#[tokio::test(start_paused = true)]
async fn a_new_pair_is_for_new_handshakes_and_a_broken_one_for_none() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = Files::new(&old.issue(&[SHOP]));
    let bench = Bench::new(DownstreamTlsContext::new(files.certificate()));
    let trusting = |authority: &Authority| UpstreamTlsContext::new(authority.trusted());
    let mut open = bench.connect(&trusting(&old)).await.expect("the old pair");

    // half of a change is a key that belongs to another certificate
    let renewed = new.issue(&[SHOP]);
    fs::write(files.path("chain.pem"), &renewed.chain).expect("written");
    bench.secrets.reload();
    bench.call(&trusting(&old)).await.expect("the old pair stays");
    assert_eq!(sample(&bench.secrets, "cert_update_rejected"), Some(Value::Counter(1)));
    bench.secrets.reload();
    assert_eq!(sample(&bench.secrets, "cert_update_rejected"), Some(Value::Counter(1)), "said once");

    files.write(&renewed);
    bench.secrets.reload();
    bench.call(&trusting(&new)).await.expect("the new pair");
    bench.call(&trusting(&old)).await.expect_err("the old pair is gone");
    assert_eq!(sample(&bench.secrets, "cert_update_success"), Some(Value::Counter(1)));

    for nonsense in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\u{1}\u{2}"] {
        fs::write(files.path("chain.pem"), nonsense).expect("written");
        bench.secrets.reload();
    }
    fs::remove_file(files.path("key.pem")).expect("was there");
    bench.secrets.reload();
    assert_eq!(sample(&bench.secrets, "cert_update_rejected"), Some(Value::Counter(5)));
    bench.call(&trusting(&new)).await.expect("the last good pair stays");

    open.write_all(b"still").await.expect("open connections go on");
    open.flush().await.expect("open");
    let mut answer = [0; 5];
    soon(open.read_exact(&mut answer)).await.expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn the_watch_takes_up_changes_until_the_drain() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = Files::new(&old.issue(&[SHOP]));
    let bench = Bench::new(DownstreamTlsContext::new(files.certificate()));
    let drain = Drain::new();
    let watch = tokio::spawn(bench.secrets.clone().watch(drain.clone()));
    files.write(&new.issue(&[SHOP]));
    while sample(&bench.secrets, "cert_update_success") != Some(Value::Counter(1)) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    bench.call(&UpstreamTlsContext::new(new.trusted())).await.expect("the new pair");
    drain.begin();
    soon(watch).await.expect("no panic");
}

#[test]
fn refusals_name_field_file_and_reason() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue(&[SHOP]));
    let (chain, key) = (files.path("chain.pem"), files.path("key.pem"));
    let error =
        |config: DownstreamTlsContext| Secrets::new().server(&config).config().expect_err("refused").to_string();
    let downstream = || DownstreamTlsContext::new(files.certificate());

    let missing = CertificateValidationContext::new(files.path("ca.pem"));
    assert_eq!(
        error(downstream().with_validation(missing)),
        format!(
            "common.validationContext.trustedCa: {}: cannot be read: No such file or directory (os error 2)",
            files.path("ca.pem").display()
        )
    );
    let swapped = TlsCertificate::new(chain.clone(), chain.clone());
    assert_eq!(
        error(DownstreamTlsContext::new(swapped)),
        format!("common.tlsCertificate.privateKey: {}: holds no private key in PEM: no items found", chain.display())
    );
    let swapped = TlsCertificate::new(key.clone(), key.clone());
    assert_eq!(
        error(DownstreamTlsContext::new(swapped)),
        format!("common.tlsCertificate.certificateChain: {}: holds no certificate in PEM", key.display())
    );
    fs::write(&key, authority.issue(&[SHOP]).key).expect("written");
    let refused = format!("common.tlsCertificate.privateKey: {}: does not belong to the certificate", key.display());
    assert_eq!(error(downstream()), refused);
    fs::write(&chain, vec![b'a'; (1 << 20) + 1]).expect("written");
    assert_eq!(
        error(downstream()),
        format!("common.tlsCertificate.certificateChain: {}: cannot be read: file too large", chain.display())
    );
}

#[test]
fn the_first_certificate_to_expire_is_told_in_days() {
    let authority = Authority::new();
    let secrets = Secrets::new();
    assert_eq!(sample(&secrets, "days_until_first_cert_expiring"), None);
    let long = secrets.server(&DownstreamTlsContext::new(authority.issue_until(&[SHOP], 2090).inline()));
    let Some(Value::Gauge(days)) = sample(&secrets, "days_until_first_cert_expiring") else { panic!("no gauge") };
    assert!((20_000..30_000).contains(&days), "{days}");
    let expired = secrets.server(&DownstreamTlsContext::new(authority.issue_until(&[SHOP], 2021).inline()));
    assert_eq!(sample(&secrets, "days_until_first_cert_expiring"), Some(Value::Gauge(0)));
    drop(expired);
    assert_eq!(sample(&secrets, "days_until_first_cert_expiring"), Some(Value::Gauge(days)), "only those in use count");
    drop(long);
}

#[test]
fn a_configuration_is_read_once() {
    let config = DownstreamTlsContext::new(Authority::new().issue(&[SHOP]).inline());
    let secrets = Secrets::new();
    let first = secrets.server(&config);
    assert!(Arc::ptr_eq(&first, &secrets.server(&config)));
}
