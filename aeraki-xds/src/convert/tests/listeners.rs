//! Listeners and what serves their connections.

use aeraki_route::config::{
    ConnectionSourceType, Destination, FilterChain, FilterChainMatch, HashPolicy, Listener, NetworkFilter, TcpProxy,
    TransportProtocol, WeightedCluster,
};
use prost::Name;

use super::*;

/// Reads a listener with these fields.
fn listener(fields: &str) -> Result<Listener, String> {
    let yaml = format!("{{name: l, address: {{socket_address: {{address: 127.0.0.1, port_value: 1}}}}, {fields}}}");
    let read = from_yaml(&crate::proto::envoy::config::listener::v3::Listener::full_name(), &yaml);
    let read: crate::proto::envoy::config::listener::v3::Listener = read.transcode_to().expect("is the same message");
    listener_from_proto(&read, &KnownFilters::default()).map_err(|error| error.to_string())
}

/// Writes a filter that passes connections on.
fn tcp(fields: &str) -> String {
    let url = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    format!("{{name: tcp, typed_config: {{\"@type\": {url}, stat_prefix: s, {fields}}}}}")
}

fn tcp_proxy(fields: &str) -> Result<TcpProxy, String> {
    let mut read = listener(&format!("filter_chains: [{{filters: [{}]}}]", tcp(fields)))?;
    match read.filter_chains.remove(0).filter {
        NetworkFilter::TcpProxy(proxy) => Ok(*proxy),
        other => panic!("{other:?}"),
    }
}

#[test]
fn connections_are_passed_on_as_said() {
    assert_eq!(tcp_proxy("cluster: c"), Ok(TcpProxy::new("s", "c")));
    let all = "weighted_clusters: {clusters: [{name: a, weight: 3, metadata_match: {filter_metadata: {envoy.lb: {v: 1}}}}, \
               {name: b, weight: 1}]}, idle_timeout: 2s, max_connect_attempts: 3, hash_policy: {source_ip: {}}, \
               max_downstream_connection_duration: 60s, metadata_match: {filter_metadata: {envoy.lb: {zone: x}}}";
    let clusters = vec![WeightedCluster::new("a", 3).with_metadata_match("v", "1"), WeightedCluster::new("b", 1)];
    let mut expected = TcpProxy::to("s", Destination::Weighted(clusters))
        .with_idle_timeout(Some(Duration::from_secs(2)))
        .with_max_connect_attempts(3)
        .with_metadata_match("zone", "x")
        .with_max_downstream_connection_duration(Duration::from_secs(60));
    expected.hash_policy = vec![HashPolicy::source_ip()];
    assert_eq!(tcp_proxy(all), Ok(expected));
    assert_eq!(tcp_proxy("cluster: c, idle_timeout: 0s").expect("is good").idle_timeout, None);
    let wrapped = "filter_chains: [{filters: [{name: envoy.filters.network.tcp_proxy, typed_config: {\"@type\": \
                   type.googleapis.com/udpa.type.v1.TypedStruct, type_url: \
                   type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, \
                   value: {stat_prefix: s, cluster: c}}}]}]";
    assert_eq!(listener(wrapped).expect("is good").filter_chains, [FilterChain::new(TcpProxy::new("s", "c"))]);
}

#[test]
fn what_a_tcp_proxy_cannot_do_is_refused() {
    let place = "listener \"l\": filter_chains[0].filters[0] \"tcp\".typed_config";
    for (fields, expected) in [
        ("", "cluster: is required"),
        ("cluster: c, on_demand: {}", "on_demand: is not supported"),
        ("cluster: c, downstream_idle_timeout: 1s", "downstream_idle_timeout: is not supported"),
        ("cluster: c, upstream_idle_timeout: 1s", "upstream_idle_timeout: is not supported"),
        ("cluster: c, backoff_options: {}", "backoff_options: is not supported"),
        ("cluster: c, tunneling_config: {hostname: h}", "tunneling_config: is not supported"),
        ("cluster: c, proxy_protocol_tlvs: {type: 1}", "proxy_protocol_tlvs: is not supported"),
        ("cluster: c, upstream_connect_mode: ON_DOWNSTREAM_DATA", "upstream_connect_mode: is not supported"),
        ("cluster: c, max_early_data_bytes: 1", "max_early_data_bytes: is not supported"),
        ("cluster: c, check_drain_close: true", "check_drain_close: is not supported"),
        (
            "cluster: c, max_downstream_connection_duration_jitter_percentage: {value: 5}",
            "max_downstream_connection_duration_jitter_percentage: is not supported",
        ),
        ("cluster: c, hash_policy: {filter_state: {key: k}}", "hash_policy[0]: is not supported: use source_ip"),
    ] {
        assert_eq!(tcp_proxy(fields), Err(format!("{place}.{expected}")), "{fields}");
    }
    let place = "listener \"l\": filterChains[0].filter.tcpProxy";
    for (fields, expected) in [
        ("cluster: ''", "destination.cluster: must not be empty"),
        ("weighted_clusters: {}", "destination.weighted: the weights sum up to 0"),
        ("cluster: c, max_connect_attempts: 0", "maxConnectAttempts: must not be zero"),
        ("cluster: c, max_downstream_connection_duration: 0s", "maxDownstreamConnectionDuration: must not be zero"),
    ] {
        assert_eq!(tcp_proxy(fields), Err(format!("{place}.{expected}")), "{fields}");
    }
}

/// Reads a filter chain with this `filter_chain_match`.
fn matching(fields: &str) -> Result<FilterChainMatch, String> {
    let filter = tcp("cluster: c");
    let mut read =
        listener(&format!("filter_chains: [{{name: chain, filter_chain_match: {{{fields}}}, filters: [{filter}]}}]"))?;
    Ok(read.filter_chains.remove(0).matches)
}

#[test]
fn every_criterion_is_read() {
    let all = "destination_port: 80, prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}, {address_prefix: '::'}], \
               server_names: [a.example, '*.example'], transport_protocol: tls, application_protocols: [h2, aeraki.dubbo], \
               source_type: EXTERNAL, source_prefix_ranges: [{address_prefix: 192.168.0.0, prefix_len: 16}], \
               source_ports: [1, 65535]";
    let expected = FilterChainMatch::new()
        .with_destination_port(80)
        .with_prefix_range("10.0.0.0/8")
        .with_prefix_range("::/0")
        .with_server_name("a.example")
        .with_server_name("*.example")
        .with_transport_protocol(TransportProtocol::Tls)
        .with_application_protocol("h2")
        .with_application_protocol("aeraki.dubbo")
        .with_source_type(ConnectionSourceType::External)
        .with_source_prefix_range("192.168.0.0/16")
        .with_source_port(1)
        .with_source_port(65535);
    assert_eq!(matching(all), Ok(expected));
    assert_eq!(matching(""), Ok(FilterChainMatch::new()));
}

#[test]
fn criteria_that_cannot_be_kept_are_refused() {
    for (fields, expected) in [
        ("address_suffix: a", "address_suffix: is not supported"),
        ("suffix_len: 1", "suffix_len: is not supported"),
        ("direct_source_prefix_ranges: [{address_prefix: '::'}]", "direct_source_prefix_ranges: is not supported"),
        ("transport_protocol: quic", "transport_protocol: \"quic\" is not supported: use tls or raw_buffer"),
        ("destination_port: 70000", "destination_port: 70000 is not a port"),
    ] {
        let place = "listener \"l\": filter_chains[0] \"chain\".filter_chain_match";
        assert_eq!(matching(fields), Err(format!("{place}.{expected}")), "{fields}");
    }
    for (fields, expected) in [
        ("destination_port: 0", "destinationPort: 0 is not a port"),
        ("source_ports: [0]", "sourcePorts: 0 is not a port"),
        ("server_names: ['*']", "serverNames[0]: must be a name, or one that begins with \"*.\""),
        ("server_names: [a, 'a*.example']", "serverNames[1]: must be a name, or one that begins with \"*.\""),
        ("application_protocols: ['']", "applicationProtocols[0]: must not be empty"),
        (
            "prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 33}]",
            "prefixRanges[0]: \"10.0.0.0/33\" is neither an address nor a network such as 10.0.0.0/8",
        ),
        (
            "source_prefix_ranges: [{address_prefix: nowhere}]",
            "sourcePrefixRanges[0]: \"nowhere/0\" is neither an address nor a network such as 10.0.0.0/8",
        ),
    ] {
        let place = "listener \"l\": filterChains[0] \"chain\".matches";
        assert_eq!(matching(fields), Err(format!("{place}.{expected}")), "{fields}");
    }
}

#[test]
fn a_listener_has_chains_a_default_one_and_patience() {
    let filter = tcp("cluster: c");
    let read = listener(&format!("default_filter_chain: {{filters: [{filter}]}}")).expect("is good");
    assert_eq!((read.filter_chains.len(), read.default_filter_chain.is_some()), (0, true));
    assert_eq!(read.listener_filters_timeout, Some(Duration::from_secs(15)));
    assert!(!read.continue_on_listener_filters_timeout);
    let chains = format!("filter_chains: [{{filters: [{filter}]}}]");
    let more = "listener_filters_timeout: 0s, continue_on_listener_filters_timeout: true";
    let read = listener(&format!("{chains}, {more}")).expect("is good");
    assert_eq!((read.listener_filters_timeout, read.continue_on_listener_filters_timeout), (None, true));
    let read = listener(&format!("{chains}, listener_filters_timeout: 3s")).expect("is good");
    assert_eq!(read.listener_filters_timeout, Some(Duration::from_secs(3)));
    for (fields, expected) in [
        ("", "filterChains: must hold a filter chain where there is no default one"),
        (
            "filter_chains: [{filters: []}]",
            "filter_chains[0].filters: must hold the MetaProtocol proxy or the TCP proxy alone, not 0 filters",
        ),
        ("filter_chains: [{use_proxy_proto: true}]", "filter_chains[0].use_proxy_proto: is not supported"),
        ("filter_chain_matcher: {}", "filter_chain_matcher: is not supported"),
        ("fcds_config: {}", "fcds_config: is not supported"),
        ("transparent: true", "transparent: is not supported"),
        ("udp_listener_config: {}", "udp_listener_config: is not supported"),
        ("api_listener: {}", "api_listener: is not supported"),
        ("internal_listener: {}", "internal_listener: is not supported"),
        (
            "additional_addresses: [{address: {pipe: {path: /a}}}]",
            "additional_addresses: is not supported: let each address have its own listener",
        ),
    ] {
        assert_eq!(listener(fields), Err(format!("listener \"l\": {expected}")), "{fields}");
    }
}

#[test]
fn a_listener_is_bound_as_it_is_said_to_be() {
    let chains = format!("filter_chains: [{{filters: [{}]}}]", tcp("cluster: c"));
    let read = |fields: &str| listener(&format!("{chains}, {fields}"));
    let plain = read("bind_to_port: true, deprecated_v1: {bind_to_port: true}, transparent: false").expect("is good");
    assert_eq!((plain.tcp_backlog_size, plain.ignore_global_conn_limit), (1024, false));
    let more = read("tcp_backlog_size: 7, ignore_global_conn_limit: true").expect("is good");
    assert_eq!(more, plain.with_tcp_backlog_size(7).with_ignored_global_conn_limit(true));
    let reason = "must be true: only what is bound is served, by one listener with the chains for all destinations";
    for (fields, expected) in [
        ("bind_to_port: false", format!("bind_to_port: {reason}")),
        ("deprecated_v1: {bind_to_port: false}", format!("deprecated_v1.bind_to_port: {reason}")),
        ("tcp_backlog_size: 0", "tcpBacklogSize: must not be zero".to_owned()),
    ] {
        assert_eq!(read(fields), Err(format!("listener \"l\": {expected}")), "{fields}");
    }
}
