//! Durations as Aeraki's users write them: Go's syntax, `1m30s`, `100ms`, `0.5h`.

use std::time::Duration;

/// Reports a text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration such as `1m30s` or `100ms`")]
pub struct DurationError(String);

/// Reads and writes an optional duration.
pub(crate) mod optional {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| super::parse(&text)).transpose().map_err(D::Error::custom)
    }

    pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.collect_str(&format_args!("{}s", duration.as_secs_f64())),
            None => serializer.serialize_none(),
        }
    }
}

/// Reads one or more numbers with a unit each; a sum beyond 584 years or a negative one is an error.
fn parse(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError(text.to_owned());
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut nanos = 0_u64;
    loop {
        let (term, after) = parse_term(rest).ok_or_else(error)?;
        nanos = nanos.checked_add(term).ok_or_else(error)?;
        if after.is_empty() {
            return Ok(Duration::from_nanos(nanos));
        }
        rest = after;
    }
}

/// Reads one number and its unit, as nanoseconds, and what follows them.
fn parse_term(text: &str) -> Option<(u64, &str)> {
    let number_len = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(number_len);
    let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_len);
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    Some((whole.checked_mul(*scale)?.checked_add(scaled_fraction(fraction, *scale)?)?, rest))
}

/// Reads the digits behind a decimal point; what is smaller than a nanosecond is dropped.
fn scaled_fraction(digits: &str, scale: u64) -> Option<u64> {
    let mut unit = u128::from(scale) * FRACTION_GUARD;
    let mut sum = 0_u128;
    for digit in digits.chars() {
        unit /= 10;
        sum += u128::from(digit.to_digit(10)?) * unit;
    }
    u64::try_from(sum / FRACTION_GUARD).ok()
}

/// Keeps the digits of a fraction exact that division would cut off.
const FRACTION_GUARD: u128 = 1_000_000_000_000;

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000), // micro sign
    ("μs", 1_000), // Greek mu
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("100ms", 100_000_000),
            ("1m30s", 90_000_000_000),
            ("0.1s", 100_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+5s", 5_000_000_000),
            ("1h2m3s4ms5us6ns", 3_723_004_005_006),
            ("3µs", 3_000),
            ("3μs", 3_000),
            ("0.3333333333333333333h", 1_200_000_000_000 - 1),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in ["", "+", "-1s", "1", "s", ".s", "1.2.3s", "1x", "1 s", "1s ", "9999999999h", "1s1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
