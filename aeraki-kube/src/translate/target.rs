//! What a destination names.

use std::borrow::Cow;

use aeraki_route::config::{HashPolicy, RouteAction};

use super::{clusters::subsets, names::cluster_name, rejection::Fault, traffic_policy::Traffic};
use crate::{
    crd::{Destination, MetaRouter},
    world::World,
};

/// A service's port, or a subset of it.
pub(super) struct Target<'a> {
    pub(super) host: Cow<'a, str>,
    pub(super) subset: &'a str,
    pub(super) port: u16,
    /// Where the service lives, or the router where the service is not known.
    namespace: &'a str,
}

impl<'a> Target<'a> {
    /// The whole service of a known host.
    pub(super) fn service(host: &'a str, namespace: &'a str, port: u16) -> Self {
        Self { host: Cow::Borrowed(host), subset: "", port, namespace }
    }

    /// Finds what a destination names, for requests that came for `port` of `host`.
    ///
    /// Of a known service, the port and the subset must exist. An unknown one is taken as it is: its
    /// cluster may come from elsewhere.
    pub(super) fn find(
        world: &'a World,
        router: &'a MetaRouter,
        destination: &'a Destination,
        (host, port): (&str, u16),
        field: &str,
    ) -> Result<Self, Fault> {
        let own = router.metadata.namespace.as_str();
        let name = world.resolve(&destination.host, own);
        let namespace = world.services(&name).first().map_or(own, |entry| &entry.metadata.namespace);
        let mut target = Self { subset: &destination.subset, port, namespace, host: name };
        let ports = target.ports(world);
        match (destination.port.map(|port| u16::try_from(port.number)), ports.as_slice()) {
            (Some(Ok(number)), _) if number > 0 => target.port = number,
            (_, [only]) if target.host != host => target.port = *only,
            _ => {}
        }
        let fault = |name: &str, reason| Fault { field: format!("{field}.{name}"), reason };
        target.check_port(&ports).map_err(|reason| fault("port", reason))?;
        target.check_subset(world).map_err(|reason| fault("subset", reason))?;
        Ok(target)
    }

    pub(super) fn cluster(&self) -> String {
        cluster_name(self.port, self.subset, &self.host)
    }

    /// Adds what requests to this target are hashed by.
    pub(super) fn add_hash_key(&self, world: &World, action: &mut RouteAction) {
        let traffic = Traffic::find(world, (&self.host, self.namespace), self.subset, self.port);
        let Some(hash) = traffic.consistent_hash() else { return };
        let policy = match hash.http_header_name.as_str() {
            "" if hash.use_source_ip => HashPolicy::source_ip(),
            "" => return,
            key => HashPolicy::attribute(key),
        };
        if !action.hash_policy.contains(&policy) {
            action.hash_policy.push(policy);
        }
    }

    /// Lists the ports of the service; none where it is not known.
    fn ports(&self, world: &World) -> Vec<u16> {
        let entries = world.services(&self.host).iter();
        let mut ports: Vec<_> = entries.flat_map(|entry| &entry.spec.ports).map(|port| port.number).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    fn check_port(&self, ports: &[u16]) -> Result<(), String> {
        if ports.is_empty() || ports.contains(&self.port) {
            return Ok(());
        }
        Err(format!("`{}` has no port {}, only {}", self.host, self.port, list(ports)))
    }

    fn check_subset(&self, world: &World) -> Result<(), String> {
        let known = !world.services(&self.host).is_empty();
        let declared = || subsets(world, &self.host, self.namespace).map(|(_, subset)| subset.name.as_str());
        if !known || self.subset.is_empty() || declared().any(|name| name == self.subset) {
            return Ok(());
        }
        let names: Vec<_> = declared().collect();
        let Self { host, subset, .. } = self;
        Err(if names.is_empty() {
            format!("no DestinationRule declares subsets of `{host}`, so there is no `{subset}`")
        } else {
            format!("no DestinationRule declares the subset `{subset}` of `{host}`, only {}", list(&names))
        })
    }
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    let mut items: Vec<_> = items.iter().map(|item| format!("`{item}`")).collect();
    items.dedup();
    items.join(", ")
}
