//! What was asked of which pair of peers through which target, and what came of it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::way::Target;
use crate::peers::{install::Missing, process::Process};

/// One observation of a client: a case it ran through one target.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) target: Target,
    pub(crate) name: String,
    /// Whether the client saw what the case promises.
    pub(crate) ok: bool,
    /// What it saw; compared between targets unless the case is named in `Comparison::free`.
    pub(crate) detail: Value,
}

impl Case {
    /// Reads a line that a client prints: `{"target", "case", "ok", "detail"}`.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(line).with_context(|| format!("not a case: {line}"))?;
        let text = |key: &str| value[key].as_str().with_context(|| format!("no {key:?} in {line}"));
        Ok(Self {
            target: text("target")?.parse()?,
            name: text("case")?.to_owned(),
            ok: value["ok"].as_bool().with_context(|| format!("no \"ok\" in {line}"))?,
            detail: value["detail"].clone(),
        })
    }
}

/// Reads the cases that a client prints until it ends, which it must do with success.
pub(crate) fn cases(client: Process, limit: Duration) -> Result<Vec<Case>> {
    let deadline = Instant::now() + limit;
    let mut cases = Vec::new();
    while let Some(line) = client.line(deadline)? {
        if line.starts_with('{') {
            cases.push(Case::parse(&line)?);
        }
    }
    client.succeeded()?;
    Ok(cases)
}

/// The answer to a question that is asked in one way only.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) name: String,
    pub(crate) promised: String,
    pub(crate) seen: String,
}

/// How the cases of one pair of peers are held against each other.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Comparison {
    /// Cases (by the end of their name) whose detail may differ from the direct one: error texts of a proxy.
    pub(crate) free: &'static [&'static str],
    /// What other software is known to get wrong: through which target, the end of the case's name, the reason.
    pub(crate) defects: &'static [(Target, &'static str, &'static str)],
}

/// Collects verdicts, prints one line for each pair and target, and the counts at the end.
#[derive(Debug)]
pub(crate) struct Report {
    required: bool,
    suite: &'static str,
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    pub(crate) fn new(required: bool) -> Self {
        Self { required, suite: "", passed: 0, failed: 0, skipped: 0 }
    }

    pub(crate) fn begin(&mut self, suite: &'static str) {
        self.suite = suite;
    }

    /// Ends the current suite early: a missing peer is skipped unless peers are required.
    pub(crate) fn abort(&mut self, error: &anyhow::Error) {
        match error.downcast_ref::<Missing>() {
            Some(_) if !self.required => self.skip(&format!("{error:#}")),
            _ => self.fail("suite", &format!("{error:#}")),
        }
    }

    pub(crate) fn skip(&mut self, reason: &str) {
        self.skipped += 1;
        self.line("SKIP", reason);
    }

    pub(crate) fn pass(&mut self) {
        self.passed += 1;
    }

    pub(crate) fn fail(&mut self, what: &str, reason: &str) {
        self.failed += 1;
        self.line("FAIL", &format!("{what}: {reason}"));
    }

    /// Judges what a client saw through every target against what it saw without a proxy.
    pub(crate) fn compare(&mut self, pair: &str, targets: &[Target], cases: &[Case], rules: Comparison) {
        let direct = by_name(cases, Target::Direct);
        if direct.is_empty() {
            self.fail(pair, "the client ran no case without a proxy");
        }
        for &target in targets {
            let way = format!("{pair} {target}");
            let seen = by_name(cases, target);
            self.count(&way, |report| {
                for (name, expected) in &direct {
                    let what = format!("{way} {name}");
                    match seen.get(name) {
                        None => report.fail(&what, "the client did not run it"),
                        Some(case) => report.judge(&what, case, expected, rules),
                    }
                }
            });
        }
    }

    /// Judges answers that were promised, by their names.
    pub(crate) fn check(&mut self, pair: &str, answers: &[Answer]) {
        self.count(pair, |report| {
            for Answer { name, promised, seen } in answers {
                if seen == promised {
                    report.pass();
                } else {
                    report.fail(&format!("{pair} {name}"), &format!("{seen} instead of {promised}"));
                }
            }
        });
    }

    /// Prints the counts; an error if anything failed or nothing ran.
    pub(crate) fn finish(self) -> Result<()> {
        println!("interop: {} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        ensure!(self.failed == 0, "{} of the interoperability checks failed", self.failed);
        ensure!(self.passed > 0 || self.skipped > 0, "no interoperability check ran");
        Ok(())
    }

    /// Prints how many of the verdicts of `judge` were good.
    fn count(&mut self, what: &str, judge: impl FnOnce(&mut Self)) {
        let (passed, failed) = (self.passed, self.failed);
        judge(self);
        let (passed, failed) = (self.passed - passed, self.failed - failed);
        self.line(if failed == 0 { "ok" } else { "FAIL" }, &format!("{what}: {passed} of {}", passed + failed));
    }

    fn judge(&mut self, what: &str, case: &Case, expected: &Case, rules: Comparison) {
        let same = rules.free.iter().any(|end| case.name.ends_with(end)) || case.detail == expected.detail;
        let defect = rules.defects.iter().find(|(target, end, _)| *target == case.target && case.name.ends_with(end));
        match (case.ok && same, defect) {
            (true, _) => self.pass(),
            (false, Some((.., reason))) => self.skip(&format!("{what}: {reason}")),
            (false, None) if !case.ok => self.fail(what, &shortened(&case.detail)),
            (false, None) => {
                self.fail(what, &format!("{} instead of {}", shortened(&case.detail), shortened(&expected.detail)));
            }
        }
    }

    fn line(&self, verdict: &str, text: &str) {
        println!("{verdict:4} {}: {text}", self.suite);
    }
}

fn by_name(cases: &[Case], target: Target) -> BTreeMap<&str, &Case> {
    cases.iter().filter(|case| case.target == target).map(|case| (case.name.as_str(), case)).collect()
}

fn shortened(detail: &Value) -> String {
    let text = detail.to_string();
    if text.chars().count() > 300 { text.chars().take(300).chain("...".chars()).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULES: Comparison = Comparison { free: &["free"], defects: &[(Target::Envoy, "broken", "known")] };

    fn case(target: Target, name: &str, ok: bool, detail: i32) -> Case {
        Case { target, name: name.to_owned(), ok, detail: json!(detail) }
    }

    fn counts(name: &str, other: Option<Case>) -> (usize, usize, usize) {
        let mut report = Report::new(true);
        let cases: Vec<_> = [case(Target::Direct, name, true, 1)].into_iter().chain(other).collect();
        report.compare("pair", &[Target::Direct, Target::Envoy], &cases, RULES);
        (report.passed, report.failed, report.skipped)
    }

    #[test]
    fn the_same_answer_passes_and_another_one_fails() {
        assert_eq!(counts("a", Some(case(Target::Envoy, "a", true, 1))), (2, 0, 0));
        assert_eq!(counts("a", Some(case(Target::Envoy, "a", true, 2))), (1, 1, 0));
        assert_eq!(counts("a free", Some(case(Target::Envoy, "a free", true, 2))), (2, 0, 0));
    }

    #[test]
    fn a_case_that_fails_or_did_not_run_fails() {
        assert_eq!(counts("a free", Some(case(Target::Envoy, "a free", false, 1))), (1, 1, 0));
        assert_eq!(counts("a", None), (1, 1, 0));
    }

    #[test]
    fn a_known_defect_is_skipped_only_while_it_is_there() {
        assert_eq!(counts("broken", Some(case(Target::Envoy, "broken", false, 1))), (1, 0, 1));
        assert_eq!(counts("broken", Some(case(Target::Envoy, "broken", true, 1))), (2, 0, 0));
    }

    #[test]
    fn an_answer_passes_as_promised_only() {
        let answer = |seen: &str| Answer { name: "a".to_owned(), promised: "yes".to_owned(), seen: seen.to_owned() };
        let mut report = Report::new(true);
        report.check("pair", &[answer("yes"), answer("no")]);
        assert_eq!((report.passed, report.failed), (1, 1));
    }

    #[test]
    fn a_missing_peer_fails_only_where_peers_are_required() {
        let missing = || anyhow::Error::from(Missing::new("no such peer"));
        let [mut required, mut optional] = [true, false].map(Report::new);
        required.abort(&missing().context("starting it"));
        optional.abort(&missing().context("starting it"));
        assert_eq!((required.failed, required.skipped), (1, 0));
        assert_eq!((optional.failed, optional.skipped), (0, 1));
    }
}
