//! Durations as protobuf writes them in JSON: seconds with an `s`, `"5s"` or `"0.25s"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use super::error::{Checked, ensure};

pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{}s", duration.as_secs_f64()))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// The same for an optional field.
pub(super) mod optional {
    use super::{Deserialize, Deserializer, Duration, Error, Serializer, parse};

    pub(in super::super) fn serialize<S: Serializer>(duration: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, s),
            None => s.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        Option::<String>::deserialize(d)?.map(|text| parse(&text).map_err(D::Error::custom)).transpose()
    }
}

/// Checks a time that must pass: above zero, and short enough to be added to any clock.
pub(super) fn check(duration: Duration, field: &str) -> Checked {
    ensure(duration > Duration::ZERO, field, "must not be zero")?;
    check_longest(duration, field)
}

/// Checks a time that may be nothing.
pub(super) fn check_longest(duration: Duration, field: &str) -> Checked {
    ensure(duration <= MAX, field, "must not be longer than 365 days")
}

/// The same for a time that may be left out.
pub(super) fn check_optional(duration: Option<Duration>, field: &str) -> Checked {
    duration.map_or(Ok(()), |duration| check(duration, field))
}

const MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn parse(text: &str) -> Result<Duration, String> {
    text.strip_suffix('s')
        .and_then(|seconds| seconds.parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("{text:?} is not a duration such as \"5s\" or \"0.25s\""))
}
