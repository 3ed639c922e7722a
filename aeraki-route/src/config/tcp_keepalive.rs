//! TCP keep-alive: how a connection to a peer that has vanished is found out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{Checked, ensure};

/// Has the system ask silent peers whether they are still there; `envoy.config.core.v3.TcpKeepalive`.
///
/// What is not said is as the system has it (Linux: 9 probes, the first after 2 h, then every 75 s).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TcpKeepalive {
    /// Probes without an answer after which the connection is given up; 1 to 127.
    pub probes: Option<u32>,
    /// How long a connection is silent before the first probe, in whole seconds; 1 s to 32 767 s.
    #[serde(with = "super::duration::optional")]
    pub time: Option<Duration>,
    /// The time between two probes, in whole seconds; 1 s to 32 767 s.
    #[serde(with = "super::duration::optional")]
    pub interval: Option<Duration>,
}

impl TcpKeepalive {
    /// Returns how clients are asked where their listener does not say: after 30 s, then every 10 s, and 3 times.
    /// Whoever has closed and is gone is not told from one that still waits for answers in any other way.
    #[must_use]
    pub const fn of_clients() -> Self {
        Self { probes: Some(3), time: Some(Duration::from_secs(30)), interval: Some(Duration::from_secs(10)) }
    }

    /// Sets after how many probes the connection is given up.
    #[must_use]
    pub fn with_probes(mut self, probes: u32) -> Self {
        self.probes = Some(probes);
        self
    }

    /// Sets how long a connection is silent before the first probe.
    #[must_use]
    pub fn with_time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Sets the time between two probes.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    pub(super) fn check(&self) -> Checked {
        let probes = self.probes.is_none_or(|probes| (1..=MAX_PROBES).contains(&probes));
        ensure(probes, "probes", format_args!("must be from 1 to {MAX_PROBES}"))?;
        for (time, field) in [(self.time, "time"), (self.interval, "interval")] {
            let taken = time.is_none_or(|time| time.subsec_nanos() == 0 && (1..=MAX_SECONDS).contains(&time.as_secs()));
            ensure(taken, field, format_args!("must be whole seconds, from 1 to {MAX_SECONDS}"))?;
        }
        Ok(())
    }
}

/// The most that Linux takes (`tcp(7)`).
const MAX_PROBES: u32 = 127;
const MAX_SECONDS: u64 = 32_767;
