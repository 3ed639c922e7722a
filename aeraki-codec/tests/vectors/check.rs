//! Comparisons that say what differs.

use std::fmt;

use serde_json::Value as Json;

/// Fails if `object` has a field that is not among `known`: nobody would have looked at it.
pub(crate) fn only(object: &Json, known: &[&str]) -> Result<(), String> {
    let fields = object.as_object().ok_or_else(|| format!("{object} is no object"))?;
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("no check looks at {key:?}")),
        None => Ok(()),
    }
}

/// Fails if two values differ.
pub(crate) fn same<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}

/// Fails if `object[key]` is not `found`.
pub(crate) fn field(object: &Json, key: &str, found: impl Into<Json>) -> Result<(), String> {
    let expected = object.get(key).cloned().unwrap_or(Json::Null);
    same(key, found.into(), expected)
}
