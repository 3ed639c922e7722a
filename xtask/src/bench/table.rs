//! The samples of one load as a Markdown table: medians, ranges, and medians of the ratios within each round.

use std::{fmt, fs};

use super::{
    sample::Sample,
    what::{Load, Protocol, Target},
};

/// All samples of one protocol and load; `rows[target][round]`.
#[derive(Debug)]
pub(crate) struct Table {
    protocol: Protocol,
    load: Load,
    /// Whether clients speak TLS.
    secured: bool,
    rows: Vec<(Target, Vec<Sample>)>,
    before: Machine,
    after: Machine,
}

impl Table {
    pub(crate) fn new(protocol: Protocol, load: Load, secured: bool, targets: impl Iterator<Item = Target>) -> Self {
        let machine = Machine::now();
        let rows = targets.map(|target| (target, Vec::new())).collect();
        Self { protocol, load, secured, rows, before: machine, after: machine }
    }

    pub(crate) fn push(&mut self, row: usize, sample: Sample) {
        self.rows[row].1.push(sample);
    }

    pub(crate) fn finish(&mut self) {
        self.after = Machine::now();
    }

    pub(crate) fn errors(&self) -> f64 {
        self.rows.iter().flat_map(|(_, samples)| samples).map(|sample| sample.errors).sum()
    }

    /// The median over the rounds of `figure` of a row by that of `base`, in the rounds that `judged` takes.
    fn ratio(&self, row: &[Sample], base: Target, figure: Figure, judged: impl Fn(usize) -> bool) -> Option<f64> {
        let base = self.samples(base)?;
        let rounds = row.iter().zip(base).enumerate().filter(|(round, _)| judged(*round));
        let ratios = rounds.map(|(_, (a, b))| figure(a) / figure(b)).filter(|ratio| ratio.is_finite() && *ratio > 0.0);
        let ratios: Vec<f64> = ratios.collect();
        (!ratios.is_empty()).then(|| median(&ratios))
    }

    /// Whether waking the other core was cheap in a round: only then is CPU time a measure.
    fn is_cheap(&self, round: usize) -> bool {
        self.samples(Target::Relay)
            .and_then(|relay| relay.get(round))
            .is_some_and(|relay| relay.cpu_us <= CHEAP_RELAY_US)
    }

    fn samples(&self, target: Target) -> Option<&[Sample]> {
        self.rows.iter().find(|row| row.0 == target).map(|row| row.1.as_slice())
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, target: Target, samples: &[Sample]) -> fmt::Result {
        if target == Target::Direct {
            write!(f, "| {target} |{}", " - |".repeat(10))?;
        } else {
            self.cost(f, target, samples)?;
        }
        let rps = shown(self.ratio(samples, Target::Envoy, |it| it.rps, |_| true));
        write!(f, " {} | {rps} |", range(samples, |it| it.rps, 0))?;
        let (p50, p99) = (median_of(samples, |it| it.p50_us), median_of(samples, |it| it.p99_us));
        writeln!(f, " {p50:.0} / {p99:.0} | {:.0} |", samples.iter().map(|it| it.errors).sum::<f64>())
    }

    /// Writes the columns that a target has and the direct way has not.
    fn cost(&self, f: &mut fmt::Formatter<'_>, target: Target, samples: &[Sample]) -> fmt::Result {
        let ratio = |base, figure: Figure| shown(self.ratio(samples, base, figure, |_| true));
        let judged = self.ratio(samples, Target::Envoy, |it| it.cpu_us, |round| self.is_cheap(round));
        write!(f, "| {target} | {} | {} |", counted(samples, |it| it.user, 0), counted(samples, |it| it.kernel, 0))?;
        let instructions = |base| ratio(base, Sample::instructions);
        write!(f, " {} / {} |", instructions(Target::Envoy), instructions(Target::EnvoyTcp))?;
        write!(f, " {} | {} |", range(samples, |it| it.cpu_us, 2), ratio(Target::Relay, |it| it.cpu_us))?;
        write!(
            f,
            " {} ({}) | {} |",
            ratio(Target::Envoy, |it| it.cpu_us),
            shown(judged),
            ratio(Target::EnvoyTcp, |it| it.cpu_us)
        )?;
        write!(f, " {}, {:.3} |", counted(samples, |it| it.syscalls, 2), median_of(samples, |it| it.switches))?;
        let upstream = median_of(samples, |it| it.upstream_connections);
        write!(f, " {upstream:.0} x {:.1} |", self.load.in_flight() / upstream)?;
        let (busy, memory) = (median_of(samples, |it| it.busy), median_of(samples, |it| it.resident_mib));
        write!(f, " {busy:.2}, {memory:.1} MiB |")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.rows.first().map_or(0, |row| row.1.len());
        let cheap = (0..rounds).filter(|round| self.is_cheap(*round)).count();
        let Load { connections, depth, size } = self.load;
        let secured = if self.secured { ", over TLS" } else { "" };
        writeln!(f, "\n## {}, {connections} connections x {depth} in flight, {size} B{secured}\n", self.protocol)?;
        writeln!(
            f,
            "Load average {:.1} -> {:.1}, steal {:.1} %; relay at most {CHEAP_RELAY_US} µs in {cheap} of {rounds} rounds.\n",
            self.before.load,
            self.after.load,
            self.after.steal_since(self.before),
        )?;
        writeln!(f, "{HEADER}")?;
        self.rows.iter().try_for_each(|(target, samples)| self.row(f, *target, samples))
    }
}

/// The state of the machine around a measurement.
#[derive(Clone, Copy, Debug)]
struct Machine {
    load: f64,
    steal: f64,
    ticks: f64,
}

impl Machine {
    fn now() -> Self {
        let word = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let load = word("/proc/loadavg").split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default();
        let stat = word("/proc/stat");
        let first = stat.lines().next().unwrap_or_default();
        let ticks: Vec<f64> = first.split_whitespace().filter_map(|text| text.parse().ok()).take(8).collect();
        Self { load, steal: ticks.last().copied().unwrap_or_default(), ticks: ticks.iter().sum() }
    }

    /// The share of time in percent that the host took.
    fn steal_since(self, before: Self) -> f64 {
        100.0 * (self.steal - before.steal) / (self.ticks - before.ticks).max(1.0)
    }
}

type Figure = fn(&Sample) -> f64;

fn median_of(samples: &[Sample], figure: Figure) -> f64 {
    median(&samples.iter().map(figure).collect::<Vec<_>>())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// Renders median, least and greatest.
fn range(samples: &[Sample], figure: Figure, digits: usize) -> String {
    let values = || samples.iter().map(figure);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    format!("{:.digits$} ({least:.digits$}-{most:.digits$})", median_of(samples, figure))
}

/// Renders a count, or that the machine does not lend its counters.
fn counted(samples: &[Sample], figure: Figure, digits: usize) -> String {
    let counted = samples.iter().any(|sample| figure(sample) > 0.0);
    if counted { range(samples, figure, digits) } else { "not counted".to_owned() }
}

fn shown(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
}

/// Above it, waking the other core costs more than the work: performance figures in time are void.
const CHEAP_RELAY_US: f64 = 5.0;
const HEADER: &str = "\
| target | user instr/req | kernel instr/req | instr : Envoy / its tcp_proxy | CPU µs/req | CPU : relay | CPU : Envoy (in cheap rounds) | CPU : its tcp_proxy \
| syscalls, switches/req | upstream connections x in flight | busy, RSS | rps | rps : Envoy | p50 / p99 µs | errors |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";
