//! The mesh itself: a control plane on a folder of YAML, and a data plane that subscribes to it.

mod control;
mod data;

use std::collections::BTreeMap;

use aeraki_kube::Translation;
use aeraki_route::config::{Cluster, RouteConfig};

pub(crate) use self::{
    control::ControlPlane,
    data::{DataPlane, Port},
};

/// What the control plane has put into force.
#[derive(Clone, Debug, Default)]
pub(crate) struct InForce(Translation);

impl InForce {
    /// Returns the routes of a service.
    pub(crate) fn routes(&self, host: &str) -> Option<&RouteConfig> {
        let of_host = |name: &str| name.rsplit_once('_').is_some_and(|(service, _)| service == host);
        self.0.routes.iter().find(|(name, _)| of_host(name)).map(|(_, routes)| &**routes)
    }

    /// Returns all clusters by name.
    pub(crate) const fn clusters(&self) -> &BTreeMap<String, Cluster> {
        &self.0.clusters
    }
}
