//! What a proxy says of its node: a `google.protobuf.Struct` in base64, as Istio's proxies exchange it.

use std::collections::BTreeMap;

use aeraki_route::config::Node;
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use prost::Message;
use prost_types::{Struct, Value, value::Kind};

/// What a peer says of the node that it runs on.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PeerMetadata {
    /// The id of its node.
    pub id: Box<str>,
    metadata: Struct,
}

impl PeerMetadata {
    /// Takes over what peers are told of `node`: the ten keys that Istio's proxies exchange, whatever else it holds.
    pub(super) fn of(node: &Node) -> Self {
        let fields = node.metadata.iter().filter_map(|(key, value)| {
            let value = match key.as_str() {
                "LABELS" | "PLATFORM_METADATA" => texts(value.as_object()?),
                "APP_CONTAINERS" => text(&joined(value)?),
                other if KEYS.contains(&other) => text(value.as_str()?),
                _ => return None,
            };
            Some((key.clone(), value))
        });
        Self { id: node.id.as_str().into(), metadata: Struct { fields: fields.collect() } }
    }

    /// Reads what a peer with this id says; none where it cannot be read.
    pub(super) fn read(id: &[u8], encoded: &[u8]) -> Option<Self> {
        let bytes = BASE64.decode(encoded).ok()?;
        let mut metadata = Struct::decode(bytes.as_slice()).ok()?;
        // what peers add is not kept for them
        metadata.fields.retain(|key, _| KEYS.contains(&key.as_str()));
        Some(Self { id: std::str::from_utf8(id).ok()?.into(), metadata })
    }

    /// Writes it as it travels; the same for the same metadata.
    pub(super) fn encode(&self) -> String {
        BASE64.encode(self.metadata.encode_to_vec())
    }

    /// Returns a text of the metadata, such as `NAMESPACE` or `WORKLOAD_NAME`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        string(self.metadata.fields.get(key)?)
    }

    /// Returns a label of the node.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        match self.metadata.fields.get("LABELS")?.kind.as_ref()? {
            Kind::StructValue(labels) => string(labels.fields.get(key)?),
            _ => None,
        }
    }
}

fn string(value: &Value) -> Option<&str> {
    match value.kind.as_ref()? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.to_owned())) }
}

fn texts(entries: &serde_json::Map<String, serde_json::Value>) -> Value {
    let fields: BTreeMap<_, _> =
        entries.iter().filter_map(|(key, value)| Some((key.clone(), text(value.as_str()?)))).collect();
    Value { kind: Some(Kind::StructValue(Struct { fields })) }
}

/// Joins names by commas, where they come as a list.
fn joined(names: &serde_json::Value) -> Option<String> {
    match names {
        serde_json::Value::String(names) => Some(names.clone()),
        serde_json::Value::Array(names) => {
            Some(names.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(","))
        }
        _ => None,
    }
}

/// What Istio's proxies exchange.
const KEYS: [&str; 10] = [
    "NAME",
    "NAMESPACE",
    "OWNER",
    "WORKLOAD_NAME",
    "ISTIO_VERSION",
    "MESH_ID",
    "CLUSTER_ID",
    "LABELS",
    "PLATFORM_METADATA",
    "APP_CONTAINERS",
];

/// Writes padding and does not ask for it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node() -> Node {
        Node::new("sidecar~10.0.0.1~greeter-1.demo", "greeter")
            .with_metadata("NAME", "greeter-1")
            .with_metadata("NAMESPACE", "demo")
            .with_metadata("LABELS", json!({"app": "greeter", "version": "v1", "odd": 3}))
            .with_metadata("APP_CONTAINERS", json!(["main", "helper"]))
            .with_metadata("INTERCEPTION_MODE", "REDIRECT")
    }

    #[test]
    fn only_what_istio_exchanges_is_told() {
        let peer = PeerMetadata::read(b"x", PeerMetadata::of(&node()).encode().as_bytes()).expect("can be read");
        assert_eq!(peer.get("NAME"), Some("greeter-1"));
        assert_eq!(peer.get("APP_CONTAINERS"), Some("main,helper"));
        assert_eq!(peer.get("INTERCEPTION_MODE"), None);
        assert_eq!((peer.label("version"), peer.label("odd")), (Some("v1"), None));
    }

    /// The bytes were put together by hand from the definition of the message: field 1 of `Struct` is a map, whose
    /// entries have the key in field 1 and in field 2 a `Value`, of which field 3 is a text.
    #[test]
    fn the_form_is_that_of_the_protobuf_message() {
        let node = Node::new("n", "c").with_metadata("NAME", "a").with_metadata("MESH_ID", "m");
        let bytes = b"\x0a\x0e\x0a\x07MESH_ID\x12\x03\x1a\x01m\x0a\x0b\x0a\x04NAME\x12\x03\x1a\x01a";
        let padded = "Cg4KB01FU0hfSUQSAxoBbQoLCgROQU1FEgMaAWE=";
        assert_eq!(PeerMetadata::of(&node).encode(), padded);
        assert_eq!(BASE64.decode(padded).expect("base64"), bytes);
        for encoded in [padded, padded.trim_end_matches('=')] {
            assert_eq!(PeerMetadata::read(b"n", encoded.as_bytes()), Some(PeerMetadata::of(&node)));
        }
    }

    #[test]
    fn what_cannot_be_read_is_nobody() {
        for encoded in [&b"?"[..], b"////", b"Cg4KB01FU0hfSUQSAxoBbQoLCgROQU1FEgMa"] {
            assert_eq!(PeerMetadata::read(b"n", encoded), None);
        }
    }
}
