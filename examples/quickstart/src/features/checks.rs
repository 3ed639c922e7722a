//! What each feature does to calls; each check returns it in words, with the figures.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::{BoxFuture, FutureExt};

use super::probe::{Outcome, Probe};
use crate::wire::{SEEN_CALLER, SEEN_TIER, TIER};

type Check = for<'p> fn(&'p mut Probe) -> BoxFuture<'p, Result<String>>;

/// The features by the names of their files, in the order in which they are tried.
pub(super) const CHECKS: [(&str, Check); 9] = [
    ("timeouts", |probe| timeouts(probe).boxed()),
    ("retries", |probe| retries(probe).boxed()),
    ("hedging", |probe| hedging(probe).boxed()),
    ("faults", |probe| faults(probe).boxed()),
    ("mirrors", |probe| mirrors(probe).boxed()),
    ("mutations", |probe| mutations(probe).boxed()),
    ("local-rate-limit", |probe| local_rate_limit(probe).boxed()),
    ("global-rate-limit", |probe| global_rate_limit(probe).boxed()),
    ("authorization", |probe| authorization(probe).boxed()),
];

async fn timeouts(probe: &mut Probe) -> Result<String> {
    let slow = probe.call("slow", "anybody").await?;
    ensure!(slow.status == TIMEOUT, "a slow call ended with status {}", slow.status);
    ensure!(slow.took >= Duration::from_millis(200) && slow.took < Duration::from_secs(1), "after {:?}", slow.took);
    let quick = probe.call("greet", "anybody").await?;
    ensure!(quick.is_answer(), "a quick call failed with status {}", quick.status);
    Ok(format!("a slow call ended with status {TIMEOUT} after {:?}; a quick one was answered", slow.took))
}

async fn retries(probe: &mut Probe) -> Result<String> {
    let outcomes = probe.calls(50, "busy", "anybody").await?;
    let refused = probe.seen.count("v1", "busy");
    answered_by(&outcomes, "v2")?;
    ensure!(refused > 0, "v1 was never asked");
    Ok(format!("50 of 50 calls were answered by v2, although v1 refused {refused} of them first"))
}

async fn hedging(probe: &mut Probe) -> Result<String> {
    let outcomes = probe.calls(20, "lazy", "anybody").await?;
    let (asked, longest) = (probe.seen.count("v1", "lazy"), longest(&outcomes));
    ensure!(outcomes.iter().all(Outcome::is_answer), "not all calls were answered");
    ensure!(longest < Duration::from_secs(1), "a call took {longest:?}");
    ensure!(asked > 0, "v1 was never asked");
    Ok(format!("20 calls took {longest:?} at most, although v1 was asked {asked} times and takes 2 s"))
}

async fn faults(probe: &mut Probe) -> Result<String> {
    let victim = probe.call("greet", "victim").await?;
    ensure!(!victim.is_answer() && victim.took >= Duration::from_millis(100), "the victim was spared");
    let other = probe.call("greet", "anybody").await?;
    ensure!(other.is_answer(), "everybody else got status {}", other.status);
    Ok(format!("one user got status {} after {:?}, everybody else an answer", victim.status, victim.took))
}

async fn mirrors(probe: &mut Probe) -> Result<String> {
    let outcomes = probe.calls(20, "mirrored", "anybody").await?;
    answered_by(&outcomes, "v1")?;
    // copies are sent along, and arrive when they do
    while probe.seen.count("v2", "mirrored") < 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let copies = probe.seen.count("v2", "mirrored");
    ensure!(copies == 20, "v2 saw {copies} copies");
    Ok(format!("20 calls were answered by v1, and v2 saw {copies} copies"))
}

async fn mutations(probe: &mut Probe) -> Result<String> {
    let outcome = probe.call("greet", "ann").await?;
    let attributes = [SEEN_TIER, SEEN_CALLER, TIER].map(|key| outcome.attribute(key).unwrap_or_default());
    ensure!(attributes == ["gold", "ann", "silver"], "service and caller saw {attributes:?}");
    Ok("the service saw tier=gold and caller=ann, the caller tier=silver".to_owned())
}

async fn local_rate_limit(probe: &mut Probe) -> Result<String> {
    let (ann, bob) = (probe.calls(8, "greet", "ann").await?, probe.calls(8, "greet", "bob").await?);
    passed(&ann, 5)?;
    passed(&bob, 5)?;
    Ok(format!("5 of 8 calls of each of two users passed, the others got status {OVER_LIMIT}"))
}

async fn global_rate_limit(probe: &mut Probe) -> Result<String> {
    let (ann, bob) = (probe.calls(5, "greet", "ann").await?, probe.calls(5, "greet", "bob").await?);
    passed(&ann, 3)?;
    passed(&bob, 3)?;
    Ok(format!("3 of 5 calls of each of two users passed, the others got status {OVER_LIMIT}"))
}

async fn authorization(probe: &mut Probe) -> Result<String> {
    for (method, user, allowed) in [("greet", "ann", true), ("drop", "ann", false), ("greet", "mallory", false)] {
        let outcome = probe.call(method, user).await?;
        ensure!(outcome.is_answer() == allowed, "{method} of {user}: status {}", outcome.status);
        ensure!(allowed || outcome.status == DENIED, "{method} of {user}: status {}", outcome.status);
    }
    Ok(format!("one method and one user got status {DENIED}, everything else an answer"))
}

/// Demands that all calls were answered by this version.
fn answered_by(outcomes: &[Outcome], version: &str) -> Result<()> {
    let all = outcomes.iter().all(|outcome| outcome.version.as_deref() == Some(version));
    ensure!(all, "not all calls were answered by {version}");
    Ok(())
}

/// Demands that the first `expected` calls passed, and that the others were over their limit.
fn passed(outcomes: &[Outcome], expected: usize) -> Result<()> {
    for (index, outcome) in outcomes.iter().enumerate() {
        let (passes, status) = (index < expected, outcome.status);
        ensure!(outcome.is_answer() == passes && (passes || status == OVER_LIMIT), "call {index}: status {status}");
    }
    Ok(())
}

fn longest(outcomes: &[Outcome]) -> Duration {
    outcomes.iter().map(|outcome| outcome.took).max().unwrap_or_default()
}

/// Statuses of Dubbo.
const TIMEOUT: i32 = 31;
const DENIED: i32 = 70;
const OVER_LIMIT: i32 = 100;
