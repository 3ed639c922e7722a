//! How much of the load stays in the zone of the proxy: Envoy's rule.
//!
//! Zones are localities. If a part `l` of all proxies of this kind runs in the own zone and a part `u` of the
//! endpoints, all requests can stay there where `u >= l`, and the part `u / l` of them where not. The rest goes to the
//! zones that have more endpoints than proxies, in proportion to what they have more. So every endpoint gets the same
//! from all proxies together.

use std::sync::Arc;

use aeraki_route::config::{CommonLb, Locality};

use super::{Target, spread::localities};
use crate::upstream::{
    local::{LocalCluster, Population},
    stats::ClusterStats,
};

/// Where the proxy runs, and where its like do.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    own: Arc<Locality>,
    proxies: Arc<Population>,
    stats: Arc<ClusterStats>,
}

/// Why a request goes to certain endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Way {
    /// Zones do not count.
    Any,
    /// All requests can stay in the own zone.
    Direct,
    /// It is one of those that can stay in the own zone.
    Sampled,
    /// It is one of those that cannot.
    Cross,
    /// Zones would count if more proxies were well, or this one were among them.
    LocalNotOk,
}

/// Endpoints that get a share of the requests.
pub(super) struct Part<'a> {
    pub(super) way: Way,
    pub(super) share: f64,
    pub(super) targets: Vec<&'a Target>,
}

impl Zone {
    pub(super) fn new(local: &LocalCluster, stats: &Arc<ClusterStats>) -> Self {
        Self { own: Arc::clone(local.locality()), proxies: local.population(), stats: Arc::clone(stats) }
    }

    /// Splits healthy endpoints of the first priority; the shares are 1 together.
    pub(super) fn split<'a>(&self, config: &CommonLb, targets: Vec<&'a Target>) -> Vec<Part<'a>> {
        let enabled = config.zone_aware.routing_enabled.value() / 100.0;
        let spread = self.proxies.localities() >= 2 && localities(&targets).len() >= 2;
        let few = targets.len() < config.zone_aware.min_cluster_size as usize;
        if spread && few {
            self.stats.lb_zone_cluster_too_small.inc();
        }
        if !spread || few || enabled == 0.0 {
            return vec![Part { way: Way::Any, share: 1.0, targets }];
        }
        let mut parts = self.split_enabled(config, &targets);
        parts.iter_mut().for_each(|part| part.share *= enabled);
        if enabled < 1.0 {
            parts.push(Part { way: Way::Any, share: 1.0 - enabled, targets });
        }
        parts
    }

    fn split_enabled<'a>(&self, config: &CommonLb, targets: &[&'a Target]) -> Vec<Part<'a>> {
        let panic = self.proxies.available_per_cent() < config.healthy_panic_threshold.value();
        if panic && config.zone_aware.fail_traffic_on_panic {
            return vec![Part { way: Way::LocalNotOk, share: 1.0, targets: Vec::new() }];
        }
        if panic || !self.proxies.is_in(&self.own) {
            return vec![Part { way: Way::LocalNotOk, share: 1.0, targets: targets.to_vec() }];
        }
        self.split_by_zone(targets)
    }

    fn split_by_zone<'a>(&self, targets: &[&'a Target]) -> Vec<Part<'a>> {
        let mut zones = localities(targets);
        #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 endpoints")]
        let part = |zone: &[&Target]| zone.len() as f64 / targets.len() as f64;
        let home = zones.remove(&*self.own).unwrap_or_default();
        let (here, proxies) = (part(&home), self.proxies.part(&self.own));
        if here >= proxies && !home.is_empty() {
            return vec![Part { way: Way::Direct, share: 1.0, targets: home }];
        }
        let stays = if proxies > 0.0 { here / proxies } else { 0.0 };
        let more: Vec<_> = zones
            .into_iter()
            .map(|(locality, zone)| (part(&zone) - self.proxies.part(locality), zone))
            .filter(|(more, _)| *more > 0.0)
            .collect();
        let sum: f64 = more.iter().map(|(more, _)| more).sum();
        let cross = |(more, targets)| Part { way: Way::Cross, share: (1.0 - stays) * more / sum, targets };
        let stay = Part { way: Way::Sampled, share: stays, targets: home };
        [stay].into_iter().filter(|stay| !stay.targets.is_empty()).chain(more.into_iter().map(cross)).collect()
    }
}
