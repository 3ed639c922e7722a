//! Whether the proxy counts what clients and servers count.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{
    ledger::{Counts, Ledger},
    target::Target,
};
use crate::{
    interop::frames::Wire,
    peers::{
        admin::{ask, count, value},
        process::pause,
    },
};

/// Holds the proxy's counters against what clients and servers saw; nothing may be under way any more, and nothing else
/// may have been called.
pub(super) fn compare(admin: u16, wire: Wire, target: Target, ledger: &Ledger) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    let stats = loop {
        let stats = ask(admin, "GET", "/stats")?;
        let settled = of(wire, &stats, "request_active") == Some(0) && unnoticed(&stats, target).is_empty();
        if settled || Instant::now() > deadline {
            break stats;
        }
        pause(Duration::from_millis(50));
    };
    let differences = differences(&stats, wire, &ledger.counts(), ledger.executions());
    differences.into_iter().for_each(|difference| ledger.violated(difference));
    unnoticed(&stats, target).iter().for_each(|name| ledger.violated(format!("{name} of the proxy is 0")));
    Ok(())
}

/// Lists where the proxy counts otherwise than clients and servers. Every request is counted once, whatever becomes of
/// it; what servers execute, the proxy has written.
fn differences(stats: &str, wire: Wire, counted: &Counts, executed: u64) -> Vec<String> {
    let prefix = format!("meta_protocol.{wire}.{wire}.local_reply.");
    let sum = |holds: &dyn Fn(&str) -> bool| -> u64 {
        stats.lines().filter(|line| line.split(':').next().is_some_and(holds)).filter_map(value).sum()
    };
    let (sent, refused) = (counted.requests() as u64, counted.refused() as u64);
    let active = of(wire, stats, "request_active");
    let requests = of(wire, stats, "request");
    let replies = sum(&|name| name.starts_with(&prefix));
    let written = sum(&|name| name.starts_with("cluster.") && name.ends_with(".upstream_rq_total"));
    [
        (active != Some(0)).then(|| format!("the proxy still has {active:?} requests under way")),
        (requests != Some(sent)).then(|| format!("the proxy counts {requests:?} requests of {sent}")),
        (replies != refused).then(|| format!("the proxy counts {replies} answers of its own of {refused}")),
        (written < executed)
            .then(|| format!("the proxy counts {written} requests to servers, which executed {executed}")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of(wire: Wire, stats: &str, name: &str) -> Option<u64> {
    count(stats, &format!("meta_protocol.{wire}.{wire}.{name}"))
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

#[cfg(test)]
mod tests {
    use super::{
        super::{ONCE, ledger::End},
        *,
    };

    #[test]
    fn what_is_counted_otherwise_is_found() {
        let ledger = Ledger::default();
        for (number, end) in [End::Answered, End::Answered, End::Refused].into_iter().enumerate() {
            let text = format!("{ONCE}-0-{number}");
            ledger.sent(&text);
            ledger.executed(&text);
            ledger.ended(&text, end);
        }
        let differences = |active: u64, requests: u64, replies: u64, written: u64| {
            let stats = format!(
                "meta_protocol.dubbo.dubbo.request: {requests}\nmeta_protocol.dubbo.dubbo.request_active: {active}\n\
                 meta_protocol.dubbo.dubbo.local_reply.timeout: {replies}\ncluster.one.upstream_rq_total: {written}\n"
            );
            differences(&stats, Wire::Dubbo, &ledger.counts(), ledger.executions())
        };
        assert_eq!(differences(0, 3, 1, 3), [""; 0]);
        assert_eq!(differences(0, 3, 1, 7), [""; 0], "with further tries");
        assert_eq!(differences(0, 4, 1, 3), ["the proxy counts Some(4) requests of 3"]);
        assert_eq!(differences(0, 2, 1, 3), ["the proxy counts Some(2) requests of 3"]);
        assert_eq!(differences(1, 3, 2, 2).len(), 3);
    }
}
