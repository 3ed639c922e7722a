//! Transport sockets of clusters and filter chains.

use aeraki_route::config::{
    CertificateValidationContext, Cluster, DataSource, DownstreamTlsContext, Listener, SanKind, SanMatcher, SanValue,
    TlsCertificate, TlsVersion, TransportProtocol, UpstreamTlsContext,
};

use super::*;

/// Reads a cluster with this `UpstreamTlsContext`.
fn cluster(context: &str) -> Result<Cluster, String> {
    let socket = socket("UpstreamTlsContext", context);
    let yaml = format!("{{name: c, transport_socket: {socket}}}");
    cluster_from_proto(&message(&yaml)).map_err(|error| error.to_string())
}

/// Reads a listener with these filter chains, a MetaProtocol proxy in each.
fn listener(chains: &[&str]) -> Result<Listener, String> {
    let chains: Vec<String> = chains.iter().map(|chain| format!("{{{chain} filters: {FILTERS}}}")).collect();
    let yaml = format!(
        "{{name: l, address: {{socket_address: {{address: 127.0.0.1, port_value: 1}}}}, filter_chains: [{}]}}",
        chains.join(", ")
    );
    listener_from_proto(&message(&yaml), &KnownFilters::default()).map_err(|error| error.to_string())
}

pub(super) fn socket(kind: &str, context: &str) -> String {
    let context =
        format!("{{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}, {context}}}");
    format!("{{name: envoy.transport_sockets.tls, typed_config: {context}}}")
}

/// A chain in TLS with this context.
fn secured(context: &str) -> String {
    format!("transport_socket: {},", socket("DownstreamTlsContext", context))
}

pub(super) const FILTERS: &str = "[{name: m, typed_config: {\"@type\": \
    type.googleapis.com/aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy, stat_prefix: s, \
    protocol: {name: dubbo, codec: {name: d}}, route_config: {routes: [{route: {cluster: c}}]}}}]";
const CERTIFICATES: &str =
    "tls_certificates: [{certificate_chain: {filename: /c.pem}, private_key: {inline_string: k}}]";

fn certificate() -> TlsCertificate {
    TlsCertificate::new(DataSource::Filename("/c.pem".into()), DataSource::InlineString("k".to_owned()))
}

pub(super) fn authority() -> CertificateValidationContext {
    CertificateValidationContext::new(DataSource::Filename("/ca.pem".into()))
}

#[test]
fn the_context_of_a_cluster_is_read() {
    let read = cluster(&format!(
        "sni: shop.example, common_tls_context: {{{CERTIFICATES}, alpn_protocols: [istio], \
         tls_params: {{tls_minimum_protocol_version: TLSv1_3}}, validation_context: {{trusted_ca: {{filename: /ca.pem}}, \
         match_typed_subject_alt_names: [{{san_type: URI, matcher: {{prefix: \"spiffe://a/\"}}}}, \
         {{san_type: DNS, matcher: {{exact: shop.example}}}}, {{san_type: DNS, matcher: {{suffix: .example}}}}]}}}}"
    ));
    let [spiffe, shop, example] = [
        SanMatcher::new(SanKind::Uri, SanValue::Prefix("spiffe://a/".to_owned())),
        SanMatcher::new(SanKind::Dns, SanValue::Exact("shop.example".to_owned())),
        SanMatcher::new(SanKind::Dns, SanValue::Suffix(".example".to_owned())),
    ];
    let expected = UpstreamTlsContext::new(authority().with_san(spiffe).with_san(shop).with_san(example))
        .with_certificate(certificate())
        .with_sni("shop.example")
        .with_alpn_protocol("istio")
        .with_min_version(TlsVersion::Tls13);
    assert_eq!(read.expect("is good").tls, Some(expected));
}

#[test]
fn the_context_of_a_filter_chain_is_read() {
    let chain = secured(&format!(
        "require_client_certificate: true, common_tls_context: {{{CERTIFICATES}, \
         validation_context: {{trusted_ca: {{inline_bytes: Y2E=}}}}}}"
    ));
    let read = listener(&[&format!("transport_socket_connect_timeout: 3s, {chain}")]).expect("is good");
    let inline = CertificateValidationContext::new(DataSource::InlineString("ca".to_owned()));
    let expected = DownstreamTlsContext::new(certificate())
        .with_validation(inline)
        .with_required_client_certificate(true)
        .with_handshake_timeout(Duration::from_secs(3));
    assert_eq!(read.filter_chains[0].tls, Some(expected));
    let plain = listener(&["transport_socket: {name: envoy.transport_sockets.raw_buffer},"]).expect("is good");
    assert_eq!(plain.filter_chains[0].tls, None);
}

#[test]
fn chains_may_be_told_apart_by_their_first_bytes() {
    let secured = secured(&format!("common_tls_context: {{{CERTIFICATES}}}"));
    let tls = format!("filter_chain_match: {{transport_protocol: tls}}, {secured}");
    let plain = "filter_chain_match: {transport_protocol: raw_buffer},";
    let read = listener(&[&*tls, plain]).expect("is good").filter_chains;
    let transports = read.iter().map(|chain| (chain.matches.transport_protocol, chain.tls.is_some()));
    let expected = [(Some(TransportProtocol::Tls), true), (Some(TransportProtocol::RawBuffer), false)];
    assert_eq!(transports.collect::<Vec<_>>(), expected);
    assert_eq!(read[0].filter, read[1].filter);
    assert_eq!(
        listener(&[&tls, &tls]).expect_err("is not told apart"),
        "listener \"l\": filterChains[1].matches: matches connections that filterChains[0] matches too"
    );
}

#[test]
fn what_would_verify_less_than_it_says_is_refused() {
    let common = "transport_socket.typed_config.common_tls_context";
    let trusting = |more: &str| {
        format!("common_tls_context: {{validation_context: {{trusted_ca: {{filename: /ca.pem}}, {more}}}}}")
    };
    let cases = [
        (String::new(), format!("{common}: is required")),
        ("common_tls_context: {}".to_owned(), format!("{common}.validation_context: is required")),
        (
            "common_tls_context: {validation_context: {}}".to_owned(),
            format!("{common}.validation_context.trusted_ca: is required"),
        ),
        (
            "common_tls_context: {validation_context_sds_secret_config: {name: ROOTCA}}".to_owned(),
            format!(
                "{common}.validation_context_sds_secret_config: the secret \"ROOTCA\" is to come by SDS, which is not \
                 supported: name files or write it inline"
            ),
        ),
        (
            "common_tls_context: {combined_validation_context: {default_validation_context: {}, \
             validation_context_sds_secret_config: {name: ROOTCA}}}"
                .to_owned(),
            format!(
                "{common}.combined_validation_context: the secret \"ROOTCA\" is to come by SDS, which is not supported: \
                 name files or write it inline"
            ),
        ),
        (
            "common_tls_context: {tls_certificate_sds_secret_configs: [{name: default}]}".to_owned(),
            format!(
                "{common}.tls_certificate_sds_secret_configs: the secret \"default\" is to come by SDS, which is not \
                 supported: name files or write it inline"
            ),
        ),
        (trusting("crl: {filename: /crl.pem}"), format!("{common}.validation_context.crl: is not supported")),
        (
            trusting("verify_certificate_hash: [\"0\"]"),
            format!("{common}.validation_context.verify_certificate_hash: is not supported"),
        ),
        (
            trusting("trust_chain_verification: ACCEPT_UNTRUSTED"),
            format!("{common}.validation_context.trust_chain_verification: is not supported"),
        ),
        (
            trusting("custom_validator_config: {name: spiffe}"),
            format!("{common}.validation_context.custom_validator_config: is not supported"),
        ),
        (
            trusting("match_typed_subject_alt_names: [{san_type: EMAIL, matcher: {exact: a}}]"),
            format!(
                "{common}.validation_context.match_typed_subject_alt_names[0].san_type: EMAIL is not supported: use DNS \
                 or URI"
            ),
        ),
        (
            trusting("match_typed_subject_alt_names: [{san_type: DNS, matcher: {contains: a}}]"),
            format!(
                "{common}.validation_context.match_typed_subject_alt_names[0].matcher: must be exact, prefix or suffix"
            ),
        ),
        (
            "common_tls_context: {tls_params: {tls_maximum_protocol_version: TLSv1_2}}".to_owned(),
            format!("{common}.tls_params.tls_maximum_protocol_version: is not supported"),
        ),
        (
            "auto_sni_san_validation: true".to_owned(),
            "transport_socket.typed_config.auto_sni_san_validation: is not supported".to_owned(),
        ),
        (
            "enforce_rsa_key_usage: true".to_owned(),
            "transport_socket.typed_config.enforce_rsa_key_usage: is not supported".to_owned(),
        ),
    ];
    for (context, expected) in cases {
        assert_eq!(cluster(&context).expect_err("is refused"), format!("cluster \"c\": {expected}"), "{context}");
    }
}

#[test]
fn tls_that_some_endpoints_would_have_is_refused_rather_than_left_out() {
    let istio = format!(
        "{{name: c, transport_socket_matches: [{{name: tlsMode-istio, match: {{tlsMode: istio}}, transport_socket: {}}}, \
         {{name: tlsMode-disabled, match: {{}}, transport_socket: {{name: envoy.transport_sockets.raw_buffer}}}}]}}",
        socket("UpstreamTlsContext", "common_tls_context: {}")
    );
    let matcher = "{name: c, transport_socket_matcher: {}}";
    for (yaml, field) in [(&*istio, "transport_socket_matches"), (matcher, "transport_socket_matcher")] {
        let expected =
            format!("cluster \"c\": {field}: is not supported: use transport_socket, the same for all endpoints");
        assert_eq!(cluster_from_proto(&message(yaml)).expect_err("is refused").to_string(), expected);
    }
}

#[test]
fn refusals_of_a_filter_chain_name_it() {
    let place = "listener \"l\": filter_chains[0].transport_socket";
    let cases = [
        (secured("common_tls_context: {}"), "typed_config.common_tls_context.tls_certificates: is required"),
        (
            secured(&format!("require_sni: true, common_tls_context: {{{CERTIFICATES}}}")),
            "typed_config.require_sni: is not supported",
        ),
        (
            secured("common_tls_context: {tls_certificates: [{}, {}]}"),
            "typed_config.common_tls_context.tls_certificates: must hold one certificate, not 2",
        ),
        (
            secured("common_tls_context: {tls_certificates: [{certificate_chain: {filename: /c.pem}}]}"),
            "typed_config.common_tls_context.tls_certificates[0].private_key: is required",
        ),
        ("transport_socket: {name: envoy.transport_sockets.tls},".to_owned(), "typed_config: is required"),
    ];
    for (chain, expected) in cases {
        assert_eq!(listener(&[&chain]).expect_err("is refused"), format!("{place}.{expected}"));
    }
    let other = "transport_socket: {name: envoy.transport_sockets.alts},";
    assert_eq!(
        listener(&[other]).expect_err("is refused"),
        format!(
            "{place}: \"envoy.transport_sockets.alts\" is not supported: use envoy.transport_sockets.tls or \
             envoy.transport_sockets.raw_buffer"
        )
    );
}
