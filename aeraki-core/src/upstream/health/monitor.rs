//! Looks after the health of a cluster's endpoints.

use std::sync::Arc;

use aeraki_route::config::HealthCheckKind;
use tokio::task::AbortHandle;

use super::{Checks, Host};
use crate::upstream::shared::Shared;

/// Asks the endpoints of a cluster whether they are well, and takes out those that fail more than others, until it is
/// dropped.
///
/// It is handed on where the cluster changes and its rules do not: what is known of endpoints that stay, and when they
/// are looked at next, must not depend on how often others come and go.
#[derive(Debug)]
pub(in crate::upstream) struct Monitor {
    checks: Option<Checks>,
    sweep: Option<AbortHandle>,
}

impl Monitor {
    /// Begins to look after a cluster; of its endpoints those are asked that it is told to [keep](Self::keep).
    pub(in crate::upstream) fn begin(shared: &Shared) -> Self {
        let sweep = shared.config.outlier_detection.clone().map(|detection| {
            let health = Arc::clone(&shared.usage.health);
            tokio::spawn(async move { health.sweep_for_ever(&detection).await }).abort_handle()
        });
        Self { checks: checks(shared), sweep }
    }

    /// Makes these the endpoints that are asked, if any are: those that are asked already go on as they were.
    pub(in crate::upstream) fn keep(&mut self, hosts: impl IntoIterator<Item = Arc<Host>>) {
        if let Some(checks) = &mut self.checks {
            checks.keep(hosts);
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.sweep.iter().for_each(AbortHandle::abort);
    }
}

/// Makes the checks of a cluster, where its endpoints are asked.
fn checks(shared: &Shared) -> Option<Checks> {
    let check = shared.config.health_check.clone()?;
    let protocol = match &check.kind {
        HealthCheckKind::Heartbeat { protocol } => shared.context.protocols.get(protocol).cloned(),
        _ => None,
    };
    let detection = shared.config.outlier_detection.as_ref();
    let unejects = detection.is_some_and(|detection| detection.successful_active_health_check_uneject_host);
    let (health, connector) = (Arc::clone(&shared.usage.health), Arc::clone(&shared.connector));
    Some(Checks::new(health, check, unejects, connector, protocol))
}
