//! From what DestinationRules say about requests to a service to its clusters.

mod check;

use aeraki_route::config::{
    Cluster, Consecutive, Decimal, LbPolicy, LeastRequest, Locality, Maglev, OutlierDetection, RingHash, SlowStart,
    TcpKeepalive,
};

pub(super) use self::check::check;
use super::{Options, clusters::subsets};
use crate::{
    istio::{self, ConnectionPool, ConsistentHash, LoadBalancer, SimpleBalancer, TrafficPolicy},
    world::World,
};

/// What holds for requests to one port of a service or of its subset.
#[derive(Clone, Copy, Default)]
pub(super) struct Traffic<'a> {
    load_balancer: Option<&'a LoadBalancer>,
    connection_pool: Option<&'a ConnectionPool>,
    outlier_detection: Option<&'a istio::OutlierDetection>,
}

impl<'a> Traffic<'a> {
    /// Finds what holds for a port of a host whose service lives in a namespace.
    ///
    /// Merged as Istio does: of the rules of a host the first policy counts, a subset overrides what it speaks of, and
    /// what is said of a port replaces everything.
    pub(super) fn find(world: &'a World, (host, namespace): (&str, &str), subset: &str, port: u16) -> Self {
        let common = world.destination_rules(host, namespace).find_map(|rule| rule.spec.traffic_policy.as_deref());
        let own = subsets(world, host, namespace).find(|(_, declared)| declared.name == subset);
        let own = own.and_then(|(_, subset)| subset.traffic_policy.as_ref());
        common.into_iter().chain(own).fold(Self::default(), |traffic, policy| traffic.overridden(policy, port))
    }

    fn overridden(self, policy: &'a TrafficPolicy, port: u16) -> Self {
        let here = |setting: &&istio::PortTrafficPolicy| setting.port.is_some_and(|own| own.number == u32::from(port));
        if let Some(setting) = policy.port_level_settings.iter().find(here) {
            return setting.into();
        }
        let own = Self::from(policy);
        Self {
            load_balancer: own.load_balancer.or(self.load_balancer),
            connection_pool: own.connection_pool.or(self.connection_pool),
            outlier_detection: own.outlier_detection.or(self.outlier_detection),
        }
    }

    /// Returns what requests are hashed by, where endpoints are chosen so.
    pub(super) fn consistent_hash(&self) -> Option<&'a ConsistentHash> {
        self.load_balancer?.consistent_hash.as_ref()
    }

    /// Sets what holds for a cluster.
    pub(super) fn apply(self, mut cluster: Cluster, options: &Options) -> Cluster {
        cluster.lb_policy = lb_policy(self.load_balancer);
        if let Some(slow_start) = self.load_balancer.and_then(slow_start).filter(|_| warms_up(cluster.lb_policy)) {
            cluster.slow_start = Some(slow_start);
        }
        if let Some(pool) = self.connection_pool {
            limit(&mut cluster, pool);
        }
        if let Some(detection) = self.outlier_detection {
            // as Istio does: no panic unless it is asked for
            cluster.common_lb.healthy_panic_threshold = Decimal::from(detection.min_health_percent);
            cluster.outlier_detection = Some(outlier_detection(detection));
        }
        if let Some(locality) = options.locality.as_ref().filter(|_| self.prefers_near()) {
            for endpoint in &mut cluster.endpoints {
                endpoint.priority = distance(locality, &endpoint.locality);
            }
        }
        cluster
    }

    /// Tells whether near endpoints come first: as in Istio, only where those that fail are taken out.
    fn prefers_near(&self) -> bool {
        let setting = self.load_balancer.and_then(|balancer| balancer.locality_lb_setting.as_ref());
        setting.is_some_and(|setting| setting.enabled != Some(false)) && self.outlier_detection.is_some()
    }
}

impl<'a> From<&'a TrafficPolicy> for Traffic<'a> {
    fn from(policy: &'a TrafficPolicy) -> Self {
        Self {
            load_balancer: policy.load_balancer.as_ref(),
            connection_pool: policy.connection_pool.as_ref(),
            outlier_detection: policy.outlier_detection.as_ref(),
        }
    }
}

impl<'a> From<&'a istio::PortTrafficPolicy> for Traffic<'a> {
    fn from(policy: &'a istio::PortTrafficPolicy) -> Self {
        Self {
            load_balancer: policy.load_balancer.as_ref(),
            connection_pool: policy.connection_pool.as_ref(),
            outlier_detection: policy.outlier_detection.as_ref(),
        }
    }
}

fn lb_policy(balancer: Option<&LoadBalancer>) -> LbPolicy {
    if let Some(hash) = balancer.and_then(|balancer| balancer.consistent_hash.as_ref()) {
        return hash_policy(hash);
    }
    match balancer.and_then(|balancer| balancer.simple) {
        Some(SimpleBalancer::RoundRobin) => LbPolicy::RoundRobin,
        Some(SimpleBalancer::Random) => LbPolicy::Random,
        // what Istio does where nothing is said
        _ => LbPolicy::LeastRequest(LeastRequest::default()),
    }
}

fn hash_policy(hash: &ConsistentHash) -> LbPolicy {
    if let Some(maglev) = hash.maglev {
        let default = Maglev::default();
        return LbPolicy::Maglev(default.with_table_size(maglev.table_size.unwrap_or(default.table_size)));
    }
    let default = RingHash::default();
    let minimum = hash.ring_hash.map_or(hash.minimum_ring_size, |ring| ring.minimum_ring_size);
    LbPolicy::RingHash(default.with_size(minimum.unwrap_or(default.minimum), default.maximum))
}

const fn warms_up(policy: LbPolicy) -> bool {
    matches!(policy, LbPolicy::RoundRobin | LbPolicy::LeastRequest(_))
}

fn slow_start(balancer: &LoadBalancer) -> Option<SlowStart> {
    let Some(warmup) = &balancer.warmup else { return balancer.warmup_duration_secs.map(SlowStart::new) };
    let default = SlowStart::new(warmup.duration?);
    let aggression = warmup.aggression.unwrap_or(default.aggression);
    let percent = warmup.minimum_percent.unwrap_or(default.min_weight_percent);
    Some(default.with_aggression(aggression).with_min_weight_percent(percent))
}

fn limit(cluster: &mut Cluster, pool: &ConnectionPool) {
    let number = |said: u32| (said > 0).then_some(said);
    let limits = &mut cluster.limits;
    let thresholds = &mut limits.thresholds;
    if let Some(tcp) = &pool.tcp {
        thresholds.max_connections = number(tcp.max_connections).unwrap_or(thresholds.max_connections);
        limits.max_connection_duration = tcp.max_connection_duration;
        cluster.connect_timeout = tcp.connect_timeout.unwrap_or(cluster.connect_timeout);
        cluster.tcp_keepalive = tcp.tcp_keepalive.as_ref().map(|said| {
            let mut keepalive = TcpKeepalive::default();
            (keepalive.probes, keepalive.time, keepalive.interval) = (number(said.probes), said.time, said.interval);
            keepalive
        });
    }
    if let Some(http) = &pool.http {
        let pending = number(http.http1_max_pending_requests);
        thresholds.max_pending_requests = pending.unwrap_or(thresholds.max_pending_requests);
        thresholds.max_requests = number(http.http2_max_requests);
        thresholds.max_retries = number(http.max_retries);
        limits.max_requests_per_connection = number(http.max_requests_per_connection);
        if let Some(time) = http.idle_timeout {
            cluster.idle_timeout = Some(time).filter(|time| !time.is_zero());
        }
    }
}

fn outlier_detection(said: &istio::OutlierDetection) -> OutlierDetection {
    let mut detection = OutlierDetection::default();
    if let Some(errors) = said.consecutive_5xx_errors {
        detection.consecutive_errors = in_a_row(errors);
    }
    if let Some(errors) = said.consecutive_gateway_errors {
        detection.consecutive_gateway_failure = in_a_row(errors);
    }
    detection.split_external_local_origin_errors = said.split_external_local_origin_errors;
    if let Some(failures) = said.consecutive_local_origin_failures.filter(|failures| *failures > 0) {
        detection.consecutive_local_origin_failure = in_a_row(failures);
    }
    // as Istio does: only failures in a row take an endpoint out
    (detection.success_rate.enforcing, detection.success_rate.enforcing_local_origin) = (0, 0);
    detection.interval = said.interval.unwrap_or(detection.interval);
    detection.base_ejection_time = said.base_ejection_time.unwrap_or(detection.base_ejection_time);
    if said.max_ejection_percent > 0 {
        detection.max_ejection_percent = said.max_ejection_percent;
    }
    detection
}

/// As many failures in a row take an endpoint out; 0: no number does.
fn in_a_row(failures: u32) -> Consecutive {
    Consecutive::new(failures.max(1), if failures > 0 { 100 } else { 0 })
}

/// How far away an endpoint is: 0 in the same place, 3 in another region or nobody knows where.
fn distance(own: &Locality, other: &Locality) -> u32 {
    let parts = [(&own.region, &other.region), (&own.zone, &other.zone), (&own.sub_zone, &other.sub_zone)];
    let common = parts.into_iter().take_while(|(own, other)| own == other).count();
    (parts.len() - common) as u32
}
