//! Takes endpoints out for a while where too much fails, as Envoy's outlier detection does.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use aeraki_route::config::{Consecutive, OutlierDetection};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{
    Health, Host,
    rates::{Tally, outliers},
    stats::Reason,
};
use crate::sync::lock;

/// How a request to an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Ended {
    /// With an answer that is no error.
    Well,
    /// With an error.
    Error,
    /// With an answer that says that the server cannot take it.
    Refused,
    /// Without an answer: no connection, one that ended, or too late.
    LocalOrigin,
}

/// What is counted of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    ejected: AtomicBool,
    answers: Tally,
    local_origin: Tally,
    /// Failures in a row.
    errors: AtomicU32,
    gateway_failures: AtomicU32,
    local_origin_failures: AtomicU32,
    ejection: Mutex<Ejection>,
}

#[derive(Debug, Default)]
struct Ejection {
    until: Option<Instant>,
    /// How often it was taken out, less the intervals that it was not.
    times: u32,
}

impl Tallies {
    pub(super) fn is_ejected(&self) -> bool {
        self.ejected.load(Relaxed)
    }
}

impl Health {
    /// Notes how a request ended.
    pub(in crate::upstream) fn note(&self, host: &Host, ended: Ended, config: &OutlierDetection) {
        let tallies = &host.tallies;
        let split = config.split_external_local_origin_errors;
        match ended {
            Ended::LocalOrigin if split => {
                tallies.local_origin.count(false);
                let rule = config.consecutive_local_origin_failure;
                if another(&tallies.local_origin_failures, rule) {
                    self.eject(host, Reason::ConsecutiveLocalOriginFailure, rule.enforcing, config);
                }
            }
            Ended::Well | Ended::Error | Ended::Refused | Ended::LocalOrigin => {
                if split {
                    tallies.local_origin.count(true);
                    reset(&tallies.local_origin_failures);
                }
                self.note_answer(host, ended, config);
            }
        }
    }

    fn note_answer(&self, host: &Host, ended: Ended, config: &OutlierDetection) {
        let tallies = &host.tallies;
        tallies.answers.count(ended == Ended::Well);
        if ended == Ended::Well {
            reset(&tallies.errors);
            reset(&tallies.gateway_failures);
            return;
        }
        if ended == Ended::Error {
            reset(&tallies.gateway_failures);
        } else if another(&tallies.gateway_failures, config.consecutive_gateway_failure) {
            let enforcing = config.consecutive_gateway_failure.enforcing;
            self.eject(host, Reason::ConsecutiveGatewayFailure, enforcing, config);
        }
        if another(&tallies.errors, config.consecutive_errors) {
            self.eject(host, Reason::ConsecutiveErrors, config.consecutive_errors.enforcing, config);
        }
    }

    /// Takes an endpoint out, unless chance or the number of those that are out is against it.
    fn eject(&self, host: &Host, reason: Reason, enforcing: u32, config: &OutlierDetection) {
        self.stats.of(reason).detected.inc();
        if host.tallies.is_ejected() || fastrand::u32(..100) >= enforcing {
            return;
        }
        if !self.may_eject(config) {
            self.stats.overflow.inc();
            return;
        }
        let mut ejection = lock(&host.tallies.ejection);
        // asked under the lock: who brings all back comes before, and is heard, or after, and finds it
        if self.takes_none_out.load(Relaxed) || host.tallies.ejected.swap(true, Relaxed) {
            return;
        }
        ejection.times = ejection.times.saturating_add(1);
        let time = config.base_ejection_time.saturating_mul(ejection.times).min(config.longest_ejection());
        ejection.until = Some(Instant::now() + time + random(config.max_ejection_time_jitter));
        drop(ejection);
        self.stats.of(reason).enforced.inc();
        self.stats.enforced.inc();
        self.stats.active.inc();
        let (cluster, endpoint) = (&*self.cluster, &host.address);
        tracing::warn!(cluster, %endpoint, reason = reason.name(), ?time, "endpoint is taken out");
        self.changed();
    }

    fn may_eject(&self, config: &OutlierDetection) -> bool {
        // counted, not listed: there may be thousands, and a request waits for it
        let (out, all) = (self.stats.active.get(), self.stats.known.get());
        let share = (out + 1) * 100 <= all * i64::from(config.max_ejection_percent);
        share || (config.always_eject_one_host && out == 0)
    }

    /// Brings an endpoint back.
    pub(super) fn uneject(&self, host: &Host) {
        let mut ejection = lock(&host.tallies.ejection);
        if !host.tallies.ejected.swap(false, Relaxed) {
            return;
        }
        ejection.until = None;
        drop(ejection);
        reset(&host.tallies.errors);
        reset(&host.tallies.gateway_failures);
        reset(&host.tallies.local_origin_failures);
        self.stats.active.dec();
        tracing::info!(cluster = &*self.cluster, endpoint = %host.address, "endpoint is back");
        self.changed();
    }

    /// Takes endpoints out from now on, or none any more and brings all back, whatever requests have still to say that
    /// were under way before.
    pub(in crate::upstream) fn detect_outliers(&self, whether: bool) {
        if !self.takes_none_out.swap(!whether, Relaxed) && !whether {
            self.hosts().iter().for_each(|host| self.uneject(host));
        }
    }

    /// Looks at rates, and at endpoints whose time is over, again and again.
    pub(in crate::upstream) async fn sweep_for_ever(&self, config: &OutlierDetection) {
        let mut ticks = interval_at(Instant::now() + config.interval, config.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.sweep(config);
        }
    }

    pub(super) fn sweep(&self, config: &OutlierDetection) {
        let hosts = self.hosts();
        for host in &hosts {
            self.sweep_host(host);
        }
        let rate = &config.success_rate;
        let share = &config.failure_percentage;
        let answers = |host: &Host| host.tallies.answers.take();
        let mut found = outliers(&hosts, answers, config);
        let eject = |reason, hosts: Vec<&Host>, enforcing| {
            hosts.into_iter().for_each(|host| self.eject(host, reason, enforcing, config));
        };
        eject(Reason::SuccessRate, std::mem::take(&mut found.lagging), rate.enforcing);
        eject(Reason::FailurePercentage, found.failing, share.enforcing);
        let local_origin = |host: &Host| host.tallies.local_origin.take();
        let mut found = outliers(&hosts, local_origin, config);
        eject(Reason::LocalOriginSuccessRate, std::mem::take(&mut found.lagging), rate.enforcing_local_origin);
        eject(Reason::LocalOriginFailurePercentage, found.failing, share.enforcing_local_origin);
    }

    fn sweep_host(&self, host: &Host) {
        let mut ejection = lock(&host.tallies.ejection);
        match ejection.until {
            None => ejection.times = ejection.times.saturating_sub(1),
            Some(until) if until <= Instant::now() => {
                drop(ejection);
                self.uneject(host);
            }
            Some(_) => {}
        }
    }
}

/// Counts another failure in a row, unless no number is too many; tells whether that is one too many, and begins anew
/// then.
fn another(row: &AtomicU32, rule: Consecutive) -> bool {
    if rule.threshold == 0 {
        return false;
    }
    let too_many = row.fetch_add(1, Relaxed).saturating_add(1) >= rule.threshold;
    if too_many {
        row.store(0, Relaxed);
    }
    too_many
}

/// Ends a row. What is well is mostly so already, and the line stays shared then.
fn reset(row: &AtomicU32) {
    if row.load(Relaxed) > 0 {
        row.store(0, Relaxed);
    }
}

/// Returns a random time up to `most`.
pub(super) fn random(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}
