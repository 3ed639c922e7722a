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

/// Kills the provider until three calls or more were hit, under the calls of a consumer that come by our proxy and our
/// control plane.
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
    for _ in 0..MOST_KILLS {
        calls.hear(&consumer, CALLS)?;
        if calls.hit(&Executed::read(&fs::read_to_string(&executed)?)) >= HITS {
            break;
        }
        // dropped: killed, without a goodbye to anybody
        drop(server.take());
        server = Some(java.serve_counting(port, Some(&executed))?.0);
    }
    calls.hear(&consumer, CALLS)?;
    consumer.tell("end")?;
    calls.hear_all(&consumer)?;
    consumer.succeeded()?;
    Ok(calls.answers(&Executed::read(&fs::read_to_string(&executed)?)))
}

/// How often the provider has executed each call, by id.
struct Executed<'a>(BTreeMap<&'a str, usize>);

impl<'a> Executed<'a> {
    fn read(text: &'a str) -> Self {
        let mut times = BTreeMap::new();
        text.lines().for_each(|id| *times.entry(id).or_default() += 1);
        Self(times)
    }

    fn times(&self, id: &str) -> usize {
        self.0.get(id).copied().unwrap_or(0)
    }

    /// Counts the calls that were executed again.
    fn again(&self) -> usize {
        self.0.values().filter(|times| **times > 1).count()
    }
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

    /// Counts the calls that a kill has hit, as far as that shows.
    fn hit(&self, executed: &Executed<'_>) -> usize {
        self.0.iter().filter(|(id, ok)| id.starts_with("once") && !**ok).count() + executed.again()
    }

    /// Holds what was said against what was executed.
    fn answers(&self, executed: &Executed<'_>) -> Vec<Answer> {
        let of = |id: &str| executed.times(id);
        let calls = |method| self.0.iter().filter(move |(id, _)| id.starts_with(method));
        let count = |name: &str, wrong: usize| Answer {
            name: name.to_owned(),
            promised: "0".to_owned(),
            seen: wrong.to_string(),
        };
        let hit = self.hit(executed);
        println!(
            "     {} calls, {hit} of them hit by a kill: {} failed, {} executed again",
            self.0.len(),
            self.failed(),
            executed.again(),
        );
        vec![
            count("repeatable calls that failed", calls("again").filter(|(_, ok)| !**ok).count()),
            count("repeatable calls that were not executed", calls("again").filter(|(id, _)| of(id) == 0).count()),
            count("other calls that were executed twice", calls("once").filter(|(id, _)| of(id) > 1).count()),
            count("answers without execution", calls("once").filter(|(id, ok)| **ok && of(id) != 1).count()),
            count("calls that no kill has hit, of three", HITS.saturating_sub(hit)),
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
/// Calls to be hit.
const HITS: usize = 3;
/// A kill may come between two calls.
const MOST_KILLS: usize = 12;
/// Calls between two kills.
const CALLS: usize = 300;
const LIMIT: Duration = Duration::from_secs(120);
