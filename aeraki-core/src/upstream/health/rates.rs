//! Which endpoints fail more than others, by their requests of one interval.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use aeraki_route::config::OutlierDetection;

use super::Host;

/// Requests of one interval, and those that ended well.
#[derive(Debug, Default)]
pub(super) struct Tally {
    all: AtomicU32,
    well: AtomicU32,
}

impl Tally {
    pub(super) fn count(&self, well: bool) {
        if well {
            self.well.fetch_add(1, Relaxed);
        }
        self.all.fetch_add(1, Relaxed);
    }

    /// Ends the interval.
    pub(super) fn take(&self) -> Requests {
        Requests { all: self.all.swap(0, Relaxed), well: self.well.swap(0, Relaxed) }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Requests {
    pub(super) all: u32,
    pub(super) well: u32,
}

impl Requests {
    /// Returns the share of those that ended well, per cent.
    fn rate(self) -> f64 {
        100.0 * f64::from(self.well.min(self.all)) / f64::from(self.all.max(1))
    }
}

/// Endpoints that fail more than others.
#[derive(Debug)]
pub(super) struct Outliers<'h> {
    /// Those whose success lies too far below the mean.
    pub(super) lagging: Vec<&'h Host>,
    /// Those of whose requests too many fail.
    pub(super) failing: Vec<&'h Host>,
}

/// Ends the interval of all endpoints, and compares those that had enough requests and are not out.
pub(super) fn outliers<'h>(
    hosts: &'h [Arc<Host>],
    take: impl Fn(&Host) -> Requests,
    config: &OutlierDetection,
) -> Outliers<'h> {
    let requests: Vec<(&Host, Requests)> = hosts.iter().map(|host| (&**host, take(host))).collect();
    let rates = |volume: u32, hosts: u32| {
        let enough =
            requests.iter().filter(|(host, requests)| requests.all >= volume.max(1) && !host.tallies.is_ejected());
        let mut rates: Vec<(&Host, f64)> = enough.map(|(host, requests)| (*host, requests.rate())).collect();
        if rates.len() < hosts as usize { mem::take(&mut rates) } else { rates }
    };
    let below = |rates: Vec<(&'h Host, f64)>, least: f64| {
        rates.into_iter().filter(|(_, rate)| *rate < least).map(|(host, _)| host).collect()
    };
    let compared = rates(config.success_rate.request_volume, config.success_rate.minimum_hosts);
    let least = least(compared.iter().map(|(_, rate)| *rate), config.success_rate.stdev_factor);
    let lagging = below(compared, least);
    let share = &config.failure_percentage;
    let judged = rates(share.request_volume, share.minimum_hosts);
    let failing = |(host, rate): (&'h Host, f64)| (100.0 - rate >= f64::from(share.threshold)).then_some(host);
    Outliers { lagging, failing: judged.into_iter().filter_map(failing).collect() }
}

/// Returns the rate below which one lies too far from the mean.
fn least(rates: impl Iterator<Item = f64> + Clone, factor: u32) -> f64 {
    let count = rates.clone().count().max(1) as f64;
    let mean = rates.clone().sum::<f64>() / count;
    let variance = rates.map(|rate| (rate - mean).powi(2)).sum::<f64>() / count;
    mean - variance.sqrt() * f64::from(factor) / 1000.0
}
