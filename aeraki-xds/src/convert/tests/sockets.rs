//! What is said of the sockets of listeners and clusters.

use aeraki_route::config::{
    Cluster, ConnectionLimit, Discovery, Listener, OriginalDst, Pipe, ProxyProtocol, ProxyProtocolVersion,
    TcpKeepalive, UpstreamTlsContext,
};

use super::{
    tls::{FILTERS, authority, socket},
    *,
};

/// Reads a listener with these fields.
fn listener(fields: &str) -> Result<Listener, String> {
    serving(FILTERS, fields)
}

/// Reads a listener with these filters and other fields.
fn serving(filters: &str, fields: &str) -> Result<Listener, String> {
    listening("{socket_address: {address: 127.0.0.1, port_value: 1}}", filters, fields)
}

/// Reads a listener at this address, with these filters and other fields.
fn listening(address: &str, filters: &str, fields: &str) -> Result<Listener, String> {
    let yaml = format!("{{name: l, address: {address}, {fields} filter_chains: {{filters: {filters}}}}}");
    listener_from_proto(&message(&yaml), &KnownFilters::default()).map_err(|error| error.to_string())
}

/// Reads a listener with a limit of connections of these fields.
fn limited(fields: &str) -> Result<Listener, String> {
    let url = "type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit";
    let config = format!("{{\"@type\": {url}, stat_prefix: in, {fields}}}");
    let limit = format!("{{name: envoy.filters.network.connection_limit, typed_config: {config}}}");
    serving(&FILTERS.replacen('[', &format!("[{limit}, "), 1), "")
}

/// Reads a cluster with these fields.
fn cluster(fields: &str) -> Result<Cluster, String> {
    cluster_from_proto(&message(&format!("{{name: c, {fields}}}"))).map_err(|error| error.to_string())
}

#[test]
fn the_header_of_a_load_balancer_is_taken_where_the_listener_says_so() {
    let filter = |config: &str| {
        let url = "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";
        let name = "envoy.filters.listener.proxy_protocol";
        format!("listener_filters: [{{name: {name}, typed_config: {{\"@type\": {url}, {config}}}}}],")
    };
    assert_eq!(listener("").expect("is good").proxy_protocol, None);
    assert_eq!(listener(&filter("")).expect("is good").proxy_protocol, Some(ProxyProtocol::default()));
    let more = format!("listener_filters_timeout: 3s, {}", filter("allow_requests_without_proxy_protocol: true"));
    let expected = ProxyProtocol::default().with_optional_header(true).with_timeout(Duration::from_secs(3));
    assert_eq!(listener(&more).expect("is good").proxy_protocol, Some(expected));
    let inspector = "listener_filters: [{name: envoy.filters.listener.tls_inspector}],";
    assert_eq!(listener(inspector).expect("is good").proxy_protocol, None);
    assert_eq!(
        listener("listener_filters: [{name: other}],").expect_err("is refused"),
        "listener \"l\": listener_filters[0] \"other\": is not supported: use envoy.filters.listener.proxy_protocol, \
         envoy.filters.listener.original_dst, envoy.filters.listener.tls_inspector or aeraki.filters.listener.detect"
    );
    assert_eq!(
        listener(&filter("disallowed_versions: [V1]")).expect_err("is refused"),
        "listener \"l\": listener_filters[0] \"envoy.filters.listener.proxy_protocol\".typed_config.disallowed_versions: \
         is not supported"
    );
}

#[test]
fn servers_are_told_of_clients_around_another_transport_socket() {
    let read = |context: &str| {
        let url =
            "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";
        let name = "envoy.transport_sockets.upstream_proxy_protocol";
        let socket = format!("{{name: {name}, typed_config: {{\"@type\": {url}, {context}}}}}");
        cluster(&format!("transport_socket: {socket}"))
    };
    let plain = "transport_socket: {name: envoy.transport_sockets.raw_buffer}";
    let version = |context| read(context).expect("is good").proxy_protocol;
    assert_eq!(version(plain), Some(ProxyProtocolVersion::V1));
    assert_eq!(version(&format!("config: {{version: V2}}, {plain}")), Some(ProxyProtocolVersion::V2));
    let tls =
        socket("UpstreamTlsContext", "common_tls_context: {validation_context: {trusted_ca: {filename: /ca.pem}}}");
    let both = read(&format!("transport_socket: {tls}")).expect("is good");
    assert_eq!(both.tls, Some(UpstreamTlsContext::new(authority())));
    let place = "cluster \"c\": transport_socket.typed_config";
    let refusals = [
        ("".to_owned(), "transport_socket: is required"),
        (format!("config: {{added_tlvs: [{{type: 1}}]}}, {plain}"), "config.added_tlvs: is not supported"),
        (
            format!("transport_socket: {}", socket("UpstreamTlsContext", "")),
            "transport_socket.typed_config.common_tls_context: is required",
        ),
    ];
    for (context, expected) in refusals {
        assert_eq!(read(&context).expect_err("is refused"), format!("{place}.{expected}"));
    }
}

#[test]
fn silent_peers_are_asked_where_no_zero_forbids_it() {
    let keepalive = "tcp_keepalive: {keepalive_probes: 3, keepalive_time: 300, keepalive_interval: 30}";
    let seconds = Duration::from_secs;
    let expected = TcpKeepalive::default().with_probes(3).with_time(seconds(300)).with_interval(seconds(30));
    assert_eq!(listener(&format!("{keepalive},")).expect("is good").tcp_keepalive, Some(expected));
    let read = |keepalive: &str| cluster(&format!("upstream_connection_options: {{{keepalive}}}"));
    assert_eq!(read(keepalive).expect("is good").tcp_keepalive, Some(expected));
    assert_eq!(read("tcp_keepalive: {}").expect("is good").tcp_keepalive, Some(TcpKeepalive::default()));
    for off in ["", "tcp_keepalive: {keepalive_time: 0}", "tcp_keepalive: {keepalive_probes: 0, keepalive_time: 9}"] {
        assert_eq!(read(off).expect("is good").tcp_keepalive, None, "{off}");
    }
    let of_clients = TcpKeepalive::default().with_probes(3).with_time(seconds(30)).with_interval(seconds(10));
    assert_eq!(listener("").expect("is good").tcp_keepalive, Some(of_clients));
    assert_eq!(listener("tcp_keepalive: {},").expect("is good").tcp_keepalive, Some(TcpKeepalive::default()));
    assert_eq!(listener("tcp_keepalive: {keepalive_time: 0},").expect("is good").tcp_keepalive, None);
    let refusals = [
        ("keepalive_probes: 128", "probes: must be from 1 to 127"),
        ("keepalive_time: 32768", "time: must be whole seconds, from 1 to 32767"),
        ("keepalive_interval: 32768", "interval: must be whole seconds, from 1 to 32767"),
    ];
    for (field, expected) in refusals {
        let refused = read(&format!("tcp_keepalive: {{{field}}}")).expect_err("is too much");
        assert_eq!(refused, format!("cluster \"c\": tcpKeepalive.{expected}"));
    }
}

#[test]
fn a_limit_of_connections_stands_before_the_proxy() {
    let limit = ConnectionLimit::new("in", 100);
    assert_eq!(listener("").expect("is good").filter_chains[0].connection_limit, None);
    assert_eq!(
        limited("max_connections: 100").expect("is good").filter_chains[0].connection_limit,
        Some(limit.clone())
    );
    let delayed = Some(limit.with_delay(Duration::from_secs(3)));
    assert_eq!(limited("max_connections: 100, delay: 3s").expect("is good").filter_chains[0].connection_limit, delayed);
    let off = limited("max_connections: 100, runtime_enabled: {default_value: false}").expect("is good");
    assert_eq!(off.filter_chains[0].connection_limit, None);
    let place = "listener \"l\": filter_chains[0].filters[0] \"envoy.filters.network.connection_limit\".typed_config";
    assert_eq!(limited("").expect_err("is refused"), format!("{place}.max_connections: is required"));
    let most = "max_connections: '4294967296'";
    assert_eq!(limited(most).expect_err("is refused"), format!("{place}.max_connections: is more than can be"));
    let none = limited("max_connections: 0").expect_err("is refused");
    assert_eq!(none, "listener \"l\": filterChains[0].connectionLimit.maxConnections: must not be zero");
}

#[test]
fn the_address_that_a_client_meant_is_asked_for_by_a_filter() {
    assert!(!listener("").expect("is good").original_dst);
    assert!(listener("use_original_dst: true,").expect("is good").original_dst);
    let [original, proxy] =
        ["original_dst", "proxy_protocol"].map(|name| format!("{{name: envoy.filters.listener.{name}}}"));
    let both = listener(&format!("listener_filters: [{original}, {proxy}],")).expect("is good");
    assert!(both.original_dst && both.proxy_protocol.is_some());
    assert_eq!(
        listener(&format!("listener_filters: [{original}, {original}],")).expect_err("is refused"),
        "listener \"l\": listener_filters[1] \"envoy.filters.listener.original_dst\": is there twice"
    );
}

#[test]
fn requests_go_where_clients_meant_them_to_go_where_the_cluster_says_so() {
    let read = |fields: &str| cluster(&format!("type: ORIGINAL_DST, {fields}"));
    let provided = |fields: &str| read(&format!("lb_policy: CLUSTER_PROVIDED, {fields}"));
    let original = |fields: &str| provided(fields).expect("is good").discovery;
    assert_eq!(original(""), Discovery::OriginalDst(OriginalDst::default()));
    let expected = OriginalDst::default().with_cleanup_interval(Duration::from_secs(9)).with_port_override(80);
    let fields = "cleanup_interval: 9s, original_dst_lb_config: {upstream_port_override: 80}";
    assert_eq!(original(fields), Discovery::OriginalDst(expected));
    let endpoint = "endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}";
    let endpoints = format!("load_assignment: {{endpoints: [{{lb_endpoints: [{{{endpoint}}}]}}]}}");
    let meant = "is not for a cluster whose requests go where clients meant them to go";
    for (refused, expected) in [
        (read(""), "lb_policy: must be CLUSTER_PROVIDED: clients say where they want to go".to_owned()),
        (provided(&endpoints), format!("endpoints: {meant}")),
        (
            provided("original_dst_lb_config: {use_http_header: true}"),
            "original_dst_lb_config.use_http_header: is not supported".to_owned(),
        ),
        (
            provided("original_dst_lb_config: {upstream_port_override: 65536}"),
            "original_dst_lb_config.upstream_port_override: 65536 is not a port".to_owned(),
        ),
        (
            cluster("original_dst_lb_config: {}"),
            "original_dst_lb_config: belongs to CLUSTER_PROVIDED, and lb_policy is ROUND_ROBIN".to_owned(),
        ),
    ] {
        assert_eq!(refused.expect_err("is refused"), format!("cluster \"c\": {expected}"));
    }
}

#[test]
fn an_endpoint_may_be_a_unix_socket() {
    let cluster = |pipe: &str| {
        let endpoint = format!("{{endpoint: {{address: {{pipe: {{{pipe}}}}}}}}}");
        cluster(&format!("load_assignment: {{cluster_name: c, endpoints: [{{lb_endpoints: [{endpoint}]}}]}}"))
    };
    for path in ["/run/a.sock", "./etc/istio/proxy/XDS", "@name"] {
        let read = cluster(&format!("path: '{path}'")).expect("is good");
        assert_eq!(read, Cluster::new("c").with_endpoint(Pipe::new(path)));
    }
    for (pipe, expected) in [
        ("", "path: must not be empty"),
        ("path: a.sock", "path: must hold a \"/\" or begin with \"@\""),
        ("path: /a, mode: 1", "mode: is for who listens there"),
    ] {
        let refused = cluster(pipe).expect_err("is refused");
        assert_eq!(refused, format!("cluster \"c\": endpoints[0].address.{expected}"), "{pipe}");
    }
}

#[test]
fn a_listener_may_listen_on_a_unix_socket() {
    let at = |pipe: &str, fields: &str| listening(&format!("{{pipe: {{{pipe}}}}}"), FILTERS, fields);
    let address = |pipe: &str| at(pipe, "").expect("is good").address;
    assert_eq!(address("path: /run/a.sock"), Pipe::new("/run/a.sock").into());
    assert_eq!(address("path: /run/a.sock, mode: 438"), Pipe::new("/run/a.sock").with_mode(0o666).into());
    assert_eq!(address("path: '@name'"), Pipe::new("@name").into());
    let long = format!("path: /{}", "x".repeat(107));
    for (pipe, fields, expected) in [
        ("", "", "address.path: must not be empty"),
        ("path: '@'", "", "address.path: must not be empty"),
        (&*long, "", "address.path: must not be longer than 107 bytes"),
        ("path: /a, mode: 512", "", "address.mode: must not exceed 0o777, which is 511"),
        ("path: '@a', mode: 1", "", "address.mode: is for files, and a name has none"),
        ("path: /a", "tcp_keepalive: {},", "tcpKeepalive: is for TCP, and the address is a Unix socket"),
        ("path: /a", "use_original_dst: true,", "originalDst: is for TCP, and the address is a Unix socket"),
    ] {
        let refused = at(pipe, fields).expect_err("is refused");
        assert_eq!(refused, format!("listener \"l\": {expected}"), "{pipe}");
    }
}
