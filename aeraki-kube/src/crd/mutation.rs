//! What changes in requests and responses.

use serde::{Deserialize, Serialize};

/// Describes a change of one attribute.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct KeyValue {
    /// The attribute's name.
    #[serde(default)]
    pub key: String,
    /// Its new value, or what is added to it.
    #[serde(default)]
    pub value: String,
    /// What is done; `SET` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<MutationOperation>,
    /// Where the value comes from, instead of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
}

/// Says what is done to an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum MutationOperation {
    /// It gets the value.
    #[default]
    Set,
    /// The value is added behind a comma.
    Append,
    /// It gets the value unless it has one.
    SetIfAbsent,
    /// It is removed.
    Remove,
}

/// Says where a value comes from: exactly one of the three. A value that is not there changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct ValueFrom {
    /// From this attribute of the request, as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// From the address of the client, without its port.
    #[serde(default)]
    pub peer_address: bool,
    /// From the id of the request in its protocol.
    #[serde(default)]
    pub request_id: bool,
}
