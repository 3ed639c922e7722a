//! What is wrong with a text, in words for people: the library names types of Rust and tokens of YAML.

use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

/// Says in one line what is wrong.
pub(super) fn reason(error: &Error) -> String {
    match wanted(error) {
        Some(wanted) => format!("must be {wanted}"),
        None => UserMessageFormatter.format_message(error).replace(char::is_control, "?"),
    }
}

fn wanted(error: &Error) -> Option<String> {
    Some(match error {
        Error::InvalidScalar { ty, .. } => match *ty {
            "u8" => whole(u8::MIN, u8::MAX),
            "u16" => whole(u16::MIN, u16::MAX),
            "u32" => whole(u32::MIN, u32::MAX),
            "u64" => whole(u64::MIN, u64::MAX),
            "i32" => whole(i32::MIN, i32::MAX),
            "i64" => whole(i64::MIN, i64::MAX),
            "bool" | "boolean" => "true or false".to_owned(),
            "f32" | "f64" | "floating point" => "a number".to_owned(),
            _ => return None,
        },
        Error::Unexpected { expected: "sequence start", .. } => "a list".to_owned(),
        Error::Unexpected { expected: "mapping start", .. } => "a mapping".to_owned(),
        Error::Unexpected { expected: "scalar" | "string scalar", .. } => "a text".to_owned(),
        _ => return None,
    })
}

fn whole(least: impl ToString, most: impl ToString) -> String {
    format!("a whole number from {} to {}", least.to_string(), most.to_string())
}
