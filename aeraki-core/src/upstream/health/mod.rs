//! Which endpoints are well: what [checks](check) say of them, what became of [requests](outlier), and who is
//! [leaving].
//!
//! All workers share what is known of an endpoint. One of them asks and draws conclusions; each makes its choice anew
//! when a verdict has changed.

mod check;
mod leaving;
mod monitor;
mod outlier;
mod rates;
mod stats;
mod watched;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use aeraki_route::config::{Cluster, SocketAddress};
use tokio::sync::watch;

pub(crate) use self::check::has_sign_of_life;
#[cfg(test)]
use self::stats::Reason;
use self::{check::Checks, leaving::Leaving, outlier::Tallies};
pub(super) use self::{monitor::Monitor, outlier::Ended, stats::HealthStats, watched::Watched};
use crate::{observe::Gauge, sync::lock};

/// What is known of the endpoints of one cluster.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// The name of the cluster.
    cluster: Arc<str>,
    hosts: Mutex<HashMap<SocketAddress, Weak<Host>>>,
    pub(super) stats: Arc<HealthStats>,
    /// Whether no endpoint is taken out: the cluster has no rules for it any more.
    takes_none_out: AtomicBool,
    /// Grows when a verdict has changed.
    verdicts: watch::Sender<u64>,
}

/// What is known of one endpoint.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) address: SocketAddress,
    /// Whether its checks fail, or none has passed yet.
    ill: AtomicBool,
    tallies: Tallies,
    /// Whether checks count by the rules in force.
    checked: AtomicBool,
    /// Whether it counts by them that it is taken out.
    watched: AtomicBool,
    leaving: Leaving,
    /// Connections to it that are open or being made, of all workers.
    pub(super) connections: Gauge,
    stats: Arc<HealthStats>,
}

impl Health {
    /// Knows of no endpoint of a cluster yet.
    pub(super) fn of(cluster: &Arc<str>) -> Self {
        Self { cluster: Arc::clone(cluster), ..Self::default() }
    }

    /// Returns what is known of an endpoint, which is nothing at first; one that is `checked` must pass a check then.
    pub(super) fn host(&self, address: &SocketAddress, checked: bool) -> Arc<Host> {
        let mut hosts = lock(&self.hosts);
        if let Some(host) = hosts.get(address).and_then(Weak::upgrade) {
            return host;
        }
        // only when it is full: thousands may come at once
        if hosts.len() == hosts.capacity() {
            hosts.retain(|_, host| host.strong_count() > 0);
        }
        let host = Arc::new(Host {
            address: address.clone(),
            ill: AtomicBool::new(checked),
            tallies: Tallies::default(),
            checked: AtomicBool::new(checked),
            watched: AtomicBool::new(false),
            leaving: Leaving::default(),
            connections: Gauge::default(),
            stats: Arc::clone(&self.stats),
        });
        self.stats.known.inc();
        hosts.insert(address.clone(), Arc::downgrade(&host));
        host
    }

    /// Tells when a verdict has changed.
    pub(super) fn verdicts(&self) -> watch::Receiver<u64> {
        self.verdicts.subscribe()
    }

    /// Notes what the checks of an endpoint say from now on.
    fn judge(&self, host: &Host, well: bool) {
        if host.ill.swap(!well, Relaxed) == well {
            self.changed();
        }
    }

    fn changed(&self) {
        self.verdicts.send_modify(|verdicts| *verdicts = verdicts.wrapping_add(1));
    }

    fn hosts(&self) -> Vec<Arc<Host>> {
        lock(&self.hosts).values().filter_map(Weak::upgrade).collect()
    }
}

impl Host {
    /// Judges it from now on by the rules of its cluster, and tells whether it should get requests: what was found by
    /// others counts no more.
    pub(super) fn judge_by(&self, rules: &Cluster) -> bool {
        let (checked, watched) = (rules.health_check.is_some(), rules.outlier_detection.is_some());
        self.checked.store(checked, Relaxed);
        self.watched.store(watched, Relaxed);
        self.verdict(checked, watched)
    }

    /// Tells whether it should get requests by the rules in force.
    pub(super) fn is_well(&self) -> bool {
        self.verdict(self.checked.load(Relaxed), self.watched.load(Relaxed))
    }

    fn verdict(&self, checked: bool, watched: bool) -> bool {
        !(checked && self.ill.load(Relaxed) || watched && self.tallies.is_ejected())
    }

    /// Lists what is against it by the rules in force, in Envoy's words, and whether it has said goodbye.
    #[cfg(feature = "admin")]
    pub(super) fn flags(&self) -> impl Iterator<Item = &'static str> {
        let flags = [
            ("/failed_active_hc", self.checked.load(Relaxed) && self.ill.load(Relaxed)),
            ("/failed_outlier_check", self.watched.load(Relaxed) && self.tallies.is_ejected()),
            ("/said_goodbye", self.is_leaving()),
        ];
        flags.into_iter().filter(|(_, holds)| *holds).map(|(flag, _)| flag)
    }

    /// Takes note that it has said goodbye.
    pub(super) fn leave(&self) {
        self.leaving.say();
    }

    /// Tells whether it has said goodbye not long ago, so that others should get requests if there are any.
    #[inline]
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_said()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stats.known.dec();
        if self.tallies.is_ejected() {
            self.stats.active.dec();
        }
    }
}

#[cfg(test)]
mod tests;
