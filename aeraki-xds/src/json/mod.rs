//! Protobuf's JSON form, as Envoy reads it, into messages of the embedded descriptor set.
//!
//! Accepted beyond the strict form: names in snake_case beside camelCase, and a lone value where a list is expected. An
//! unknown field, a wrong type and two members of one `oneof` are refused with the path of the field.

mod reader;
mod wanted;

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use serde_saphyr::{MessageFormatter, UserMessageFormatter};

pub(crate) use self::reader::{Reader, Use};
use crate::Any;

/// Names the field at fault and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub(crate) struct JsonError {
    pub(crate) path: String,
    pub(crate) reason: String,
}

/// Looks a message up by its full name or type URL.
pub(crate) fn descriptor(name: &str) -> Option<MessageDescriptor> {
    POOL.get_message_by_name(name.rsplit('/').next().unwrap_or(name))
}

/// Reads YAML, of which JSON is a part; an error names line and column.
pub(crate) fn from_yaml(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| place_and_reason(&error))
}

fn place_and_reason(error: &serde_saphyr::Error) -> String {
    let reason = UserMessageFormatter.format_message(error).replace(char::is_control, "?");
    match error.location() {
        Some(at) => format!("line {}, column {}: {reason}", at.line(), at.column()),
        None => reason,
    }
}

/// Unwraps a `udpa.type.v1.TypedStruct` or `xds.type.v3.TypedStruct` that holds an `M`.
pub(crate) fn typed_struct<M: Message + Name + Default>(any: &Any) -> Result<M, JsonError> {
    let wrapper = descriptor(&any.type_url).ok_or_else(|| refuse("@type", "is unknown"))?;
    let wrapper = DynamicMessage::decode(wrapper, any.value.clone()).map_err(|error| refuse("value", error))?;
    let json = to_json(&wrapper).map_err(|error| refuse("value", error))?;
    let type_url = json["type_url"].as_str().unwrap_or_default();
    let inner = descriptor(type_url).filter(|inner| inner.full_name() == M::full_name());
    let inner = inner.ok_or_else(|| refuse("type_url", format!("expected {}, found {type_url:?}", M::type_url())))?;
    let message = Reader::new(|_| Use::Whole).read(&inner, &json["value"])?;
    message.transcode_to().map_err(|error| refuse("value", error))
}

/// Writes a message in its JSON form.
#[cfg(test)]
pub(crate) fn text<M: Message + Name>(message: &M) -> Option<String> {
    let message = DynamicMessage::decode(descriptor(&M::full_name())?, message.encode_to_vec().as_slice()).ok()?;
    Some(to_json(&message).ok()?.to_string())
}

fn to_json(message: &DynamicMessage) -> Result<Value, serde_json::Error> {
    let options = SerializeOptions::new().use_proto_field_name(true);
    message.serialize_with_options(serde_json::value::Serializer, &options)
}

fn refuse(path: &str, reason: impl ToString) -> JsonError {
    JsonError { path: path.to_owned(), reason: reason.to_string() }
}

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(include_bytes!("../proto/descriptors.bin").as_slice())
        .expect("the embedded descriptor set was made by the compiler")
});
