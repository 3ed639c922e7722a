//! User instructions per request where the machine lends no counters: the target runs under cachegrind.
//!
//! Each target runs twice, with a short and a long load, so that what it does to start cancels out. The figures agree
//! with the hardware's within a few percent, and do not mind a busy machine; what the kernel does is not seen.

use std::{
    fmt::Write,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    rig::{Candidate, PROXY_CORE, Rig, on_core},
    what::{Load, Target},
};
use crate::peers::install::{debian, peers_dir};

/// Counts for every target but `direct` and renders the table.
pub(crate) fn table(rig: &Rig, load: Load, targets: &[Target]) -> Result<String> {
    debian("valgrind", "valgrind")?;
    let mut counts = Vec::new();
    for &target in targets.iter().filter(|target| target.applies(rig.protocol) && **target != Target::Direct) {
        counts.push((target, count(rig, load, target)?));
    }
    let of = |base| counts.iter().find(|(target, _)| *target == base).map_or(f64::NAN, |(_, count)| *count);
    let (envoy, tcp) = (of(Target::Envoy), of(Target::EnvoyTcp));
    let mut table =
        format!("\n## {}, {load}: user instructions per request, by cachegrind\n\n{HEADER}\n", rig.protocol);
    for (target, count) in &counts {
        writeln!(table, "| {target} | {count:.0} | {:.3} | {:.3} |", count / envoy, count / tcp)?;
    }
    Ok(table)
}

/// Counts for one target.
fn count(rig: &Rig, load: Load, target: Target) -> Result<f64> {
    let (short, long) = (run(rig, load, target, SHORT_MS)?, run(rig, load, target, LONG_MS)?);
    Ok((long.instructions - short.instructions) / (long.answered - short.answered))
}

/// What a whole run of a target did.
struct Run {
    instructions: f64,
    answered: f64,
}

fn run(rig: &Rig, load: Load, target: Target, measure_ms: u64) -> Result<Run> {
    let file = peers_dir().join("run/cachegrind.out");
    let candidate = rig.start_target(target, under_cachegrind(&file))?;
    // a target that listens may still be starting: every request that it answers is counted
    let deadline = Instant::now() + START_LIMIT;
    let mut answered = 0.0;
    while answered == 0.0 {
        ensure!(Instant::now() < deadline, "{target} answers nothing under cachegrind");
        answered = drive(rig, load, &candidate, SHORT_MS)?;
    }
    answered += drive(rig, load, &candidate, measure_ms)?;
    candidate.process.context("the target is a process")?.terminate(STOP_LIMIT)?;
    let output = fs::read_to_string(&file)?;
    let total =
        output.lines().find_map(|line| line.strip_prefix("summary: ")).context("cachegrind wrote no summary")?;
    Ok(Run { instructions: total.trim().parse()?, answered })
}

fn drive(rig: &Rig, load: Load, candidate: &Candidate, measure_ms: u64) -> Result<f64> {
    let sample = rig.sample(load, candidate, 0, measure_ms)?;
    ensure!(sample.errors == 0.0, "{} requests failed under cachegrind", sample.errors);
    Ok(sample.answered)
}

fn under_cachegrind(file: &Path) -> Command {
    let mut command = on_core(PROXY_CORE);
    command.args(["valgrind", "--tool=cachegrind", "--cache-sim=no"]);
    command.arg(format!("--cachegrind-out-file={}", file.display()));
    command
}

const HEADER: &str = "| target | instr/req user | : Envoy | : its tcp_proxy |\n| --- | --- | --- | --- |";
const SHORT_MS: u64 = 500;
const LONG_MS: u64 = 4000;
const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);
