//! Headers to add and to remove, which are changes of attributes here.
//!
//! Upstream's proxy reads neither `append` nor `append_action`: to it, every addition sets. Older control planes leave
//! both alone, which to Envoy means "append". So an addition appends only where the deprecated `append` says so, and
//! `append_action` counts unless it is the default.
//!
//! | `append` | `append_action` | Change |
//! |---|---|---|
//! | absent or `false` | absent | [`Set`](MutationEntry::Set) |
//! | `true` | absent | [`Append`](MutationEntry::Append) |
//! | absent | `OVERWRITE_IF_EXISTS_OR_ADD` | [`Set`](MutationEntry::Set) |
//! | absent | `ADD_IF_ABSENT` | [`SetIfAbsent`](MutationEntry::SetIfAbsent) |
//!
//! A value may be one of Envoy's command operators: `%REQ(name)%`, `%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%`,
//! `%STREAM_ID%`. Others are refused. `%%` is a per cent sign; one that begins no operator is a per cent sign too, as
//! for upstream's proxy, to which every value is literal. So a text is doubled only where it would be misread.

use aeraki_route::config::{ConfigError, MutationEntry, MutationValue};

use super::super::at::At;
use crate::proto::envoy::config::core::v3::header_value_option::HeaderAppendAction as Action;
use crate::proto::envoy::config::core::v3::{HeaderValue, HeaderValueOption};

/// Removes come first, as in Envoy.
pub(super) fn from_proto(
    remove: &[String],
    add: &[HeaderValueOption],
    list: &str,
    at: &At<'_>,
) -> Result<Vec<MutationEntry>, ConfigError> {
    let added = add.iter().enumerate().map(|(index, option)| addition_from_proto(option, &at.item(list, index)));
    let removed = remove.iter().map(|key| Ok(MutationEntry::remove(key)));
    removed.chain(added).collect()
}

/// Splits into keys to remove and values to add. Because removing comes first there, a value that is removed later in
/// the list is not added at all.
pub(super) fn to_proto(
    entries: &[MutationEntry],
    at: &At<'_>,
) -> Result<(Vec<String>, Vec<HeaderValueOption>), ConfigError> {
    let (mut remove, mut add) = (Vec::new(), Vec::<HeaderValueOption>::new());
    for entry in entries {
        let (key, value, change) = match entry {
            MutationEntry::Remove { key } => {
                add.retain(|option| option.header.as_ref().is_none_or(|header| !header.key.eq_ignore_ascii_case(key)));
                remove.push(key.clone());
                continue;
            }
            MutationEntry::Set { key, value } => (key, value, HeaderValueOption::default()),
            MutationEntry::SetIfAbsent { key, value } => {
                let action = Action::AddIfAbsent.into();
                (key, value, HeaderValueOption { append_action: action, ..HeaderValueOption::default() })
            }
            MutationEntry::Append { key, value } => {
                (key, value, HeaderValueOption { append: Some(true), ..HeaderValueOption::default() })
            }
            _ => return Err(at.refuse("has no form in protobuf")),
        };
        let value = value_to_text(value).ok_or_else(|| at.refuse(format!("the value of {key:?} has no form here")))?;
        let header = HeaderValue { key: key.clone(), value, ..HeaderValue::default() };
        add.push(HeaderValueOption { header: Some(header), ..change });
    }
    Ok((remove, add))
}

fn addition_from_proto(option: &HeaderValueOption, at: &At<'_>) -> Result<MutationEntry, ConfigError> {
    let at_header = &at.field("header");
    let header = at_header.require(option.header.as_ref())?;
    let raw = std::str::from_utf8(&header.raw_value).map_err(|_| at_header.refuse("is not UTF-8"))?;
    let value = if header.value.is_empty() { raw } else { &header.value };
    let value = value_from_text(value).map_err(|reason| at_header.field("value").refuse(reason))?;
    let key = &header.key;
    let action = Action::try_from(option.append_action);
    match (option.append, action) {
        (None | Some(false), Ok(Action::AppendIfExistsOrAdd)) | (None, Ok(Action::OverwriteIfExistsOrAdd)) => {
            Ok(MutationEntry::set(key, value))
        }
        (Some(true), Ok(Action::AppendIfExistsOrAdd)) => Ok(MutationEntry::append(key, value)),
        (None, Ok(Action::AddIfAbsent)) => Ok(MutationEntry::set_if_absent(key, value)),
        (None, Ok(Action::OverwriteIfExists)) => {
            Err(at.field("append_action").refuse("OVERWRITE_IF_EXISTS is not supported"))
        }
        (Some(_), Ok(_)) => Err(at.field("append").refuse("excludes \"append_action\", which is given too")),
        (_, Err(_)) => Err(at.field("append_action").refuse(format!("there is no action {}", option.append_action))),
    }
}

/// Reads a value, which may be a command operator.
fn value_from_text(text: &str) -> Result<MutationValue, &'static str> {
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, command)) = rest.find('%').map(|at| rest.split_at(at)) {
        literal.push_str(before);
        if let Some((value, after)) = operator(command)? {
            let alone = command.len() == text.len() && after.is_empty();
            return if alone { Ok(value) } else { Err("a command operator must be the whole value") };
        }
        literal.push('%');
        rest = command.strip_prefix("%%").or_else(|| command.strip_prefix('%')).unwrap_or_default();
    }
    literal.push_str(rest);
    Ok(MutationValue::Text(literal))
}

/// Returns the operator with which the text begins, and what follows it.
fn operator(text: &str) -> Result<Option<(MutationValue, &str)>, &'static str> {
    for (name, value) in [(PEER_ADDRESS, MutationValue::PeerAddress), (REQUEST_ID, MutationValue::RequestId)] {
        if let Some(rest) = text.strip_prefix(name) {
            return Ok(Some((value, rest)));
        }
    }
    let Some(rest) = text.strip_prefix(ATTRIBUTE) else {
        return if is_operator(text) { Err(UNKNOWN) } else { Ok(None) };
    };
    let named = rest.split_once(')').and_then(|(name, rest)| Some((name, rest.strip_prefix('%')?)));
    match named {
        Some((name, rest)) if !name.contains('?') => Ok(Some((MutationValue::Attribute(name.to_owned()), rest))),
        _ => Err("must be %REQ(name)%, without an alternative and a length"),
    }
}

/// Tells whether the text begins with what is an operator to Envoy, known here or not: `%NAME%` or `%NAME(...)`.
fn is_operator(text: &str) -> bool {
    let name = text.trim_start_matches('%');
    let end = name.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')).unwrap_or(name.len());
    name.len() + 1 == text.len() && end > 0 && name[end..].starts_with(['%', '('])
}

/// Writes a value; none if it would be read as something else.
fn value_to_text(value: &MutationValue) -> Option<String> {
    let text = match value {
        MutationValue::Text(text) => {
            let literal = value_from_text(text).as_ref() == Ok(value);
            if literal { text.clone() } else { text.replace('%', "%%") }
        }
        MutationValue::Attribute(name) => format!("{ATTRIBUTE}{name})%"),
        MutationValue::PeerAddress => PEER_ADDRESS.to_owned(),
        MutationValue::RequestId => REQUEST_ID.to_owned(),
        _ => return None,
    };
    (value_from_text(&text).as_ref() == Ok(value)).then_some(text)
}

const UNKNOWN: &str = "holds a command operator that is not known here: use %REQ(name)%, \
                       %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% or %STREAM_ID%, and %% for a per cent sign";
const ATTRIBUTE: &str = "%REQ(";
const PEER_ADDRESS: &str = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%";
const REQUEST_ID: &str = "%STREAM_ID%";
