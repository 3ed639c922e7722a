//! Puts together, once a second, what the callers saw and what the routes in force promise.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hdrhistogram::Histogram;

use crate::{
    caller::Group,
    expect::{Expectation, expect},
    mesh::InForce,
    tally::{Counts, Tally},
};

/// Watches all groups of callers.
pub(crate) struct Monitor {
    watched: Vec<Watched>,
}

struct Watched {
    name: String,
    host: String,
    group: Group,
    tally: Arc<Tally>,
    last: Counts,
    /// Answers that each version should have given so far, by the routes that were in force.
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
    pub(crate) const fn new() -> Self {
        Self { watched: Vec::new() }
    }

    /// Watches `group`, whose calls go to the service `host`.
    pub(crate) fn watch(&mut self, name: String, host: &str, group: Group, tally: Arc<Tally>) {
        let last = tally.counts();
        self.watched.push(Watched { name, host: host.to_owned(), group, tally, last, promised: BTreeMap::new() });
    }

    /// Reports what happened since the last call, `elapsed` ago.
    pub(crate) fn tick(&mut self, in_force: &InForce, elapsed: Duration) -> Vec<Row> {
        self.watched.iter_mut().map(|watched| watched.tick(in_force, elapsed)).collect()
    }

    /// Reports the whole run.
    pub(crate) fn summary(&self, elapsed: Duration) -> Vec<Row> {
        let total = |watched: &Watched| {
            let counts = watched.tally.counts();
            let promised = watched.promised.clone();
            row(&watched.name, "", &counts.by_version, &promised, &counts, &counts.latency, elapsed)
        };
        self.watched.iter().map(total).collect()
    }
}

impl Watched {
    fn tick(&mut self, in_force: &InForce, elapsed: Duration) -> Row {
        let counts = self.tally.counts();
        let fresh: BTreeMap<String, u64> = counts
            .by_version
            .iter()
            .map(|(version, count)| (version.clone(), count - self.last.by_version.get(version).unwrap_or(&0)))
            .collect();
        let expectation = in_force
            .routes(&self.host)
            .map_or_else(Expectation::default, |routes| expect(&self.group, routes, in_force.clusters()));
        let answers: u64 = fresh.values().sum();
        for (version, share) in &expectation.shares {
            *self.promised.entry(version.clone()).or_default() += share * answers as f64;
        }
        let mut latency = counts.latency.clone();
        // what was recorded before the last report does not count again
        let _ = latency.subtract(&self.last.latency);
        let row = row(&self.name, &expectation.route, &fresh, &expectation.shares, &counts, &latency, elapsed);
        self.last = counts;
        row
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
    fn a_share_off_its_weight_is_a_fault() {
        assert_eq!(faults(&[finished(82.9, 0)], 3.0), Vec::<String>::new());
        assert_eq!(faults(&[finished(83.1, 0)], 3.0).len(), 1);
        assert_eq!(faults(&[finished(80.0, 2)], 3.0), ["dubbo: 2 errors, the last: unknown"]);
    }
}
