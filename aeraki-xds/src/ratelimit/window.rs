//! Fixed windows of time, aligned to the Unix epoch.

use std::time::Duration;

use serde::Deserialize;

use crate::proto::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit as UnitProto;

/// The length of a window; `RateLimitResponse.RateLimit.Unit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
#[non_exhaustive]
pub enum Unit {
    /// One second.
    Second,
    /// One minute.
    Minute,
    /// One hour.
    Hour,
    /// One day, in UTC.
    Day,
    /// Seven days, the first of which is a Thursday, as the epoch's was.
    Week,
    /// Thirty days.
    Month,
    /// 365 days.
    Year,
}

impl Unit {
    /// Returns its length in seconds.
    pub const fn seconds(self) -> u64 {
        const DAY: u64 = 24 * 60 * 60;
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 60 * 60,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::Month => 30 * DAY,
            Self::Year => 365 * DAY,
        }
    }

    /// Reads the number that stands for it in answers, and in limits that a client brings along.
    pub(super) fn from_proto(number: i32) -> Option<Self> {
        Some(match UnitProto::try_from(number).ok()? {
            UnitProto::Unknown => return None,
            UnitProto::Second => Self::Second,
            UnitProto::Minute => Self::Minute,
            UnitProto::Hour => Self::Hour,
            UnitProto::Day => Self::Day,
            UnitProto::Week => Self::Week,
            UnitProto::Month => Self::Month,
            UnitProto::Year => Self::Year,
        })
    }

    pub(super) fn to_proto(self) -> UnitProto {
        match self {
            Self::Second => UnitProto::Second,
            Self::Minute => UnitProto::Minute,
            Self::Hour => UnitProto::Hour,
            Self::Day => UnitProto::Day,
            Self::Week => UnitProto::Week,
            Self::Month => UnitProto::Month,
            Self::Year => UnitProto::Year,
        }
    }
}

impl TryFrom<String> for Unit {
    type Error = String;

    /// Reads its name in any case.
    fn try_from(name: String) -> Result<Self, String> {
        let number = UnitProto::from_str_name(&name.to_ascii_uppercase()).map_or(0, i32::from);
        Self::from_proto(number).ok_or_else(|| {
            format!("unknown unit {name:?}, expected one of second, minute, hour, day, week, month, year")
        })
    }
}

/// One window: a unit of time that begins at a multiple of its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    unit: Unit,
    start: u64,
}

impl Window {
    /// Returns the window in which `now` lies, in seconds since the Unix epoch.
    pub const fn at(unit: Unit, now: u64) -> Self {
        Self { unit, start: now - now % unit.seconds() }
    }

    /// Returns its length.
    pub const fn unit(self) -> Unit {
        self.unit
    }

    /// Returns when it began, in seconds since the Unix epoch.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Returns the window before this one.
    pub(super) const fn previous(self) -> Self {
        Self { unit: self.unit, start: self.start.saturating_sub(self.unit.seconds()) }
    }

    /// Returns how long it lasts from `now`, which lies in it: a whole number of seconds, at least one.
    pub(super) const fn left(self, now: u64) -> Duration {
        Duration::from_secs((self.start + self.unit.seconds()).saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_at_a_multiple_of_its_length() {
        let window = Window::at(Unit::Minute, 125);
        assert_eq!(
            (window.start(), window.left(125), window.left(179)),
            (120, Duration::from_secs(55), Duration::from_secs(1))
        );
        assert_eq!(Window::at(Unit::Minute, 180).previous(), window);
        assert_eq!(Window::at(Unit::Second, 125).left(125), Duration::from_secs(1));
    }

    #[test]
    fn units_go_by_the_numbers_and_names_of_the_protocol() {
        for number in 1..=7 {
            let unit = Unit::from_proto(number).expect("is a unit");
            assert_eq!(i32::from(unit.to_proto()), number);
            assert_eq!(Unit::try_from(unit.to_proto().as_str_name().to_owned()), Ok(unit));
        }
        assert_eq!((Unit::from_proto(0), Unit::from_proto(8), Unit::from_proto(-1)), (None, None, None));
        assert_eq!(Unit::try_from("Hour".to_owned()), Ok(Unit::Hour));
        assert!(Unit::try_from("unknown".to_owned()).is_err());
    }
}
