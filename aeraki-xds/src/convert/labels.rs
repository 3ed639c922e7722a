//! `envoy.config.core.v3.Metadata` as far as load balancing looks at it: the entries under `envoy.lb`.

use std::collections::BTreeMap;

use aeraki_route::config::ConfigError;
use prost_types::{Struct, Value, value::Kind};

use super::at::At;
use crate::proto::envoy::config::core::v3::Metadata;

/// Reads what an endpoint is; lists and structures, which nothing could ask for, are left out.
pub(super) fn of_endpoint(metadata: Option<&Metadata>) -> BTreeMap<String, String> {
    entries(metadata).filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
}

/// Reads what is asked of endpoints.
pub(super) fn criteria(metadata: Option<&Metadata>, at: &At<'_>) -> Result<BTreeMap<String, String>, ConfigError> {
    let at = at.field("filter_metadata");
    of_struct(entries(metadata), &at.field(LABELS))
}

/// Reads texts, numbers, and truth values; everything else is refused.
pub(super) fn of_struct<'a>(
    fields: impl IntoIterator<Item = (&'a String, &'a Value)>,
    at: &At<'_>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let entry = |(key, value): (&String, &Value)| match text(value) {
        Some(text) => Ok((key.clone(), text)),
        None => Err(at.field(key).refuse("must be a text, a number, true or false")),
    };
    fields.into_iter().map(entry).collect()
}

/// Says what is asked of endpoints.
pub(super) fn to_proto(labels: &BTreeMap<String, String>) -> Option<Metadata> {
    let value = |text: &String| Value { kind: Some(Kind::StringValue(text.clone())) };
    let fields = labels.iter().map(|(key, text)| (key.clone(), value(text))).collect();
    let filter_metadata = [(LABELS.to_owned(), Struct { fields })].into();
    (!labels.is_empty()).then(|| Metadata { filter_metadata, ..Metadata::default() })
}

fn entries(metadata: Option<&Metadata>) -> impl Iterator<Item = (&String, &Value)> {
    metadata.and_then(|metadata| metadata.filter_metadata.get(LABELS)).into_iter().flat_map(|labels| &labels.fields)
}

/// Writes a value, so that the number 1 is the text "1".
fn text(value: &Value) -> Option<String> {
    match value.kind.as_ref()? {
        Kind::StringValue(text) => Some(text.clone()),
        Kind::NumberValue(number) => Some(number.to_string()),
        Kind::BoolValue(truth) => Some(truth.to_string()),
        _ => None,
    }
}

const LABELS: &str = "envoy.lb";
