//! What of a DestinationRule cannot be done, or has no effect.

use aeraki_route::config::{Cluster, ConfigError};

use super::{Traffic, lb_policy, warms_up};
use crate::{
    istio::{ConnectionPool, DestinationRule, LoadBalancer, OutlierDetection, SimpleBalancer, TrafficPolicy, Unread},
    translate::{Options, Translation, rejection::Rejection, services::Service},
    world::World,
};

/// Tells what of the rules of a host cannot be done, or has no effect.
pub(in crate::translate) fn check(
    world: &World,
    service: &Service<'_>,
    options: &Options,
    translation: &mut Translation,
) {
    for rule in world.destination_rules(service.host, service.namespace) {
        let common = rule.spec.traffic_policy.as_deref();
        let takes_out = common.is_some_and(|policy| policy.outlier_detection.is_some());
        let mut check = Check { rule, options, takes_out, translation };
        let subsets = rule.spec.subsets.iter().enumerate();
        let subsets = subsets.map(|(index, subset)| (format!("spec.subsets[{index}]"), subset.traffic_policy.as_ref()));
        for (field, policy) in [("spec".to_owned(), common)].into_iter().chain(subsets) {
            if let Some(policy) = policy {
                check.policy(policy, &format!("{field}.trafficPolicy"));
            }
        }
    }
}

struct Check<'a> {
    rule: &'a DestinationRule,
    options: &'a Options,
    /// Whether the rule takes endpoints out of the whole service.
    takes_out: bool,
    translation: &'a mut Translation,
}

impl Check<'_> {
    fn policy(&mut self, policy: &TrafficPolicy, field: &str) {
        self.unread(&policy.unread, field);
        self.traffic(policy.into(), self.takes_out, field);
        for (index, setting) in policy.port_level_settings.iter().enumerate() {
            let field = format!("{field}.portLevelSettings[{index}]");
            if setting.port.is_none_or(|port| port.number == 0) {
                self.ineffective(format!("{field}.port"), "is missing: the settings hold for no port");
            }
            self.unread(&setting.unread, &field);
            self.traffic(setting.into(), false, &field);
        }
    }

    fn traffic(&mut self, traffic: Traffic<'_>, takes_out: bool, field: &str) {
        let Traffic { load_balancer, connection_pool, outlier_detection } = traffic;
        if let Some(balancer) = load_balancer {
            let field = format!("{field}.loadBalancer");
            self.balancer(balancer, takes_out || outlier_detection.is_some(), &field);
            self.valid(Traffic { load_balancer, ..Traffic::default() }, field);
        }
        if let Some(pool) = connection_pool {
            let field = format!("{field}.connectionPool");
            self.pool(pool, &field);
            self.valid(Traffic { connection_pool, ..Traffic::default() }, field);
        }
        if let Some(detection) = outlier_detection {
            let field = format!("{field}.outlierDetection");
            self.detection(detection, &field);
            self.valid(Traffic { outlier_detection, ..Traffic::default() }, field);
        }
    }

    fn balancer(&mut self, balancer: &LoadBalancer, takes_out: bool, field: &str) {
        self.unread(&balancer.unread, field);
        if balancer.simple == Some(SimpleBalancer::Passthrough) && balancer.consistent_hash.is_none() {
            self.ineffective(format!("{field}.simple"), "PASSTHROUGH is not done: the least loaded endpoint is chosen");
        }
        if let Some(hash) = &balancer.consistent_hash {
            let field = format!("{field}.consistentHash");
            self.unread(&hash.unread, &field);
            if hash.http_header_name.is_empty() && !hash.use_source_ip {
                let reason = "has neither `httpHeaderName` nor `useSourceIp`, the keys there are: requests go anywhere";
                self.ineffective(field, reason);
            }
        }
        if let Some(setting) = &balancer.locality_lb_setting {
            let field = format!("{field}.localityLbSetting");
            self.unread(&setting.unread, &field);
            if setting.enabled != Some(false) {
                self.locality(takes_out, field);
            }
        }
        if let Some(warmup) = &balancer.warmup {
            self.unread(&warmup.unread, &format!("{field}.warmup"));
        }
        let warmup = balancer.warmup.is_some() || balancer.warmup_duration_secs.is_some();
        if warmup && !warms_up(lb_policy(Some(balancer))) {
            self.ineffective(format!("{field}.warmup"), "has an effect with ROUND_ROBIN and LEAST_REQUEST only");
        }
    }

    fn locality(&mut self, takes_out: bool, field: String) {
        if !takes_out {
            self.ineffective(field, "has an effect together with `outlierDetection` only");
        } else if self.options.locality.is_none() {
            self.ineffective(field, "needs to know where the proxies run, which nobody has said");
        }
    }

    fn pool(&mut self, pool: &ConnectionPool, field: &str) {
        self.unread(&pool.unread, field);
        if let Some(tcp) = &pool.tcp {
            self.unread(&tcp.unread, &format!("{field}.tcp"));
        }
        if let Some(http) = &pool.http {
            self.unread(&http.unread, &format!("{field}.http"));
        }
    }

    fn detection(&mut self, detection: &OutlierDetection, field: &str) {
        self.unread(&detection.unread, field);
        if detection.consecutive_local_origin_failures.is_some() && !detection.split_external_local_origin_errors {
            let field = format!("{field}.consecutiveLocalOriginFailures");
            self.ineffective(field, "has an effect only where `splitExternalLocalOriginErrors` is true");
        }
    }

    /// Refuses what would make a cluster that is not valid.
    fn valid(&mut self, traffic: Traffic<'_>, field: String) {
        let cluster = traffic.apply(Cluster::new("valid"), self.options);
        if let Err(error) = cluster.validate() {
            let reason = reason(&error);
            self.translation.reject(Rejection::invalid(self.rule, field, reason));
        }
    }

    fn unread(&mut self, unread: &Unread, field: &str) {
        for name in unread.iter() {
            self.ineffective(format!("{field}.{name}"), "is NOT ENFORCED by the clusters made here");
        }
    }

    fn ineffective(&mut self, field: String, reason: &str) {
        self.translation.reject(Rejection::ineffective(self.rule, field, reason));
    }
}

fn reason(error: &ConfigError) -> String {
    format!("{}: {}", error.field(), error.reason())
}
