//! What is counted of health; names are Envoy's.

use crate::observe::{Counter, Gauge, Scope, Value};

/// Shown as `cluster.<name>.health_check.*` and `cluster.<name>.outlier_detection.*`.
#[derive(Debug, Default)]
pub(in crate::upstream) struct HealthStats {
    /// Checks that were made.
    pub(super) attempt: Counter,
    /// Checks that passed.
    pub(super) success: Counter,
    /// Checks that did not.
    pub(super) failure: Counter,
    /// Endpoints that there are; not shown.
    pub(super) known: Gauge,
    /// Endpoints that are out now.
    pub(super) active: Gauge,
    /// Endpoints that were taken out.
    pub(super) enforced: Counter,
    /// Endpoints that were left in, since as many are out as may be.
    pub(super) overflow: Counter,
    /// How often each reason was found, and taken an endpoint out for.
    pub(super) by_reason: [ByReason; Reason::ALL.len()],
}

#[derive(Debug, Default)]
pub(super) struct ByReason {
    pub(super) detected: Counter,
    pub(super) enforced: Counter,
}

macro_rules! names {
    ($name:literal) => {
        [
            $name,
            concat!("outlier_detection.ejections_detected_", $name),
            concat!("outlier_detection.ejections_enforced_", $name),
        ]
    };
}

/// Why an endpoint is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    ConsecutiveErrors,
    ConsecutiveGatewayFailure,
    ConsecutiveLocalOriginFailure,
    SuccessRate,
    LocalOriginSuccessRate,
    FailurePercentage,
    LocalOriginFailurePercentage,
}

impl Reason {
    pub(super) const ALL: [Self; 7] = [
        Self::ConsecutiveErrors,
        Self::ConsecutiveGatewayFailure,
        Self::ConsecutiveLocalOriginFailure,
        Self::SuccessRate,
        Self::LocalOriginSuccessRate,
        Self::FailurePercentage,
        Self::LocalOriginFailurePercentage,
    ];

    /// Returns what Envoy calls it, and the counters of how often it was found and taken an endpoint out for.
    const fn names(self) -> [&'static str; 3] {
        match self {
            Self::ConsecutiveErrors => names!("consecutive_5xx"),
            Self::ConsecutiveGatewayFailure => names!("consecutive_gateway_failure"),
            Self::ConsecutiveLocalOriginFailure => names!("consecutive_local_origin_failure"),
            Self::SuccessRate => names!("success_rate"),
            Self::LocalOriginSuccessRate => names!("local_origin_success_rate"),
            Self::FailurePercentage => names!("failure_percentage"),
            Self::LocalOriginFailurePercentage => names!("local_origin_failure_percentage"),
        }
    }

    /// Returns what Envoy calls it.
    pub(super) const fn name(self) -> &'static str {
        let [name, ..] = self.names();
        name
    }
}

impl HealthStats {
    pub(super) const fn of(&self, reason: Reason) -> &ByReason {
        &self.by_reason[reason as usize]
    }

    /// Adds all numbers to a scope.
    pub(in crate::upstream) fn collect(&self, scope: &mut Scope<'_>) {
        for (name, help, counter) in [
            ("health_check.attempt", "Checks that were made.", &self.attempt),
            ("health_check.success", "Checks that passed.", &self.success),
            ("health_check.failure", "Checks that did not.", &self.failure),
            ("outlier_detection.ejections_enforced_total", "Endpoints that were taken out.", &self.enforced),
            ("outlier_detection.ejections_overflow", "Endpoints left in: too many are out.", &self.overflow),
        ] {
            scope.add(name, help, Value::Counter(counter.get()));
        }
        let active = Value::Gauge(self.active.get());
        scope.add("outlier_detection.ejections_active", "Endpoints that are out now.", active);
        for reason in Reason::ALL {
            let ByReason { detected, enforced } = self.of(reason);
            let [_, found, taken_out] = reason.names();
            scope.add(found, "Endpoints found for this reason.", Value::Counter(detected.get()));
            scope.add(taken_out, "Endpoints taken out for this reason.", Value::Counter(enforced.get()));
        }
    }
}
