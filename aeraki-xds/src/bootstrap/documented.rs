//! Keeps `docs/clusters.md`, `docs/connections.md`, `docs/control-plane.md` and `docs/listeners.md` true: what they
//! show is read, and their tables know every field.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{FieldDescriptor, Kind};

use super::*;

const TEXT: &str = include_str!("../../../docs/clusters.md");
const LISTENERS: &str = include_str!("../../../docs/listeners.md");
const CONNECTIONS: &str = include_str!("../../../docs/connections.md");

/// Returns the YAML blocks of a page.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").expect("a block ends").0).collect()
}

#[test]
fn every_documented_cluster_is_read_in_full() {
    let blocks = blocks(TEXT);
    for block in &blocks {
        let cluster: String = block.lines().map(|line| format!("    {line}\n")).collect();
        let yaml = format!("static_resources:\n  clusters:\n  -\n{cluster}");
        let read = Bootstrap::from_yaml(&yaml).unwrap_or_else(|error| panic!("{error}\n{block}"));
        assert_eq!(read.warnings, [], "{block}");
    }
    assert_eq!(blocks.len(), 14);
}

#[test]
fn every_documented_bootstrap_is_read_in_full() {
    let control_plane = include_str!("../../../docs/control-plane.md");
    for (page, count) in [(CONNECTIONS, 5), (control_plane, 1), (LISTENERS, 3)] {
        let blocks = blocks(page);
        for block in &blocks {
            let read = Bootstrap::from_yaml(block).unwrap_or_else(|error| panic!("{error}\n{block}"));
            assert_eq!(read.warnings, [], "{block}");
        }
        assert_eq!(blocks.len(), count);
    }
}

/// The tables of fields, by the names of their messages.
fn tables() -> BTreeMap<&'static str, &'static str> {
    let pages = [TEXT, LISTENERS, CONNECTIONS].iter().flat_map(|page| page.split("\n### `").skip(1));
    let mut tables = BTreeMap::new();
    for (message, table) in pages.map(|table| table.split_once('`').expect("a name ends")) {
        assert!(tables.insert(message, table).is_none(), "{message} has two tables");
    }
    tables
}

/// Lists the messages of which clusters and listeners use something.
fn used_messages() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = ROOTS.map(str::to_owned).to_vec();
    while let Some(name) = open.pop() {
        let message = json::descriptor(&name).unwrap_or_else(|| panic!("{name} is unknown"));
        if !found.insert(name) {
            continue;
        }
        let used = message.fields().filter(|field| matches!(used::of(field), json::Use::Inside));
        // a value in a wrapper has no fields of its own
        open.extend(used.flat_map(|field| inside(&field)).filter(|name| !name.starts_with("google.protobuf.")));
    }
    found
}

/// Lists the messages that a field may hold.
fn inside(field: &FieldDescriptor) -> Vec<String> {
    match field.kind() {
        Kind::Message(message) if message.full_name() == "google.protobuf.Any" => {
            let types = ANYS.iter().find(|(any, _)| *any == field.full_name()).map(|(_, types)| *types);
            let types = types.unwrap_or_else(|| panic!("{} may hold anything", field.full_name()));
            types.iter().map(|name| (*name).to_owned()).collect()
        }
        Kind::Message(message) => vec![message.full_name().to_owned()],
        _ => Vec::new(),
    }
}

#[test]
fn every_message_that_is_used_has_a_table() {
    let tables = tables();
    let has_fields = |name: &String| json::descriptor(name).is_some_and(|message| message.fields().len() > 0);
    let missing = used_messages().into_iter().filter(|name| has_fields(name) && !tables.contains_key(&**name));
    let missing: Vec<_> = missing.collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_field_is_documented_and_what_has_no_effect_is_said_to_have_none() {
    for (message, table) in tables() {
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let said: BTreeMap<&str, &str> =
            rows.map(|(field, rest)| (field, rest.split(" |").next().unwrap_or_default())).collect();
        let descriptor = json::descriptor(message).unwrap_or_else(|| panic!("{message} is unknown"));
        let fields: Vec<_> = descriptor.fields().collect();
        for field in &fields {
            let effect = said.get(field.name()).unwrap_or_else(|| panic!("{} is not documented", field.full_name()));
            let none = matches!(used::of(field), json::Use::None);
            assert_eq!(*effect == "no effect", none, "{}: {effect}", field.full_name());
            assert!(["honoured", "refused", "no effect"].contains(effect), "{}: {effect}", field.full_name());
        }
        assert_eq!(said.len(), fields.len(), "{message} has no such field");
    }
}

const ROOTS: [&str; 2] = ["envoy.config.cluster.v3.Cluster", "envoy.config.listener.v3.Listener"];

/// What those fields may hold that may hold anything.
const ANYS: &[(&str, &[&str])] = &[
    (
        "envoy.config.core.v3.TransportSocket.typed_config",
        &[
            "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
            "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
            "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        ],
    ),
    (
        "envoy.config.listener.v3.Filter.typed_config",
        &[
            "aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy",
            "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
            "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        ],
    ),
    (
        "envoy.config.listener.v3.ListenerFilter.typed_config",
        &[
            "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
            "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
            "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        ],
    ),
];
