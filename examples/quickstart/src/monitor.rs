//! Puts together what the callers saw and what the routes in force promise.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hdrhistogram::Histogram;

use crate::{
    caller::Group,
    expect::Expectation,
    tally::{Counts, Tally},
};

/// Watches all groups of callers.
#[derive(Default)]
pub(crate) struct Monitor {
    watched: Vec<Watched>,
}

struct Watched {
    name: String,
    host: &'static str,
    group: Group,
    tally: Arc<Tally>,
    /// What was counted when it was last reported.
    last: Counts,
    /// What the calls see since they were last settled.
    expectation: Expectation,
    /// How many answers are settled.
    settled: u64,
    /// How many of them each version should have given, by the routes that were in force.
    promised: BTreeMap<String, f64>,
}

/// One group of callers at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) route: String,
    /// Answers in a second, since the last report.
    pub(crate) rate: f64,
    pub(crate) shares: Vec<Share>,
    pub(crate) errors: u64,
    pub(crate) last_error: Option<String>,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) answers: u64,
}

/// The part of a group's calls that one version answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Share {
    pub(crate) version: String,
    /// Per cent.
    pub(crate) seen: f64,
    /// Per cent.
    pub(crate) promised: f64,
}

impl Monitor {
    /// Watches `group`, whose calls go to the service `host`.
    pub(crate) fn watch(&mut self, name: &str, host: &'static str, group: Group, tally: Arc<Tally>) {
        self.watched.push(Watched {
            name: name.to_owned(),
            host,
            group,
            last: tally.counts(),
            tally,
            expectation: Expectation::default(),
            settled: 0,
            promised: BTreeMap::new(),
        });
    }

    /// Settles what was answered so far by what was in force until now; `expect` says what is from now on.
    pub(crate) fn settle(&mut self, expect: impl Fn(&str, &Group) -> Expectation) {
        for watched in &mut self.watched {
            watched.settle();
            watched.expectation = expect(watched.host, &watched.group);
        }
    }

    /// Reports what happened since the last report, `elapsed` ago.
    pub(crate) fn report(&mut self, elapsed: Duration) -> Vec<Row> {
        self.watched.iter_mut().map(|watched| watched.report(elapsed)).collect()
    }

    /// Reports the whole run.
    pub(crate) fn summary(&mut self, elapsed: Duration) -> Vec<Row> {
        self.watched.iter_mut().map(|watched| watched.summary(elapsed)).collect()
    }
}

impl Watched {
    fn settle(&mut self) {
        let answers = self.tally.answers();
        for (version, share) in &self.expectation.shares {
            *self.promised.entry(version.clone()).or_default() += share * (answers - self.settled) as f64;
        }
        self.settled = answers;
    }

    fn report(&mut self, elapsed: Duration) -> Row {
        let counts = self.tally.counts();
        let before = |version| self.last.by_version.get(version).unwrap_or(&0);
        let fresh = counts.by_version.iter().map(|(version, count)| (version.clone(), count - before(version)));
        let fresh: BTreeMap<String, u64> = fresh.collect();
        let mut latency = counts.latency.clone();
        // what was recorded before the last report does not count again
        let _ = latency.subtract(&self.last.latency);
        let expectation = &self.expectation;
        let row = row(&self.name, &expectation.route, &fresh, &expectation.shares, &counts, &latency, elapsed);
        self.last = counts;
        row
    }

    fn summary(&mut self, elapsed: Duration) -> Row {
        self.settle();
        let counts = self.tally.counts();
        row(&self.name, "", &counts.by_version, &self.promised, &counts, &counts.latency, elapsed)
    }
}

fn row(
    name: &str,
    route: &str,
    seen: &BTreeMap<String, u64>,
    promised: &BTreeMap<String, f64>,
    counts: &Counts,
    latency: &Histogram<u64>,
    elapsed: Duration,
) -> Row {
    let answers: u64 = seen.values().sum();
    let weight: f64 = promised.values().sum();
    let per_cent = |part: f64, whole: f64| if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
    let mut versions: Vec<&String> = seen.keys().chain(promised.keys()).collect();
    versions.sort();
    versions.dedup();
    let share = |version: &String| Share {
        version: version.clone(),
        seen: per_cent(seen.get(version).copied().unwrap_or(0) as f64, answers as f64),
        promised: per_cent(promised.get(version).copied().unwrap_or(0.0), weight),
    };
    Row {
        name: name.to_owned(),
        route: route.to_owned(),
        rate: answers as f64 / elapsed.as_secs_f64(),
        shares: versions.into_iter().map(share).collect(),
        errors: counts.errors,
        last_error: counts.last_error.clone(),
        p50: Duration::from_micros(latency.value_at_quantile(0.5)),
        p99: Duration::from_micros(latency.value_at_quantile(0.99)),
        answers,
    }
}

/// Says what is wrong with a finished run; empty if every share lies within `points` of its weight.
pub(crate) fn faults(rows: &[Row], points: f64) -> Vec<String> {
    let mut faults = Vec::new();
    for row in rows {
        if row.answers == 0 {
            faults.push(format!("{}: no call was answered", row.name));
        }
        if row.errors > 0 {
            let last = row.last_error.as_deref().unwrap_or("unknown");
            faults.push(format!("{}: {} errors, the last: {last}", row.name, row.errors));
        }
        for share in row.shares.iter().filter(|share| (share.seen - share.promised).abs() > points) {
            faults.push(format!(
                "{}: {} got {:.1} % of the calls, its weight is {:.1} %",
                row.name, share.version, share.seen, share.promised
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Wire;

    fn finished(seen: f64, errors: u64) -> Row {
        let shares = vec![Share { version: "v1".into(), seen, promised: 80.0 }];
        let zero = Duration::ZERO;
        Row {
            name: "dubbo".into(),
            route: String::new(),
            rate: 1.0,
            shares,
            errors,
            last_error: None,
            p50: zero,
            p99: zero,
            answers: 10,
        }
    }

    #[test]
    fn calls_are_settled_by_what_was_in_force_when_they_were_answered() {
        let expect = |version: &str| {
            let shares = [(version.to_owned(), 1.0)].into();
            move |_: &str, _: &Group| Expectation { route: "only".to_owned(), shares: Clone::clone(&shares) }
        };
        let tally = Arc::new(Tally::new().expect("good bounds"));
        let answer = |version: &str, count: u32| (0..count).for_each(|_| tally.answered(version, Duration::ZERO));
        let group = Group { wire: Wire::Thrift, interface: "", method: "add", user: "anybody", rate: 1 };
        let mut monitor = Monitor::default();
        monitor.watch("all", "host", group, Arc::clone(&tally));

        monitor.settle(expect("v1"));
        answer("v1", 30);
        monitor.settle(expect("v2"));
        answer("v2", 10);
        let now = monitor.report(Duration::from_secs(1));
        assert_eq!(now[0].shares[1], Share { version: "v2".to_owned(), seen: 25.0, promised: 100.0 });
        let whole = monitor.summary(Duration::from_secs(1));
        assert_eq!(faults(&whole, 0.1), Vec::<String>::new());
        assert_eq!(whole[0].shares[1], Share { version: "v2".to_owned(), seen: 25.0, promised: 25.0 });
    }

    #[test]
    fn a_share_off_its_weight_is_a_fault() {
        assert_eq!(faults(&[finished(82.9, 0)], 3.0), Vec::<String>::new());
        assert_eq!(faults(&[finished(83.1, 0)], 3.0).len(), 1);
        assert_eq!(faults(&[finished(80.0, 2)], 3.0), ["dubbo: 2 errors, the last: unknown"]);
    }
}
