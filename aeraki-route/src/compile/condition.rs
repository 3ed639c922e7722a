//! One compiled condition: the truth table of [`AttributeMatch`].

use std::{fmt, sync::Arc};

use aho_corasick::AhoCorasick;

use super::{
    keys::{KeyInterner, Slot},
    regex::{Compiled, FullRegex, RegexPool},
};
use crate::config::{AttributeMatch, ValueMatch};

/// A condition on the value in one slot.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) slot: Slot,
    pub(crate) ignore_case: bool,
    pub(crate) invert: bool,
    pub(crate) missing_as_empty: bool,
    pub(crate) test: Test,
}

/// What is asked of a value.
#[derive(Debug)]
pub(crate) enum Test {
    Present(bool),
    Any,
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Box<Part>),
    Regex(Arc<FullRegex>),
    Range { start: i64, end: i64 },
}

/// A text to be found inside a value in linear time.
#[derive(Debug)]
pub(crate) struct Part {
    text: Box<str>,
    finder: AhoCorasick,
}

impl Condition {
    pub(super) fn compile(
        config: &AttributeMatch,
        keys: &mut KeyInterner,
        regexes: &mut RegexPool,
    ) -> Result<Self, String> {
        Ok(Self {
            slot: keys.slot(&config.key),
            ignore_case: config.ignore_case,
            invert: config.invert,
            missing_as_empty: config.treat_missing_as_empty,
            test: Test::compile(config, regexes)?,
        })
    }

    /// Tells whether the condition holds for the attribute's value, `None` if it is missing.
    #[inline]
    pub(crate) fn holds(&self, value: Option<&[u8]>) -> bool {
        let value = value.or(if self.missing_as_empty { Some(b"") } else { None });
        match (&self.test, value) {
            (Test::Present(wanted), value) => (value.is_some() == *wanted) != self.invert,
            (_, None) => false,
            (test, Some(value)) => test.accepts(value, self.ignore_case) != self.invert,
        }
    }
}

impl Test {
    fn compile(config: &AttributeMatch, regexes: &mut RegexPool) -> Result<Self, String> {
        let bytes = |text: &str| text.as_bytes().into();
        Ok(match &config.value {
            ValueMatch::Present(wanted) => Self::Present(*wanted),
            ValueMatch::Any => Self::Any,
            ValueMatch::Exact(text) => Self::Exact(bytes(text)),
            ValueMatch::Prefix(text) => Self::Prefix(bytes(text)),
            ValueMatch::Suffix(text) => Self::Suffix(bytes(text)),
            ValueMatch::Contains(text) => Self::Contains(Part::new(text, config.ignore_case)?),
            ValueMatch::Regex(pattern) => match regexes.compile(pattern)? {
                Compiled::Literal(text) => Self::Exact(text),
                Compiled::Regex(regex) => Self::Regex(regex),
            },
            ValueMatch::Range { start, end } => Self::Range { start: *start, end: *end },
        })
    }

    fn accepts(&self, value: &[u8], ignore_case: bool) -> bool {
        match self {
            Self::Present(wanted) => *wanted,
            Self::Any => true,
            Self::Exact(text) => equal(text, value, ignore_case),
            Self::Prefix(text) => value.get(..text.len()).is_some_and(|head| equal(text, head, ignore_case)),
            Self::Suffix(text) => {
                let tail = value.len().checked_sub(text.len()).map(|start| &value[start..]);
                tail.is_some_and(|tail| equal(text, tail, ignore_case))
            }
            Self::Contains(part) => part.finder.is_match(value),
            Self::Regex(regex) => regex.matches(value),
            Self::Range { start, end } => integer(value).is_some_and(|value| (*start..*end).contains(&value)),
        }
    }
}

impl Part {
    fn new(text: &str, ignore_case: bool) -> Result<Box<Self>, String> {
        let finder = AhoCorasick::builder()
            .ascii_case_insensitive(ignore_case)
            .build([text])
            .map_err(|error| format!("cannot be searched for: {error}"))?;
        Ok(Box::new(Self { text: text.into(), finder }))
    }
}

/// What is asked, in words that follow the key: `must start with "a"`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        f.write_str(if self.invert { "must not " } else { "must " })?;
        match &self.test {
            Test::Present(true) | Test::Any => f.write_str("be present"),
            Test::Present(false) => f.write_str("be missing"),
            Test::Exact(bytes) => write!(f, "equal {:?}", text(bytes)),
            Test::Prefix(bytes) => write!(f, "start with {:?}", text(bytes)),
            Test::Suffix(bytes) => write!(f, "end with {:?}", text(bytes)),
            Test::Contains(part) => write!(f, "contain {:?}", part.text),
            Test::Regex(regex) => write!(f, "match the regular expression {:?}", regex.pattern()),
            Test::Range { start, end } => write!(f, "be an integer in {start}..{end}"),
        }?;
        f.write_str(if self.ignore_case { ", ignoring case" } else { "" })
    }
}

fn equal(text: &[u8], value: &[u8], ignore_case: bool) -> bool {
    if ignore_case { text.eq_ignore_ascii_case(value) } else { text == value }
}

fn integer(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()
}
