//! Certificates that change while they are in use.

use std::{fs, path::PathBuf};

use aeraki_route::config::{CertificateValidationContext, Cluster, FilterChain, Listener, TlsCertificate};
use tempfile::TempDir;

use super::{chains::service, *};
use crate::{logged::Log, observe::ListenerStats, upstream::ClusterStats};

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

    fn server(&self) -> DownstreamTlsContext {
        DownstreamTlsContext::new(self.certificate())
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
    let bench = Bench::new(files.server());
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

#[test]
fn what_is_refused_is_told_once_to_each_listener_and_cluster_that_uses_it() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue(&[SHOP]));
    let (secrets, stats) = (Secrets::new(), ListenerStats::new("in"));
    let mut chain = FilterChain::new(service());
    chain.tls = Some(files.server());
    let plain = || Arc::new(Echo(mpsc::unbounded_channel().0));
    let served = ["a", "b", "b", "gone"].map(|path| secrets.serve(plain(), (path, &chain), "in", &stats));
    let [first, second, again, gone] = served;
    drop(gone);
    let tls = UpstreamTlsContext::new(authority.trusted()).with_certificate(files.certificate());
    let cluster = Cluster::new("c").with_tls(tls);
    let plain: Arc<dyn Connector> = Arc::new(Pipe(plain()));
    let connector = secrets.connector(&plain, &cluster, &ClusterStats::default());

    let log = Log::begin();
    fs::write(files.path("key.pem"), authority.issue(&[SHOP]).key).expect("written");
    secrets.reload();
    secrets.reload();
    let told = log.take();
    let reason = format!("{}: does not belong to the certificate", files.path("key.pem").display());
    let lines: Vec<_> = told.lines().filter_map(|line| line.split_once("error=")).map(|(_, error)| error).collect();
    let field = "tls.common.tlsCertificate.privateKey";
    let expected =
        ["listener \"in\": a.", "listener \"in\": b.", "cluster \"c\": "].map(|at| format!("{at}{field}: {reason}"));
    assert_eq!(lines, expected);
    drop((first, second, again, connector));
}

#[tokio::test(start_paused = true)]
async fn the_watch_takes_up_changes_until_the_drain() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = Files::new(&old.issue(&[SHOP]));
    let bench = Bench::new(files.server());
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
    let downstream = || files.server();

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
fn certificates_beyond_their_time_are_refused_with_file_and_date() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue_for(&[SHOP], 2001..2002));
    let chain = files.path("chain.pem");
    let refused = |reason: &str| {
        let server = Listener::of("in", NOWHERE, FilterChain::new(service()).with_tls(files.server()));
        let refused = Secrets::new().check_listener(&server).expect_err("refused").to_string();
        let place = format!("common.tlsCertificate.certificateChain: {}", chain.display());
        assert_eq!(refused, format!("listener \"in\": filterChains[0].tls.{place}: {reason}"));
        let client = UpstreamTlsContext::new(authority.trusted()).with_certificate(files.certificate());
        let refused = Secrets::new().check_cluster(&Cluster::new("c").with_tls(client)).expect_err("refused");
        assert_eq!(refused.to_string(), format!("cluster \"c\": tls.{place}: {reason}"));
    };
    refused("has expired on 2002-01-01 00:00:00 UTC");
    files.write(&authority.issue_for(&[SHOP], 2301..2302));
    refused("is not valid before 2301-01-01 00:00:00 UTC");
    files.write(&authority.issue(&[SHOP]));
    Secrets::new().server(&files.server()).config().expect("is valid");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_taken_up_when_its_time_comes_and_not_when_it_has_gone() {
    let (old, new) = (Authority::new(), Authority::new());
    let (now, files) = (in_2020(), Files::new(&old.issue(&[SHOP])));
    let bench = Bench::with(secrets_at(&now), files.server());
    let trusting = |authority: &Authority| UpstreamTlsContext::new(authority.trusted());
    let counted = || ["rejected", "success"].map(|what| sample(&bench.secrets, &format!("cert_update_{what}")));
    let counts = |rejected, renewed| [rejected, renewed].map(|count| Some(Value::Counter(count)));

    files.write(&new.issue_for(&[SHOP], 2001..2002));
    bench.secrets.reload();
    bench.call(&trusting(&old)).await.expect("the last good one stays");
    assert_eq!(counted(), counts(1, 0));

    files.write(&new.issue_for(&[SHOP], 2021..2090));
    for _ in 0..2 {
        bench.secrets.reload();
        bench.call(&trusting(&old)).await.expect("the last good one stays");
        assert_eq!(counted(), counts(2, 0), "said once");
    }
    now.store(1_609_459_200, Relaxed);
    bench.secrets.reload();
    bench.call(&trusting(&new)).await.expect("its time has come");
    assert_eq!(counted(), counts(2, 1));
    bench.secrets.reload();
    assert_eq!(counted(), counts(2, 1), "said once");
}

#[test]
fn a_certificate_that_expires_in_use_is_no_reason_to_refuse_another_change() {
    let (authority, now) = (Authority::new(), in_2020());
    let files = Files::new(&authority.issue_until(&[SHOP], 2021));
    let listener = Listener::of("in", NOWHERE, FilterChain::new(service()).with_tls(files.server()));
    let secrets = secrets_at(&now);
    let _in_use = secrets.server(&files.server());
    secrets.check_listener(&listener).expect("is valid");
    now.fetch_add(2 * 365 * 24 * 60 * 60, Relaxed);
    secrets.check_listener(&listener).expect("it is in use");
    secrets_at(&now).check_listener(&listener).expect_err("nobody uses it");
}

#[test]
fn the_first_certificate_to_expire_is_told_in_days() {
    let (authority, now) = (Authority::new(), in_2020());
    let secrets = secrets_at(&now);
    assert_eq!(sample(&secrets, "days_until_first_cert_expiring"), None);
    let long = secrets.server(&DownstreamTlsContext::new(authority.issue_until(&[SHOP], 2090).inline()));
    let days = || sample(&secrets, "days_until_first_cert_expiring");
    assert_eq!(days(), Some(Value::Gauge(25416)));
    let short = secrets.server(&DownstreamTlsContext::new(authority.issue_until(&[SHOP], 2021).inline()));
    assert_eq!(days(), Some(Value::Gauge(214)));
    now.fetch_add(300 * 24 * 60 * 60, Relaxed);
    assert_eq!(days(), Some(Value::Gauge(0)), "it has expired while in use");
    drop(short);
    assert_eq!(days(), Some(Value::Gauge(25116)), "only those in use count");
    drop(long);
}

#[test]
fn a_configuration_is_read_once() {
    let config = DownstreamTlsContext::new(Authority::new().issue(&[SHOP]).inline());
    let secrets = Secrets::new();
    let first = secrets.server(&config);
    assert!(Arc::ptr_eq(&first, &secrets.server(&config)));
}
