//! What a condition asks of one attribute.

use serde::{Deserialize, Serialize};

/// Says what an attribute's value must be.
///
/// Written as `{exact: …}`, `{prefix: …}` or `{regex: …}`; `{}` and `null` ask for presence.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Option<Fields>", into = "Fields")]
#[non_exhaustive]
pub enum StringMatch {
    /// The attribute is there.
    #[default]
    Present,
    /// The value is this text. The empty text is met by every value.
    Exact(String),
    /// The value begins with this text.
    Prefix(String),
    /// The whole value matches this expression (RE2 syntax).
    Regex(String),
}

impl TryFrom<Option<Fields>> for StringMatch {
    type Error = StringMatchError;

    fn try_from(fields: Option<Fields>) -> Result<Self, StringMatchError> {
        let Fields { exact, prefix, regex } = fields.unwrap_or_default();
        match (exact, prefix, regex) {
            (None, None, None) => Ok(Self::Present),
            (Some(text), None, None) => Ok(Self::Exact(text)),
            (None, Some(text), None) => Ok(Self::Prefix(text)),
            (None, None, Some(text)) => Ok(Self::Regex(text)),
            _ => Err(StringMatchError),
        }
    }
}

impl From<StringMatch> for Fields {
    fn from(value: StringMatch) -> Self {
        let mut fields = Self::default();
        match value {
            StringMatch::Present => {}
            StringMatch::Exact(text) => fields.exact = Some(text),
            StringMatch::Prefix(text) => fields.prefix = Some(text),
            StringMatch::Regex(text) => fields.regex = Some(text),
        }
        fields
    }
}

/// Reports a condition that asks for more than one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at most one of `exact`, `prefix` and `regex` can be given")]
#[non_exhaustive]
pub struct StringMatchError;

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    exact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regex: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_each_form() {
        for (text, expected) in [
            (r#"{"exact":"a"}"#, StringMatch::Exact("a".into())),
            (r#"{"prefix":""}"#, StringMatch::Prefix(String::new())),
            (r#"{"regex":"a+"}"#, StringMatch::Regex("a+".into())),
            ("{}", StringMatch::Present),
        ] {
            let read: StringMatch = serde_json::from_str(text).expect(text);
            assert_eq!(read, expected);
            assert_eq!(serde_json::to_string(&read).expect("JSON"), text);
        }
        assert_eq!(serde_json::from_str::<StringMatch>("null").expect("presence"), StringMatch::Present);
    }

    #[test]
    fn refuses_two_forms_and_unknown_ones() {
        for text in [r#"{"exact":"a","prefix":"b"}"#, r#"{"suffix":"a"}"#, r#""a""#] {
            assert!(serde_json::from_str::<StringMatch>(text).is_err(), "{text}");
        }
    }
}
