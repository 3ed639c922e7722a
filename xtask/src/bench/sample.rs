//! What one target did in one round.

use anyhow::{Context, Result};
use serde_json::Value;

/// The figures of the generator's line; per answered request where not said otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Retired instructions; zero where the machine has no counters.
    pub(crate) user: f64,
    pub(crate) kernel: f64,
    /// System calls; zero where the kernel does not show them.
    pub(crate) syscalls: f64,
    pub(crate) cpu_us: f64,
    pub(crate) switches: f64,
    /// Answered requests per second.
    pub(crate) rps: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// The share of a core that the target used.
    pub(crate) busy: f64,
    pub(crate) resident_mib: f64,
    pub(crate) upstream_connections: f64,
    pub(crate) answered: f64,
    /// Failed requests and connections, in all.
    pub(crate) errors: f64,
}

impl Sample {
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let figures: Value = serde_json::from_str(line).with_context(|| format!("not a sample: {line}"))?;
        let get = |key: &str| figures[key].as_f64().unwrap_or_default();
        Ok(Self {
            user: get("user"),
            kernel: get("kernel"),
            syscalls: get("syscalls"),
            cpu_us: get("cpu_us"),
            switches: get("switches"),
            rps: get("rps"),
            p50_us: get("p50_us"),
            p99_us: get("p99_us"),
            busy: get("busy"),
            resident_mib: get("resident_kib") / 1024.0,
            upstream_connections: get("upstream_connections"),
            answered: get("answered"),
            errors: get("errors"),
        })
    }

    pub(crate) fn instructions(&self) -> f64 {
        self.user + self.kernel
    }
}
