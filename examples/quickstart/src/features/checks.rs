//! What each feature does to calls; each check returns it in words, with the figures.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::{FutureExt, LocalBoxFuture};

use super::probe::{Outcome, Probe};
use crate::{
    mesh::NODE,
    wire::{SEEN_CALLER, SEEN_PEER, SEEN_REQUEST_ID, SEEN_TIER, TIER},
};

/// Looks for the effect of a feature, and tells it.
pub(super) type Check = for<'p> fn(&'p mut Probe) -> LocalBoxFuture<'p, Result<String>>;

/// The features that are filters of a listener, by the names of their files, in the order in which they are tried.
pub(super) const FILTERS: [(&str, Check); 3] = [
    ("metadata-exchange", |probe| metadata_exchange(probe).boxed_local()),
    ("request-ids", |probe| request_ids(probe).boxed_local()),
    ("load-shedding", |probe| load_shedding(probe).boxed_local()),
];

/// Those that are objects of the control plane.
pub(super) const OBJECTS: [(&str, Check); 9] = [
    ("timeouts", |probe| timeouts(probe).boxed_local()),
    ("retries", |probe| retries(probe).boxed_local()),
    ("hedging", |probe| hedging(probe).boxed_local()),
    ("faults", |probe| faults(probe).boxed_local()),
    ("mirrors", |probe| mirrors(probe).boxed_local()),
    ("mutations", |probe| mutations(probe).boxed_local()),
    ("local-rate-limit", |probe| local_rate_limit(probe).boxed_local()),
    ("global-rate-limit", |probe| global_rate_limit(probe).boxed_local()),
    ("authorization", |probe| authorization(probe).boxed_local()),
];

async fn metadata_exchange(probe: &mut Probe) -> Result<String> {
    let peer = probe.call("greet", "anybody").await?.attribute(SEEN_PEER).unwrap_or_default();
    ensure!(peer == NODE, "the service saw the peer {peer:?}");
    Ok(format!("the service saw that the proxy before it is on the node {peer}"))
}

async fn request_ids(probe: &mut Probe) -> Result<String> {
    let outcomes = probe.calls(2, "greet", "anybody").await?;
    let ids: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.attribute(SEEN_REQUEST_ID)).collect();
    let are_good = ids.iter().all(|id| id.len() == 36) && ids.first() != ids.last();
    ensure!(ids.len() == 2 && are_good, "the service saw the ids {ids:?}");
    Ok(format!("the service saw an id of its own in each call, such as {}", ids.concat().split_at(36).0))
}

async fn load_shedding(probe: &mut Probe) -> Result<String> {
    let mut other = probe.another().await?;
    let under_way = |it: &Probe| it.seen.count("v1", "slow") + it.seen.count("v2", "slow");
    let before = under_way(probe);
    let beside = async {
        other.until(|it| under_way(it) > before).await;
        other.call("greet", "anybody").await
    };
    let (slow, beside) = tokio::join!(probe.call("slow", "anybody"), beside);
    let (slow, beside) = (slow?, beside?);
    ensure!(slow.is_answer(), "the call under way failed with status {}", slow.status);
    ensure!(beside.status == OVER_LIMIT, "the call beside it ended with status {}", beside.status);
    ensure!(beside.took < Duration::from_secs(1), "it was refused after {:?}", beside.took);
    let (next, shed) = (probe.call("greet", "anybody").await?, probe.count("shed"));
    ensure!(next.is_answer() && shed == 1, "the next call ended with status {}, {shed} were shed", next.status);
    Ok(format!("beside a call under way, one got status {OVER_LIMIT} after {:?}; the next was answered", beside.took))
}

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
    probe.calls(10, "alike", "anybody").await?;
    // copies are sent along, and are answered when they are
    probe.until(|it| it.count("mirror_equal") + it.count("mirror_different") + it.count("mirror_failed") >= 30).await;
    let copies = ["mirrored", "alike"].map(|method| probe.seen.count("v2", method));
    let compared = ["mirror_equal", "mirror_different"].map(|counter| probe.count(counter));
    ensure!((copies, compared) == ([20, 10], [10, 20]), "v2 saw {copies:?} copies, {compared:?} equal and different");
    Ok("v1 answered 30 calls, v2 saw their copies: 10 answers were equal, 20 different since they name the version"
        .into())
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
