//! What every resource has: its kind, its metadata and its specification.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::IgnoredAny, ser::SerializeStruct};

/// Names the group and the kind under which a specification is stored.
pub trait Resource {
    /// The API group, such as `metaprotocol.aeraki.io`; empty for the core group.
    const GROUP: &'static str;
    /// The API version under which it is written, such as `v1alpha1`; others are read too.
    const VERSION: &'static str;
    /// The kind, such as `MetaRouter`.
    const KIND: &'static str;
}

/// Holds one resource as users write it: metadata and a specification.
///
/// `apiVersion` and `kind` are given by the type `S`; a `status` is accepted and not read, and any
/// other field beside them is an error.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Object<S> {
    /// Name, namespace and what else Kubernetes keeps about the object.
    pub metadata: Metadata,
    /// What the user wants.
    pub spec: S,
    /// Where the object was read, such as `mesh/greet.yaml:12`; empty where the source has no files.
    pub origin: Option<Arc<str>>,
}

impl<S> Object<S> {
    /// Makes an object of a name, a namespace and a specification.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, spec: S) -> Self {
        let metadata = Metadata { namespace: namespace.into(), name: name.into(), ..Metadata::default() };
        Self { metadata, spec, origin: None }
    }
}

impl<S: Resource> Object<S> {
    /// Tells which object this is, for messages and status.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef {
            kind: S::KIND,
            namespace: self.metadata.namespace.clone(),
            name: self.metadata.name.clone(),
            origin: self.origin.clone(),
        }
    }
}

impl<'de, S: Deserialize<'de>> Deserialize<'de> for Object<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Manifest { metadata, spec, .. } = Manifest::deserialize(deserializer)?;
        Ok(Self { metadata, spec, origin: None })
    }
}

impl<S: Resource + Serialize> Serialize for Object<S> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        let mut object = serializer.serialize_struct("Object", 4)?;
        let slash = if S::GROUP.is_empty() { "" } else { "/" };
        object.serialize_field("apiVersion", &format_args!("{}{slash}{}", S::GROUP, S::VERSION))?;
        object.serialize_field("kind", S::KIND)?;
        object.serialize_field("metadata", &self.metadata)?;
        object.serialize_field("spec", &self.spec)?;
        object.end()
    }
}

/// Holds the part of Kubernetes' object metadata that is used here; the rest is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Metadata {
    /// Unique within its kind and namespace.
    pub name: String,
    /// The namespace; empty for resources of the whole cluster.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// When the API server stored the object; objects in files usually have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Timestamp>,
    /// Labels of the object.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the object.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Holds a point in time as Kubernetes writes it, `2026-01-31T12:00:00Z`; the order is that of time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Timestamp(String);

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;

    fn try_from(text: String) -> Result<Self, TimestampError> {
        // one width and always UTC, so that the order of the texts is the order of the times
        let shape = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
        if shape.eq(*b"0000-00-00T00:00:00Z") { Ok(Self(text)) } else { Err(TimestampError(text)) }
    }
}

/// Reports a text that is not a Kubernetes timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a timestamp such as `2026-01-31T12:00:00Z`")]
pub struct TimestampError(String);

/// Names one object in a message: `MetaRouter shop/greet (mesh/greet.yaml:12)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct ObjectRef {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace; empty for resources of the whole cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where it was read, if it came from a file.
    pub origin: Option<Arc<str>>,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name, origin } = self;
        if let Some(origin) = origin {
            write!(f, "{origin}: ")?;
        }
        if namespace.is_empty() { write!(f, "{kind} {name}") } else { write!(f, "{kind} {namespace}/{name}") }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Manifest<S> {
    #[serde(rename = "apiVersion")]
    _api_version: Option<IgnoredAny>,
    #[serde(rename = "kind")]
    _kind: Option<IgnoredAny>,
    metadata: Metadata,
    spec: S,
    #[serde(rename = "status")]
    _status: Option<IgnoredAny>,
}

/// Reads `labels:` with nothing behind it, as templates leave it.
fn null_as_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_order_by_time() {
        let at = |text: &str| Timestamp::try_from(text.to_owned());
        assert!(at("2025-12-31T23:59:59Z").expect("a timestamp") < at("2026-01-01T00:00:00Z").expect("a timestamp"));
        assert!(at("2026-01-01T00:00:00+01:00").is_err());
        assert!(at("yesterday").is_err());
    }
}
