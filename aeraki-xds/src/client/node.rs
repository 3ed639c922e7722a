//! What a proxy tells its control plane about itself.

use aeraki_route::config::{Locality, Node};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as Field};
use serde_json::{Map, Value};

use crate::convert::locality;
use crate::proto::envoy::config::core::v3 as proto;
use proto::node::UserAgentVersionType;

pub(super) fn to_proto(node: &Node) -> proto::Node {
    proto::Node {
        id: node.id.clone(),
        cluster: node.cluster.clone(),
        locality: (node.locality != Locality::default()).then(|| locality::to_proto(&node.locality)),
        metadata: (!node.metadata.is_empty()).then(|| mapping(&node.metadata)),
        user_agent_name: "aeraki".to_owned(),
        user_agent_version_type: Some(UserAgentVersionType::UserAgentVersion(env!("CARGO_PKG_VERSION").to_owned())),
        ..proto::Node::default()
    }
}

fn mapping(entries: &Map<String, Value>) -> Struct {
    Struct { fields: entries.iter().map(|(key, value)| (key.clone(), field(value))).collect() }
}

fn field(value: &Value) -> Field {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        // Protobuf's JSON numbers are doubles.
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(values) => Kind::ListValue(ListValue { values: values.iter().map(field).collect() }),
        Value::Object(entries) => Kind::StructValue(mapping(entries)),
    };
    Field { kind: Some(kind) }
}
