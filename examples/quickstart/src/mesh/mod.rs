//! The mesh itself: a control plane on a folder of YAML, and a data plane that subscribes to it.

mod control;
mod data;

use std::collections::BTreeMap;

use aeraki_kube::Translation;
use aeraki_route::config::{Cluster, RouteConfig};

pub use self::{
    control::ControlPlane,
    data::{DataPlane, Port},
};

/// What the control plane has put into force.
#[derive(Clone, Debug, Default)]
pub struct InForce(Translation);

impl InForce {
    /// Returns the routes of a service.
    pub fn routes(&self, host: &str) -> Option<&RouteConfig> {
        self.0.routes.iter().find(|(name, _)| name.rsplit_once('_').is_some_and(|(h, _)| h == host)).map(|(_, r)| r)
    }

    /// Returns all clusters by name.
    pub const fn clusters(&self) -> &BTreeMap<String, Cluster> {
        &self.0.clusters
    }
}
