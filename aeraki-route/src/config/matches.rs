//! What a message must look like: one condition on one attribute.

use serde::{Deserialize, Serialize};

use super::error::{Checked, ensure};

/// One condition on one attribute of a message; `envoy.config.route.v3.HeaderMatcher` in plain form.
///
/// | The attribute is | `value` is not [`Present`](ValueMatch::Present) | `Present(true)` | `Present(false)` |
/// |---|---|---|---|
/// | present | as `value` says, negated by `invert` | true, negated by `invert` | false, negated by `invert` |
/// | missing | **false**, whatever `invert` says | false, negated by `invert` | true, negated by `invert` |
/// | missing, with `treat_missing_as_empty` | as if present and empty | as if present | as if present |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct AttributeMatch {
    /// Name of the attribute, compared ASCII-case-insensitively; not empty.
    pub key: String,
    /// What its value must be.
    pub value: ValueMatch,
    /// Compares text without ASCII case. Only for exact, prefix, suffix and contains.
    #[serde(default)]
    pub ignore_case: bool,
    /// Negates the result.
    #[serde(default)]
    pub invert: bool,
    /// Judges a missing attribute as if it were present and empty.
    #[serde(default)]
    pub treat_missing_as_empty: bool,
}

impl AttributeMatch {
    /// Creates a condition that `value` holds for the attribute `key`.
    pub fn new(key: impl Into<String>, value: ValueMatch) -> Self {
        Self { key: key.into(), value, ignore_case: false, invert: false, treat_missing_as_empty: false }
    }

    /// Creates a condition that the value equals `value`.
    pub fn exact(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(key, ValueMatch::Exact(value.into()))
    }

    /// Creates a condition that the value starts with `prefix`.
    pub fn prefix(key: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self::new(key, ValueMatch::Prefix(prefix.into()))
    }

    /// Creates a condition that the value ends with `suffix`.
    pub fn suffix(key: impl Into<String>, suffix: impl Into<String>) -> Self {
        Self::new(key, ValueMatch::Suffix(suffix.into()))
    }

    /// Creates a condition that the value contains `part`.
    pub fn contains(key: impl Into<String>, part: impl Into<String>) -> Self {
        Self::new(key, ValueMatch::Contains(part.into()))
    }

    /// Creates a condition that the regular expression `pattern` matches the entire value.
    pub fn regex(key: impl Into<String>, pattern: impl Into<String>) -> Self {
        Self::new(key, ValueMatch::Regex(pattern.into()))
    }

    /// Creates a condition that the value is a decimal integer in `start..end`.
    pub fn range(key: impl Into<String>, start: i64, end: i64) -> Self {
        Self::new(key, ValueMatch::Range { start, end })
    }

    /// Creates a condition that the attribute is there.
    pub fn present(key: impl Into<String>) -> Self {
        Self::new(key, ValueMatch::Present(true))
    }

    /// Creates a condition that the attribute is not there.
    pub fn absent(key: impl Into<String>) -> Self {
        Self::new(key, ValueMatch::Present(false))
    }

    /// Sets whether ASCII case is ignored.
    #[must_use]
    pub fn with_ignore_case(mut self, ignore_case: bool) -> Self {
        self.ignore_case = ignore_case;
        self
    }

    /// Sets whether the result is negated.
    #[must_use]
    pub fn with_invert(mut self, invert: bool) -> Self {
        self.invert = invert;
        self
    }

    /// Sets whether a missing attribute is judged as an empty one.
    #[must_use]
    pub fn with_treat_missing_as_empty(mut self, treat_missing_as_empty: bool) -> Self {
        self.treat_missing_as_empty = treat_missing_as_empty;
        self
    }

    pub(crate) fn check(&self) -> Checked {
        ensure(!self.key.is_empty(), "key", "must not be empty")?;
        ensure(
            !self.ignore_case || self.value.is_plain_text(),
            "ignoreCase",
            "applies only to exact, prefix, suffix and contains",
        )
    }
}

/// What the value of an attribute must be; whole-value comparison of bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ValueMatch {
    /// The attribute is there (`true`) or is not there (`false`). A matcher that says nothing else is `Present(true)`.
    Present(bool),
    /// Any value of an attribute that is there: the meaning of Envoy's deprecated `exact_match: ""`.
    ///
    /// Differs from [`Present`](Self::Present) for a missing attribute with `invert`.
    Any,
    /// Equal to this text; the empty text equals only the empty value.
    Exact(String),
    /// Starts with this text.
    Prefix(String),
    /// Ends with this text.
    Suffix(String),
    /// Contains this text.
    Contains(String),
    /// Matched in its entirety by this regular expression (RE2 semantics, linear time, size-limited).
    Regex(String),
    /// A signed 64-bit decimal in `start..end`; a sign and surrounding ASCII white space are tolerated.
    Range {
        /// First integer inside.
        start: i64,
        /// First integer past the end.
        end: i64,
    },
}

impl ValueMatch {
    fn is_plain_text(&self) -> bool {
        matches!(self, Self::Exact(_) | Self::Prefix(_) | Self::Suffix(_) | Self::Contains(_))
    }
}
