//! Changes of a message's attributes.

use serde::{Deserialize, Serialize};

use super::error::{Checked, FieldError, ensure};

/// One change of a message's attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum MutationEntry {
    /// Sets the attribute, replacing a value that is there.
    Set {
        /// Name of the attribute, 1 to 16 384 bytes.
        key: String,
        /// Its new value.
        value: MutationValue,
    },
    /// Sets the attribute unless it has a value already.
    SetIfAbsent {
        /// Name of the attribute, 1 to 16 384 bytes.
        key: String,
        /// Its new value.
        value: MutationValue,
    },
    /// Adds to the value that is there, behind a comma; without one, sets it.
    Append {
        /// Name of the attribute, 1 to 16 384 bytes.
        key: String,
        /// What is added.
        value: MutationValue,
    },
    /// Removes the attribute if it is there.
    Remove {
        /// Name of the attribute, 1 to 16 384 bytes.
        key: String,
    },
}

/// Where the value of a [`MutationEntry`] comes from. An entry whose value is not there changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum MutationValue {
    /// This text, at most 16 384 bytes.
    Text(String),
    /// The value that this attribute of the request had when it came.
    Attribute(String),
    /// The address of the downstream peer, without its port.
    PeerAddress,
    /// The id of the request in its protocol, in decimal.
    RequestId,
}

impl<T: Into<String>> From<T> for MutationValue {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

impl MutationEntry {
    /// Creates an entry that sets `key` to `value`.
    pub fn set(key: impl Into<String>, value: impl Into<MutationValue>) -> Self {
        Self::Set { key: key.into(), value: value.into() }
    }

    /// Creates an entry that sets `key` to `value` unless it is there.
    pub fn set_if_absent(key: impl Into<String>, value: impl Into<MutationValue>) -> Self {
        Self::SetIfAbsent { key: key.into(), value: value.into() }
    }

    /// Creates an entry that adds `value` to `key`.
    pub fn append(key: impl Into<String>, value: impl Into<MutationValue>) -> Self {
        Self::Append { key: key.into(), value: value.into() }
    }

    /// Creates an entry that removes `key`.
    pub fn remove(key: impl Into<String>) -> Self {
        Self::Remove { key: key.into() }
    }

    fn check(&self) -> Checked {
        let (key, value) = match self {
            Self::Set { key, value } | Self::SetIfAbsent { key, value } | Self::Append { key, value } => {
                (key, Some(value))
            }
            Self::Remove { key } => (key, None),
        };
        let most = MAX_TEXT_BYTES;
        ensure((1..=most).contains(&key.len()), "key", format_args!("must have 1 to {most} bytes"))?;
        match value {
            Some(MutationValue::Text(text)) => {
                ensure(text.len() <= most, "value", format_args!("must not exceed {most} bytes"))
            }
            Some(MutationValue::Attribute(name)) => ensure(!name.is_empty(), "value", "must name an attribute"),
            _ => Ok(()),
        }
    }
}

/// Checks the changes in `field`.
pub(super) fn check(entries: &[MutationEntry], field: &str) -> Checked {
    let most = MAX_MUTATIONS;
    ensure(entries.len() <= most, field, format_args!("must not hold more than {most} entries"))?;
    let mut entries = entries.iter().enumerate();
    entries.try_for_each(|(index, entry)| entry.check().map_err(|e: FieldError| e.within(format!("{field}[{index}]"))))
}

// Limits of aeraki.meta_protocol_proxy.config.route.v1alpha.
const MAX_MUTATIONS: usize = 1000;
const MAX_TEXT_BYTES: usize = 16_384;
