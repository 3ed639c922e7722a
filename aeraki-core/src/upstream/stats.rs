//! What is counted for a cluster.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use aeraki_route::{
    Places,
    config::{ClusterLimits, HealthStatus, RoutingPriority},
};

use super::{discovery::Answers, health::Health};
use crate::observe::{Counter, Gauge, Scope, SslStats, Value};

macro_rules! stats {
    (counters { $($(#[doc = $counter_doc:literal])+ $counter:ident,)+ } gauges { $($(#[doc = $gauge_doc:literal])+ $gauge:ident,)+ }) => {
        /// Counts what happens between one worker and a cluster; shown as `cluster.<name>.<field>`.
        ///
        /// Names are Envoy's where Envoy has them.
        #[derive(Debug, Default)]
        #[non_exhaustive]
        pub struct ClusterStats {
            $($(#[doc = $counter_doc])+ pub $counter: Counter,)+
            $($(#[doc = $gauge_doc])+ pub $gauge: Gauge,)+
            ssl: OnceLock<Arc<SslStats>>,
        }

        impl ClusterStats {
            /// Adds all numbers to a scope.
            pub fn collect(&self, scope: &mut Scope<'_>) {
                $(scope.add(stringify!($counter), concat!($($counter_doc),+), Value::Counter(self.$counter.get()));)+
                $(scope.add(stringify!($gauge), concat!($($gauge_doc),+), Value::Gauge(self.$gauge.get()));)+
                if let Some(ssl) = self.ssl.get() {
                    ssl.collect(scope);
                }
            }
        }
    };
}

stats! {
    counters {
        /// Connections that were begun.
        upstream_cx_total,
        /// Connections that could not be made, for whatever reason.
        upstream_cx_connect_fail,
        /// Connections that were not made in time.
        upstream_cx_connect_timeout,
        /// Connections of clients that were given up because as many endpoints were tried as may be.
        upstream_cx_connect_attempts_exceeded,
        /// Requests that found all connections busy and no further one allowed.
        upstream_cx_overflow,
        /// Connections that were closed because nobody used them.
        upstream_cx_idle_timeout,
        /// Connections that ended because they had served for as long as they may.
        upstream_cx_max_duration_reached,
        /// Connections that ended because they had taken as many requests as they may.
        upstream_cx_max_requests,
        /// Connections that ended because the server wants no further requests on them.
        upstream_cx_drain_close,
        /// Connections that were closed because of what the server sent.
        upstream_cx_protocol_error,
        /// Connections that ended while requests were in flight.
        upstream_cx_destroy_with_active_rq,
        /// Connections that were given up because too many of their requests were.
        upstream_cx_retired,
        /// How often a connection was not read any more, since callers were slow to take their answers.
        upstream_flow_control_paused_reading_total,
        /// How often such a connection was read again.
        upstream_flow_control_resumed_reading_total,
        /// Requests that were written.
        upstream_rq_total,
        /// Requests whose caller went away before the answer came.
        upstream_rq_cancelled,
        /// Further tries.
        upstream_rq_retry,
        /// Further tries that were refused because too many were under way.
        upstream_rq_retry_overflow,
        /// Requests that were refused because too many waited for a connection, or were under way.
        upstream_rq_pending_overflow,
        /// Requests for which there was no endpoint that may take them.
        upstream_cx_none_healthy,
        /// Requests that were sent regardless of health, since too few endpoints of their priority were healthy.
        lb_healthy_panic,
        /// Requests that stayed in the proxy's zone, as all of them can.
        lb_zone_routing_all_directly,
        /// Requests that stayed in the proxy's zone, as some of them can.
        lb_zone_routing_sampled,
        /// Requests that went to another zone, as the proxy's own cannot take all.
        lb_zone_routing_cross_zone,
        /// How often zones ceased to count for requests to come, since too few endpoints are healthy.
        lb_zone_cluster_too_small,
        /// Requests for which zones did not count, since the proxy's own cluster is in panic, or none of it in its
        /// zone.
        lb_local_cluster_not_ok,
        /// Requests that went to the subset of endpoints that they asked for.
        lb_subsets_selected,
        /// Requests that asked for no subset, or for one that does not exist, and went to other endpoints.
        lb_subsets_fallback,
        /// Answers that came after their caller had gone, or twice.
        upstream_rs_late,
        /// Answers with an id that was never given; none is delivered.
        upstream_rs_wrong_id,
        /// Answers that could not be read.
        upstream_rs_invalid,
        /// Requests that a server sent to the proxy.
        upstream_rq_from_server,
        /// Signs of life that were sent.
        upstream_heartbeats,
    }
    gauges {
        /// Connections that are open or being made.
        upstream_cx_active,
        /// Requests under way, waiting ones included.
        upstream_rq_active,
        /// Requests that wait for a connection.
        upstream_rq_pending_active,
    }
}

impl ClusterStats {
    /// Returns what is counted of TLS, which is shown from now on.
    #[must_use]
    pub fn ssl(&self) -> &Arc<SslStats> {
        self.ssl.get_or_init(Arc::default)
    }
}

/// What all workers together use of a cluster's limits.
#[derive(Debug, Default)]
pub(super) struct Usage {
    default: Budget,
    high: Budget,
    /// What is known of the endpoints.
    pub(super) health: Arc<Health>,
    /// Where endpoints with names were last found.
    pub(super) answers: Answers,
}

impl Usage {
    /// Nothing is used of the limits of a cluster yet.
    pub(super) fn of_cluster(name: &Arc<str>) -> Self {
        Self { health: Arc::new(Health::of(name)), ..Self::default() }
    }

    /// Returns what is used for requests of a priority.
    pub(super) const fn of(&self, priority: RoutingPriority) -> &Budget {
        match priority {
            RoutingPriority::High => &self.high,
            _ => &self.default,
        }
    }

    /// Adds to a scope what is used up, and what is left where that is asked for; names are Envoy's.
    pub(super) fn collect(&self, limits: &ClusterLimits, scope: &mut Scope<'_>) {
        for priority in RoutingPriority::ALL {
            let (budget, most) = (self.of(priority), limits.of(priority));
            let used = [
                (budget.connections.load(Relaxed), Some(most.max_connections)),
                (budget.pending.load(Relaxed), Some(most.max_pending_requests)),
                (budget.requests.taken(), most.max_requests),
                (budget.retries.taken(), most.max_retries),
            ];
            for ([open, remaining], (used, most)) in budget_names(priority).into_iter().zip(used) {
                let Some(most) = most else { continue };
                scope.add(open, "Whether as much is used as may be.", Value::Gauge((used >= most).into()));
                if limits.of(priority).track_remaining {
                    let left = Value::Gauge(most.saturating_sub(used).into());
                    scope.add(remaining, "How much is left.", left);
                }
            }
        }
    }
}

/// How many endpoints a cluster has; names are Envoy's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Membership {
    total: i64,
    healthy: i64,
    degraded: i64,
}

impl Membership {
    /// Counts one more.
    pub(super) const fn count(&mut self, health: HealthStatus) {
        self.total += 1;
        match health {
            HealthStatus::Healthy => self.healthy += 1,
            HealthStatus::Degraded => self.degraded += 1,
            _ => {}
        }
    }

    /// Adds all numbers to a scope.
    pub(super) fn collect(&self, scope: &mut Scope<'_>) {
        scope
            .add("membership_total", "Endpoints that there are.", Value::Gauge(self.total))
            .add("membership_healthy", "Endpoints that are well.", Value::Gauge(self.healthy))
            .add("membership_degraded", "Endpoints that are degraded.", Value::Gauge(self.degraded));
    }
}

/// What requests of one priority use.
#[derive(Debug, Default)]
pub(super) struct Budget {
    connections: AtomicU32,
    pending: AtomicU32,
    /// Requests under way, where their number is limited.
    pub(super) requests: Places,
    /// Further tries under way, where their number is limited.
    pub(super) retries: Places,
}

impl Budget {
    /// Takes one more connection unless there are `most`.
    pub(super) fn connect(&self, most: u32) -> bool {
        try_add(&self.connections, most)
    }

    pub(super) fn disconnect(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// Takes one more waiting request unless there are `most`.
    pub(super) fn wait(&self, most: u32) -> bool {
        try_add(&self.pending, most)
    }

    pub(super) fn stop_waiting(&self) {
        self.pending.fetch_sub(1, Relaxed);
    }
}

fn try_add(count: &AtomicU32, most: u32) -> bool {
    count.fetch_update(Relaxed, Relaxed, |count| (count < most).then_some(count + 1)).is_ok()
}

macro_rules! budget_name {
    ($priority:literal, $name:literal) => {
        concat!("circuit_breakers.", $priority, ".", $name)
    };
}

macro_rules! budget_names {
    ($priority:literal) => {
        [
            [budget_name!($priority, "cx_open"), budget_name!($priority, "remaining_cx")],
            [budget_name!($priority, "rq_pending_open"), budget_name!($priority, "remaining_pending")],
            [budget_name!($priority, "rq_open"), budget_name!($priority, "remaining_rq")],
            [budget_name!($priority, "rq_retry_open"), budget_name!($priority, "remaining_retries")],
        ]
    };
}

/// Returns what Envoy calls the gauges of connections, waiting requests, requests under way and further tries.
const fn budget_names(priority: RoutingPriority) -> [[&'static str; 2]; 4] {
    match priority {
        RoutingPriority::High => budget_names!("high"),
        _ => budget_names!("default"),
    }
}
