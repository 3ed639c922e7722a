//! Whether the proxy counts what clients count.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::ledger::Ledger;
use crate::{
    interop::frames::Wire,
    peers::{
        admin::{ask, count, value},
        process::pause,
    },
};

/// Holds the proxy's counters against what the clients saw; nothing may be under way any more.
pub(super) fn compare(admin: u16, wire: Wire, ledger: &Ledger) -> Result<()> {
    let counted = ledger.counts();
    let of = |stats: &str, name: &str| count(stats, &format!("meta_protocol.{wire}.{wire}.{name}"));
    let deadline = Instant::now() + LIMIT;
    let stats = loop {
        let stats = ask(admin, "GET", "/stats")?;
        if of(&stats, "request_active") == Some(0) || Instant::now() > deadline {
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
    Ok(())
}

const LIMIT: Duration = Duration::from_secs(10);
