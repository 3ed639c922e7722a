//! Why a configuration of limits is refused.

use std::fmt;

/// Names the file that is refused, the field at fault, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsError {
    file: String,
    field: String,
    reason: String,
}

impl LimitsError {
    pub(super) fn new(file: impl ToString, field: impl ToString, reason: impl ToString) -> Self {
        Self { file: file.to_string(), field: field.to_string(), reason: reason.to_string() }
    }

    /// An error of the file as a whole.
    pub(super) fn whole(file: impl ToString, reason: impl ToString) -> Self {
        Self::new(file, "", reason)
    }

    /// Returns the name of the file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the path of the field, such as `descriptors[0].rate_limit.unit`; empty where the file as a whole is at
    /// fault.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Returns why it is refused.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => write!(f, "{}: {}", self.file, self.reason),
            field => write!(f, "{}: {field}: {}", self.file, self.reason),
        }
    }
}

impl std::error::Error for LimitsError {}
