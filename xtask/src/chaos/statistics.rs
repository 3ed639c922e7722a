//! Whether the proxy counts what clients count.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{ledger::Ledger, target::Target};
use crate::{
    interop::frames::Wire,
    peers::{
        admin::{ask, count, value},
        process::pause,
    },
};

/// Holds the proxy's counters against what the clients saw; nothing may be under way any more.
pub(super) fn compare(admin: u16, wire: Wire, target: Target, ledger: &Ledger) -> Result<()> {
    let counted = ledger.counts();
    let of = |stats: &str, name: &str| count(stats, &format!("meta_protocol.{wire}.{wire}.{name}"));
    let deadline = Instant::now() + LIMIT;
    let stats = loop {
        let stats = ask(admin, "GET", "/stats")?;
        let settled = of(&stats, "request_active") == Some(0) && unnoticed(&stats, target).is_empty();
        if settled || Instant::now() > deadline {
            break stats;
        }
        pause(Duration::from_millis(50));
    };
    let active = of(&stats, "request_active");
    if active != Some(0) {
        ledger.violated(format!("the proxy still has {active:?} requests under way"));
    }
    let more = usize::try_from(of(&stats, "request").context("no counter request")?)?;
    // calls after the storm are not in the ledger
    if more < counted.requests() {
        ledger.violated(format!("the proxy counts {more} requests of {}", counted.requests()));
    }
    let prefix = format!("meta_protocol.{wire}.{wire}.local_reply.");
    let refused: u64 = stats.lines().filter(|line| line.starts_with(&prefix)).filter_map(value).sum();
    let seen = u64::try_from(counted.refused())?;
    if refused < seen {
        ledger.violated(format!("the proxy counts {refused} answers of its own of {seen}"));
    }
    unnoticed(&stats, target).iter().for_each(|name| ledger.violated(format!("{name} of the proxy is 0")));
    Ok(())
}

/// Lists counters of what the proxy should have noticed and has not: a storm that nobody notices tries nothing.
fn unnoticed(stats: &str, target: Target) -> Vec<&'static str> {
    let expected: &[&str] = match target {
        Target::Tls => &["server.cert_update_success"],
        Target::Cut => &["ejections_enforced_total"],
        Target::CutChecked => &["ejections_enforced_total", "health_check.failure"],
        _ => &[],
    };
    let is_zero = |name: &&&str| {
        let lines = stats.lines().filter(|line| line.split(':').next().is_some_and(|full| full.ends_with(**name)));
        lines.filter_map(value).sum::<u64>() == 0
    };
    expected.iter().filter(is_zero).copied().collect()
}

const LIMIT: Duration = Duration::from_secs(10);
