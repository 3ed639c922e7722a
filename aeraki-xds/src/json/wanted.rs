//! What a field wants, in words for people.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value;

/// Says what a field of no message wants; none where its type speaks for itself no more than the error does.
pub(super) fn by_field(field: &FieldDescriptor) -> Option<String> {
    Some(match field.kind() {
        Kind::Bool => "true or false".to_owned(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => whole(i32::MIN, i32::MAX),
        Kind::Uint32 | Kind::Fixed32 => whole(u32::MIN, u32::MAX),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => whole(i64::MIN, i64::MAX),
        Kind::Uint64 | Kind::Fixed64 => whole(u64::MIN, u64::MAX),
        Kind::Float | Kind::Double => "a number".to_owned(),
        Kind::String => "a text".to_owned(),
        Kind::Bytes => "bytes in base64".to_owned(),
        Kind::Enum(names) => {
            let names: Vec<_> = names.values().map(|value| value.name().to_owned()).collect();
            format!("one of {}", names.join(", "))
        }
        Kind::Message(_) => return None,
    })
}

/// Says what stands for one of protobuf's own messages; none for one that takes nearly anything.
pub(super) fn by_message(message: &MessageDescriptor) -> Option<String> {
    match message.full_name() {
        "google.protobuf.Duration" => Some("a number of seconds with an s, such as 5s or 0.1s".to_owned()),
        "google.protobuf.Struct" => Some("a mapping".to_owned()),
        "google.protobuf.ListValue" => Some("a list".to_owned()),
        name if name.ends_with("Value") => message.get_field_by_name("value").as_ref().and_then(by_field),
        _ => None,
    }
}

/// Refuses a value that is not what is wanted.
pub(super) fn refusal(wanted: &str, value: &Value) -> String {
    let shown = value.to_string();
    match shown.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("must be {wanted}, not {}...", &shown[..end]),
        None => format!("must be {wanted}, not {shown}"),
    }
}

fn whole(least: impl ToString, most: impl ToString) -> String {
    format!("a whole number from {} to {}", least.to_string(), most.to_string())
}

/// Characters of a value that are shown.
const LONGEST: usize = 60;
