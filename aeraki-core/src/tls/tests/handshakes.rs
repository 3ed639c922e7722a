//! Who believes whom, and what the first bytes tell.

use aeraki_codec::Registry;
use aeraki_route::config::{
    CertificateValidationContext, Cluster, ProxyProtocol, ProxyProtocolVersion, SanKind, SanMatcher, SanValue,
    TlsVersion,
};

use super::*;
use crate::{
    observe::ListenerStats,
    proxy_protocol::Addresses,
    server,
    stack::ConnInfo,
    upstream::{ClusterStats, Context},
};

const SHOP: &str = "spiffe://cluster.local/ns/shop/sa/server";
const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

fn uri(prefix: &str) -> SanMatcher {
    SanMatcher::new(SanKind::Uri, SanValue::Prefix(prefix.to_owned()))
}

fn host(name: &str) -> SanMatcher {
    SanMatcher::new(SanKind::Dns, SanValue::Exact(name.to_owned()))
}

/// A server that wants certificates of clients, which the same authority issues.
pub(super) fn mutual(authority: &Authority) -> DownstreamTlsContext {
    DownstreamTlsContext::new(authority.issue(&[SHOP, "shop.example", "127.0.0.1"]).inline())
        .with_validation(authority.trusted())
        .with_required_client_certificate(true)
}

pub(super) fn client(authority: &Authority) -> UpstreamTlsContext {
    UpstreamTlsContext::new(authority.trusted()).with_certificate(authority.issue(&[WEB]).inline())
}

#[tokio::test(start_paused = true)]
async fn a_client_is_known_by_its_spiffe_id() {
    let authority = Authority::new();
    let mut bench = Bench::new(mutual(&authority));
    bench.call(&client(&authority)).await.expect("the IP address is in the certificate");
    assert_eq!(bench.accepted().await.principal.as_deref(), Some("cluster.local/ns/shop/sa/web"));
    assert_eq!(counted(&bench.downstream), [("handshake".to_owned(), 1)]);
    assert_eq!(counted(&bench.upstream), [("handshake".to_owned(), 1)]);

    bench.call(&client(&authority).with_sni("shop.example")).await.expect("the host name is there");
    bench.call(&client(&authority).with_min_version(TlsVersion::Tls13)).await.expect("the newest version is spoken");
    assert_eq!(counted(&bench.upstream), [("handshake".to_owned(), 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_server_is_believed_by_authority_time_and_name() {
    let (authority, other) = (Authority::new(), Authority::new());
    let named = |matcher| UpstreamTlsContext::new(authority.trusted().with_san(matcher));
    let good = &[SHOP, "shop.example", "127.0.0.1"][..];
    let cases = [
        (authority.issue(good), named(uri(SHOP)), None),
        (authority.issue(good), named(uri("spiffe://cluster.local/ns/bank/")), Some("fail_verify_san")),
        (authority.issue(good), named(host("shop.example")).with_sni("elsewhere.example"), None),
        (authority.issue(good), named(host("elsewhere.example")), Some("fail_verify_san")),
        (authority.issue(good), named(host(SHOP)), Some("fail_verify_san")),
        (authority.issue(&["*.shop.example"]), named(host("a.shop.example")), None),
        (authority.issue(&[]), named(uri("spiffe://")), Some("fail_verify_san")),
        (
            authority.issue(good),
            UpstreamTlsContext::new(authority.trusted()).with_sni("a.example"),
            Some("fail_verify_san"),
        ),
        (authority.issue(&[SHOP]), UpstreamTlsContext::new(authority.trusted()), Some("fail_verify_san")),
        (other.issue(good), UpstreamTlsContext::new(authority.trusted()), Some("fail_verify_error")),
        (other.issue(good), named(uri(SHOP)), Some("fail_verify_error")),
        (authority.issue_until(good, 2021), UpstreamTlsContext::new(authority.trusted()), Some("fail_verify_error")),
        (authority.issue_until(good, 2021), named(uri(SHOP)), Some("fail_verify_error")),
    ];
    for (index, (shown, config, failure)) in cases.into_iter().enumerate() {
        // whoever shows an expired one has taken it up when it was good
        let bench = Bench::with(secrets_at(&in_2020()), DownstreamTlsContext::new(shown.inline()));
        assert_eq!(bench.call(&config).await.is_err(), failure.is_some(), "case {index}");
        assert_eq!(counted(&bench.upstream), [(failure.unwrap_or("handshake").to_owned(), 1)], "case {index}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_on_a_unix_socket_is_believed_by_its_name_alone() {
    let authority = Authority::new();
    let trusting = |sans: &[SanMatcher]| {
        UpstreamTlsContext::new(sans.iter().cloned().fold(authority.trusted(), CertificateValidationContext::with_san))
    };
    let bench = Bench::new(DownstreamTlsContext::new(authority.issue(&[SHOP, "shop.example", "127.0.0.1"]).inline()));
    let address = config::Pipe::new("/run/shop.sock").into();
    for (config, believed) in [
        (trusting(&[]).with_sni("shop.example"), true),
        (trusting(&[]).with_sni("bank.example"), false),
        (trusting(&[uri(SHOP)]), true),
        (trusting(&[uri("spiffe://cluster.local/ns/bank/")]), false),
        // configurations that say neither are refused; this is what stands behind that
        (trusting(&[]), false),
    ] {
        assert_eq!(bench.connect_to(&address, &config).await.is_ok(), believed, "{config:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_is_believed_by_authority_time_and_name() {
    let (authority, other) = (Authority::new(), Authority::new());
    let trusting = || UpstreamTlsContext::new(authority.trusted());
    let showing = |issued: Issued| trusting().with_certificate(issued.inline());
    let choosy =
        || mutual(&authority).with_validation(authority.trusted().with_san(uri("spiffe://cluster.local/ns/shop/")));
    let cases = [
        (choosy(), showing(authority.issue(&[WEB])), None),
        (choosy(), showing(authority.issue(&["spiffe://cluster.local/ns/bank/sa/web"])), Some("fail_verify_san")),
        (mutual(&authority), trusting(), Some("fail_verify_no_cert")),
        (mutual(&authority), showing(other.issue(&[WEB])), Some("fail_verify_error")),
        (mutual(&authority), showing(authority.issue_until(&[WEB], 2021)), Some("fail_verify_error")),
        (
            mutual(&authority).with_required_client_certificate(false),
            showing(other.issue(&[WEB])),
            Some("fail_verify_error"),
        ),
    ];
    for (index, (config, shown, failure)) in cases.into_iter().enumerate() {
        let mut bench = Bench::with(secrets_at(&in_2020()), config);
        let called = bench.call(&shown).await;
        assert_eq!(called.is_err(), failure.is_some(), "case {index}: {called:?}");
        assert_eq!(counted(&bench.downstream), [(failure.unwrap_or("handshake").to_owned(), 1)], "case {index}");
        assert_eq!(bench.served.try_recv().is_err(), failure.is_some(), "case {index}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_need_not_show_a_certificate_has_no_identity() {
    let authority = Authority::new();
    let mut bench = Bench::new(mutual(&authority).with_required_client_certificate(false));
    bench.call(&UpstreamTlsContext::new(authority.trusted())).await.expect("none is required");
    assert_eq!(bench.accepted().await.principal, None);
    bench.call(&client(&authority)).await.expect("one is welcome");
    assert!(bench.accepted().await.principal.is_some());
    assert_eq!(counted(&bench.downstream), [("handshake".to_owned(), 2), ("no_certificate".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn application_protocols_have_to_meet() {
    let authority = Authority::new();
    let bench = Bench::new(mutual(&authority).with_alpn_protocol("istio").with_alpn_protocol("dubbo"));
    bench.call(&client(&authority).with_alpn_protocol("dubbo")).await.expect("both know it");
    bench.call(&client(&authority)).await.expect("a client need not say");
    bench.call(&client(&authority).with_alpn_protocol("h2")).await.expect_err("only one knows it");
    assert_eq!(counted(&bench.downstream), [("connection_error".to_owned(), 1), ("handshake".to_owned(), 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_ends_in_time_and_nonsense_at_once() {
    let authority = Authority::new();
    let mut bench = Bench::new(mutual(&authority).with_handshake_timeout(Duration::from_secs(2)));
    let begun = tokio::time::Instant::now();
    let mut silent = bench.connect_plain();
    assert_eq!(soon(silent.read(&mut [0])).await.expect("closed"), 0);
    assert_eq!(begun.elapsed().as_secs(), 2);
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\0\x01\0"] {
        let mut client = bench.connect_plain();
        client.write_all(nonsense).await.expect("room in the pipe");
        client.shutdown().await.expect("open");
        let mut rest = Vec::new();
        soon(client.read_to_end(&mut rest)).await.expect("closed");
    }
    let expected = [("connection_error".to_owned(), 4), ("handshake_timeout".to_owned(), 1)];
    assert_eq!(counted(&bench.downstream), expected);
    assert!(bench.served.try_recv().is_err(), "nobody gets in");
}

#[tokio::test(start_paused = true)]
async fn an_end_without_warning_is_an_error_and_one_with_it_is_not() {
    let authority = Authority::new();
    let bench = Bench::new(mutual(&authority));
    let mut io = bench.connect(&client(&authority)).await.expect("good certificates");
    io.write_all(b"bye").await.expect("open");
    io.shutdown().await.expect("open");
    let mut rest = Vec::new();
    soon(io.read_to_end(&mut rest)).await.expect("the server says goodbye too");
    assert_eq!(rest, b"bye");
}

#[tokio::test(start_paused = true)]
async fn the_header_of_the_proxy_protocol_comes_before_tls() {
    let authority = Authority::new();
    let mut bench = Bench::new(mutual(&authority));
    let plain =
        server::ProxyProtocol::new(Arc::new(bench.server.clone()), ProxyProtocol::default(), ListenerStats::new("in"));
    let context = Context::new().with_connector(Arc::new(Pipe(Arc::new(plain)))).with_secrets(bench.secrets.clone());
    let [peer, local] = [[10, 0, 0, 1], [10, 0, 0, 9]].map(|ip| SocketAddr::from((ip, 80)));
    let dubbo = Arc::clone(Registry::builtin().get("dubbo").expect("is built in"));
    let asking = ConnInfo::new("in".into(), dubbo, peer, local);
    let cluster = Cluster::new("c").with_tls(client(&authority)).with_proxy_protocol(ProxyProtocolVersion::V2);
    let connector = context.connector(&cluster, &ClusterStats::default(), Some(Addresses::of(&asking)));
    let mut io =
        soon(connector.connect(&SocketAddr::from(([127, 0, 0, 1], 443)).into())).await.expect("both are spoken");
    let accepted = bench.accepted().await;
    assert_eq!((accepted.peer, accepted.local), (peer, local));
    assert_eq!(accepted.principal.as_deref(), Some("cluster.local/ns/shop/sa/web"));
    io.write_all(b"hello").await.expect("open");
    io.flush().await.expect("open");
    let mut answer = [0; 5];
    soon(io.read_exact(&mut answer)).await.expect("an answer");
    assert_eq!(&answer, b"hello");
}
