//! A provider that is killed and started again under load: what may be repeated must not fail, and nothing else may be
//! executed twice. The provider counts, in a file that outlives it.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::Java;
use crate::interop::report::Answer;
use crate::peers::{
    install::peers_dir,
    mesh::{Mesh, Service},
    process::Process,
};

/// Kills the provider three times under the calls of a consumer that come by our proxy and our control plane.
pub(super) fn run(java: &Java) -> Result<Vec<Answer>> {
    let executed = peers_dir().join("run/executed");
    if executed.exists() {
        fs::remove_file(&executed)?;
    }
    let (server, port) = java.serve_counting(0, Some(&executed))?;
    let service = Service { protocol: "dubbo", interface: "peers.Counted", routes: ROUTES, servers: &[port] };
    let mesh = Mesh::start("survival", "dev", service)?;
    let mut consumer =
        Process::start("dubbo-java-survivor", java.command("peers.Survivor").arg(mesh.entrance.to_string()))?;
    let mut calls = Calls::default();
    let mut server = Some(server);
    for _ in 0..KILLS {
        calls.hear(&consumer, CALLS)?;
        // dropped: killed, without a goodbye to anybody
        drop(server.take());
        server = Some(java.serve_counting(port, Some(&executed))?.0);
    }
    calls.hear(&consumer, CALLS)?;
    consumer.tell("end")?;
    calls.hear_all(&consumer)?;
    consumer.succeeded()?;
    Ok(calls.answers(&fs::read_to_string(&executed)?))
}

/// What a consumer said of its calls, by id.
#[derive(Default)]
pub(super) struct Calls(BTreeMap<String, bool>);

impl Calls {
    /// Waits for the ends of `count` calls.
    pub(super) fn hear(&mut self, consumer: &Process, count: usize) -> Result<()> {
        let (deadline, enough) = (Instant::now() + LIMIT, self.0.len() + count);
        while self.0.len() < enough {
            let line = consumer.line(deadline)?.context("the consumer ended early")?;
            self.take(&line);
        }
        Ok(())
    }

    /// Waits for the end of the consumer.
    pub(super) fn hear_all(&mut self, consumer: &Process) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while let Some(line) = consumer.line(deadline)? {
            self.take(&line);
        }
        Ok(())
    }

    /// Returns how many calls have failed.
    pub(super) fn failed(&self) -> usize {
        self.0.values().filter(|ok| !**ok).count()
    }

    fn take(&mut self, line: &str) {
        if let Some((said @ ("ok" | "failed"), id)) = line.split_once(' ') {
            self.0.insert(id.to_owned(), said == "ok");
        }
    }

    /// Holds what was said against what was executed.
    fn answers(&self, executed: &str) -> Vec<Answer> {
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        executed.lines().for_each(|id| *times.entry(id).or_default() += 1);
        let of = |id: &str| times.get(id).copied().unwrap_or(0);
        let calls = |method| self.0.iter().filter(move |(id, _)| id.starts_with(method));
        let count = |name: &str, wrong: usize| Answer {
            name: name.to_owned(),
            promised: "0".to_owned(),
            seen: wrong.to_string(),
        };
        let interrupted = calls("once").filter(|(_, ok)| !**ok).count() + times.values().filter(|n| **n > 1).count();
        println!(
            "     {} calls, {} of them hit by a kill: {} failed, {} executed again",
            self.0.len(),
            interrupted,
            self.failed(),
            times.values().filter(|times| **times > 1).count(),
        );
        vec![
            count("repeatable calls that failed", calls("again").filter(|(_, ok)| !**ok).count()),
            count("repeatable calls that were not executed", calls("again").filter(|(id, _)| of(id) == 0).count()),
            count("other calls that were executed twice", calls("once").filter(|(id, _)| of(id) > 1).count()),
            count("answers without execution", calls("once").filter(|(id, ok)| **ok && of(id) != 1).count()),
            count("kills that hit nobody", KILLS.saturating_sub(interrupted)),
        ]
    }
}

/// Tries last for as long as a provider takes to start.
const ROUTES: &str = "\
- name: again
  match: {attributes: {method: {exact: again}}}
  retries: {attempts: 10, repeatable: true, backOff: {base: 0.5s, max: 5s}, budget: {minPerSecond: 100}}
  route: [{destination: {host: service.example}}]
- name: once
  retries: {attempts: 10, backOff: {base: 0.5s, max: 5s}, budget: {minPerSecond: 100}}
  route: [{destination: {host: service.example}}]
";
const KILLS: usize = 3;
/// Calls between two kills.
const CALLS: usize = 300;
const LIMIT: Duration = Duration::from_secs(120);
