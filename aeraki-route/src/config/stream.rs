//! How long streams may last.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{duration, error::Checked};

/// How long streams may last: those of a route, or of a listener where the route does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StreamTimeouts {
    /// How long a stream may be idle: no frame either way; none: as the listener says, 5 min where it does not either;
    /// zero: for ever.
    #[serde(with = "duration::optional")]
    pub idle: Option<Duration>,
    /// How long a stream may last in all, from the moment its opening was read; none: as the listener says, for ever
    /// where it does not either; zero: for ever.
    #[serde(with = "duration::optional")]
    pub total: Option<Duration>,
}

impl StreamTimeouts {
    /// Sets how long a stream may be idle; zero: for ever.
    #[must_use]
    pub const fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Sets how long a stream may last in all; zero: for ever.
    #[must_use]
    pub const fn with_total(mut self, total: Duration) -> Self {
        self.total = Some(total);
        self
    }

    /// Returns the times of a stream whose route does not say all of them.
    #[must_use]
    pub fn or(self, listener: Self) -> Self {
        Self { idle: self.idle.or(listener.idle), total: self.total.or(listener.total) }
    }

    /// Returns how long a stream may be idle, defaults included; none: for ever.
    #[must_use]
    pub fn idle_limit(self) -> Option<Duration> {
        Some(self.idle.unwrap_or(DEFAULT_IDLE)).filter(|idle| !idle.is_zero())
    }

    /// Returns how long a stream may last in all; none: for ever.
    #[must_use]
    pub fn total_limit(self) -> Option<Duration> {
        self.total.filter(|total| !total.is_zero())
    }

    pub(super) fn check(&self) -> Checked {
        let check =
            |limit: Option<Duration>, field| limit.map_or(Ok(()), |limit| duration::check_longest(limit, field));
        check(self.idle, "idle")?;
        check(self.total, "total")
    }
}

/// Envoy's default of `stream_idle_timeout`.
const DEFAULT_IDLE: Duration = Duration::from_secs(5 * 60);
