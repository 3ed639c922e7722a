//! Why a configuration is refused.

use std::fmt;

/// Names the object that is refused, the field at fault, and why.
///
/// Its text is the one that operators see everywhere: in a NACK, in a resource's status, in the webhook's answer and on
/// the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    object: String,
    field: String,
    reason: String,
}

impl ConfigError {
    /// Creates an error for `field` of `object`, for example `("cluster \"a\"", "connectTimeout", "must not be zero")`.
    ///
    /// An empty `field` means the object as a whole.
    pub fn new(object: impl Into<String>, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { object: object.into(), field: field.into(), reason: reason.into() }
    }

    /// Makes it an error of the object that holds the refused one at `path`.
    #[must_use]
    pub fn within(self, object: impl Into<String>, path: &str) -> Self {
        let field = if self.field.is_empty() { path.to_owned() } else { format!("{path}.{}", self.field) };
        Self { object: object.into(), field, reason: self.reason }
    }

    /// Returns the kind and name of the refused object, for example `cluster "a"`.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// Returns the path of the field at fault, for example `routes[0] "v1".matches[1] (key "method").value`.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Returns why the field is refused.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => write!(f, "{}: {}", self.object, self.reason),
            field => write!(f, "{}: {field}: {}", self.object, self.reason),
        }
    }
}

impl std::error::Error for ConfigError {}

/// A fault inside an object whose name the caller knows; the path grows outwards.
#[derive(Debug)]
pub(crate) struct FieldError {
    path: String,
    reason: String,
}

impl FieldError {
    pub(crate) fn new(field: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self { path: field.to_string(), reason: reason.to_string() }
    }

    /// Prepends the field that holds the one named so far.
    pub(crate) fn within(mut self, outer: impl fmt::Display) -> Self {
        self.path = if self.path.is_empty() { outer.to_string() } else { format!("{outer}.{}", self.path) };
        self
    }

    /// Completes the error with the object that holds the field.
    pub(crate) fn of(self, kind: &str, name: &str) -> ConfigError {
        ConfigError::new(format!("{kind} {name:?}"), self.path, self.reason)
    }
}

pub(crate) type Checked = Result<(), FieldError>;

/// Refuses `field` with `reason` unless `holds`; the texts are only made if it does not.
pub(crate) fn ensure(holds: bool, field: impl fmt::Display, reason: impl fmt::Display) -> Checked {
    if holds { Ok(()) } else { Err(FieldError::new(field, reason)) }
}
