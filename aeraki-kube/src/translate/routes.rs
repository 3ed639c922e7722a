//! From routers to route configurations.

use std::{mem, sync::Arc};

use aeraki_route::RouteTable;
use aeraki_route::config::{
    AttributeMatch, Denominator, Destination as RouteDestination, FractionalPercent, Mirror, MutationEntry, Route,
    RouteAction, RouteConfig, ValueMatch, WeightedCluster,
};

use super::{
    Translation,
    check::validate,
    names::route_name,
    rejection::{Fault, Rejection, RejectionKind},
    services::Service,
    target::Target,
};
use crate::{
    crd::{Destination, KeyValue, MetaRoute, MetaRouter, StringMatch},
    protocol::PortProtocol,
    world::World,
};

/// Adds the routes of a host, one configuration for each MetaProtocol port.
///
/// A host without routes of its own gets a default one to the whole service.
pub(super) fn translate(world: &World, service: &Service<'_>, translation: &mut Translation) {
    let router = in_force(world, service, translation).filter(|router| !router.spec.routes.is_empty());
    let refused = router.is_some_and(|router| validate(router).iter().any(Rejection::refuses));
    for port in service.ports.keys().copied() {
        let name = route_name(service.host, port);
        let Some(router) = router else {
            let routes = RouteConfig::new(&name, [default_route(world, service, port)]);
            translation.routes.insert(name, Arc::new(routes));
            continue;
        };
        let scope = Scope { world, router, host: service.host, port };
        match scope.routes(&name) {
            Ok(routes) if !refused => {
                translation.routes.insert(name, Arc::new(routes));
            }
            Ok(_) => {
                translation.held.insert(name);
            }
            Err(Fault { field, reason }) => {
                translation.reject(Rejection::invalid(router, field, reason));
                translation.held.insert(name);
            }
        }
    }
}

/// Tells of the hosts of a router that no service has, or whose service has no port of MetaProtocol.
pub(super) fn warn_of_unserved_hosts(world: &World, router: &MetaRouter, translation: &mut Translation) {
    for (index, host) in router.spec.hosts.iter().enumerate() {
        let host = world.resolve(host, &router.metadata.namespace);
        let services = world.services(&host);
        let mut ports = services.iter().flat_map(|entry| &entry.spec.ports);
        let reason = if services.is_empty() {
            format!("no service has the host `{host}`")
        } else if !ports.any(|port| matches!(PortProtocol::of(&port.name), PortProtocol::MetaProtocol(_))) {
            format!("no port of `{host}` is named tcp-metaprotocol-<protocol>")
        } else {
            continue;
        };
        translation.reject(Rejection::ineffective(router, format!("spec.hosts[{index}]"), reason));
    }
}

/// Finds the router of a host; the others that claim it are told that they lost.
fn in_force<'a>(world: &'a World, service: &Service<'_>, translation: &mut Translation) -> Option<&'a MetaRouter> {
    let mut routers = world.routers(service.host, service.namespace);
    let first = routers.next()?;
    for other in routers {
        let reason = format!("`{}` is already routed by {}", service.host, first.reference());
        translation.reject(Rejection::new(&**other, "spec.hosts", reason, RejectionKind::Conflict));
    }
    Some(first)
}

fn default_route(world: &World, service: &Service<'_>, port: u16) -> Route {
    let target = Target::service(service.host, service.namespace, port);
    let mut action = RouteAction::cluster(target.cluster());
    target.add_hash_key(world, &mut action);
    Route::new("default", action)
}

/// What a router's routes are made for: one port of one host.
struct Scope<'a> {
    world: &'a World,
    router: &'a MetaRouter,
    host: &'a str,
    port: u16,
}

impl<'a> Scope<'a> {
    fn routes(&self, name: &str) -> Result<RouteConfig, Fault> {
        let routes = self.router.spec.routes.iter().enumerate();
        let routes = routes.map(|(index, route)| self.route(route, &format!("spec.routes[{index}]")));
        let config = RouteConfig::new(name, routes.collect::<Result<Vec<_>, _>>()?);
        match RouteTable::compile(&config) {
            Ok(_) => Ok(config),
            Err(error) => Err(Fault { field: format!("spec.{}", error.field()), reason: error.reason().to_owned() }),
        }
    }

    fn route(&self, route: &'a MetaRoute, field: &str) -> Result<Route, Fault> {
        let mut translated = Route::new(&route.name, self.action(route, field)?);
        let attributes = route.matches.iter().flat_map(|matches| &matches.attributes);
        translated.matches = attributes.map(|(key, value)| AttributeMatch::new(key, value_match(value))).collect();
        translated.request_mutation = mutations(&route.request_mutation);
        translated.response_mutation = mutations(&route.response_mutation);
        Ok(translated)
    }

    fn action(&self, route: &'a MetaRoute, field: &str) -> Result<RouteAction, Fault> {
        let mut action = RouteAction::default();
        let mut clusters = Vec::with_capacity(route.route.len());
        for (index, entry) in route.route.iter().enumerate() {
            let target = self.target(&entry.destination, &format!("{field}.route[{index}].destination"))?;
            target.add_hash_key(self.world, &mut action);
            clusters.push(WeightedCluster::new(target.cluster(), entry.weight));
        }
        action.destination = match clusters.as_mut_slice() {
            // the weight of a single destination has no meaning
            [only] => RouteDestination::Cluster(mem::take(&mut only.name)),
            _ => RouteDestination::Weighted(clusters),
        };
        if let Some(mirror) = &route.mirror {
            let target = self.target(mirror, &format!("{field}.mirror"))?;
            let percent = route.mirror_percentage.map_or(100.0, |share| share.value);
            action.mirrors.push(Mirror::new(target.cluster(), fraction(percent)));
        }
        Ok(action)
    }

    fn target(&self, destination: &'a Destination, field: &str) -> Result<Target<'a>, Fault> {
        Target::find(self.world, self.router, destination, (self.host, self.port), field)
    }
}

fn value_match(condition: &StringMatch) -> ValueMatch {
    match condition {
        StringMatch::Present => ValueMatch::Present(true),
        // Envoy's matcher takes these two for "any value", and users rely on it
        StringMatch::Exact(text) if text.is_empty() => ValueMatch::Any,
        StringMatch::Regex(text) if text == "*" => ValueMatch::Present(true),
        StringMatch::Exact(text) => ValueMatch::Exact(text.clone()),
        StringMatch::Prefix(text) => ValueMatch::Prefix(text.clone()),
        StringMatch::Regex(text) => ValueMatch::Regex(text.clone()),
    }
}

fn mutations(entries: &[KeyValue]) -> Vec<MutationEntry> {
    entries.iter().map(|entry| MutationEntry::set(&entry.key, &entry.value)).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a checked percentage gives at most a million; less than a millionth is cut off"
)]
fn fraction(percent: f64) -> FractionalPercent {
    FractionalPercent::new((percent * 10_000.0) as u32, Denominator::Million)
}
