//! Hessian2 values against their tagged form.

use aeraki_codec::hessian2::{Binary, Node, Text, Value};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::check::{field, only, same};

/// Fails if the decoded value is not the expected one, in every field.
pub(crate) fn compare(node: &Node<'_>, expected: &Json) -> Result<(), String> {
    let result = match &node.value {
        Value::Null => scalar(expected, "null", Json::Null),
        Value::Bool(value) => scalar(expected, "bool", (*value).into()),
        Value::Int(value) => scalar(expected, "int", (*value).into()),
        Value::Long(value) => scalar(expected, "long", value.to_string().into()),
        Value::Double(value) => double(*value, node.encoded, expected),
        Value::Date(ms) => date(*ms, node.encoded, expected),
        Value::Text(text) => string(text, expected),
        Value::Binary(binary) => octets(binary, expected),
        Value::Ref(index) => {
            only(expected, &["type", "index"])?;
            same_type(expected, "ref")?;
            field(expected, "index", *index)
        }
        container => compare_container(container, expected),
    };
    result.map_err(|error| format!("{}: {error}", expected["type"]))
}

fn compare_container(value: &Value<'_>, expected: &Json) -> Result<(), String> {
    match value {
        Value::List(list) => {
            only(expected, &["type", "ref", "class", "variable", "items"])?;
            same_type(expected, "list")?;
            field(expected, "ref", list.index)?;
            field(expected, "class", name(list.ty))?;
            field(expected, "variable", list.variable)?;
            each(&list.items, &expected["items"], |item, expected| compare(item, expected))
        }
        Value::Map(map) => {
            only(expected, &["type", "ref", "class", "entries"])?;
            same_type(expected, "map")?;
            field(expected, "ref", map.index)?;
            field(expected, "class", name(map.ty))?;
            each(&map.entries, &expected["entries"], |(key, value), expected| {
                compare(key, &expected[0])?;
                compare(value, &expected[1])
            })
        }
        Value::Object(object) => {
            only(expected, &["type", "ref", "class", "class_index", "fields"])?;
            same_type(expected, "object")?;
            field(expected, "ref", object.index)?;
            field(expected, "class", name(object.class.name()))?;
            field(expected, "class_index", object.class_index)?;
            let fields: Vec<_> = object.class.fields().zip(&object.fields).collect();
            same("fields", fields.len(), object.fields.len())?;
            each(&fields, &expected["fields"], |(key, value), expected| {
                same("field", name(Some(*key)), expected[0].clone())?;
                compare(value, &expected[1])
            })
        }
        other => Err(format!("{other:?} has no expectation")),
    }
}

fn scalar(expected: &Json, ty: &str, value: Json) -> Result<(), String> {
    only(expected, &["type", "value"])?;
    same_type(expected, ty)?;
    field(expected, "value", value)
}

fn double(value: f64, encoded: &[u8], expected: &Json) -> Result<(), String> {
    only(expected, &["type", "value", "bits", "mills"])?;
    same_type(expected, "double")?;
    field(expected, "bits", format!("{:016x}", value.to_bits()))?;
    let text = expected["value"].as_str().ok_or("no value")?;
    let parsed: f64 = text.parse().map_err(|error| format!("{text}: {error}"))?;
    same("value", parsed.to_bits(), value.to_bits())
        .or_else(|error| if value.is_nan() { Ok(()) } else { Err(error) })?;
    match encoded {
        [0x5f, mills @ ..] => field(expected, "mills", mills.try_into().map(i32::from_be_bytes).ok()),
        _ => field(expected, "mills", Json::Null),
    }
}

fn date(ms: i64, encoded: &[u8], expected: &Json) -> Result<(), String> {
    only(expected, &["type", "ms", "minutes"])?;
    same_type(expected, "date")?;
    field(expected, "ms", ms.to_string())?;
    field(expected, "minutes", encoded.starts_with(&[0x4b]).then_some(true))
}

fn string(text: &Text<'_>, expected: &Json) -> Result<(), String> {
    only(expected, &["type", "utf16_len", "value", "utf16be_hex", "chunks", "value_sha256_utf8", "value_head"])?;
    same_type(expected, "string")?;
    field(expected, "utf16_len", text.utf16_len())?;
    if expected.get("chunks").is_some() {
        field(expected, "chunks", text.chunks().count())?;
    }
    let Some(value) = text.to_str() else {
        let units: String = text.utf16().map(|unit| format!("{unit:04x}")).collect();
        return field(expected, "utf16be_hex", units);
    };
    if expected.get("value_sha256_utf8").is_none() {
        return field(expected, "value", &*value);
    }
    field(expected, "value_sha256_utf8", sha256(value.as_bytes()))?;
    let head = expected["value_head"].as_str().ok_or("no head")?;
    same("value_head", value.starts_with(head), true)
}

fn octets(binary: &Binary<'_>, expected: &Json) -> Result<(), String> {
    only(expected, &["type", "len", "hex", "sha256", "chunks"])?;
    same_type(expected, "binary")?;
    let octets = binary.to_bytes();
    field(expected, "len", octets.len())?;
    if expected.get("chunks").is_some() {
        field(expected, "chunks", binary.chunks().count())?;
    }
    match expected.get("sha256") {
        Some(_) => field(expected, "sha256", sha256(&octets)),
        None => field(expected, "hex", hex(&octets)),
    }
}

fn each<T>(found: &[T], expected: &Json, check: impl Fn(&T, &Json) -> Result<(), String>) -> Result<(), String> {
    let expected = expected.as_array().ok_or("no list is expected")?;
    same("length", found.len(), expected.len())?;
    found.iter().zip(expected).try_for_each(|(found, expected)| check(found, expected))
}

fn same_type(expected: &Json, ty: &str) -> Result<(), String> {
    field(expected, "type", ty)
}

fn name(text: Option<Text<'_>>) -> Json {
    text.and_then(|text| text.to_str().map(|text| Json::from(&*text))).unwrap_or_default()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Writes hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
