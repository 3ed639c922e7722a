//! From routers to route configurations.

use std::{borrow::Cow, mem, sync::Arc};

use aeraki_route::RouteTable;
use aeraki_route::config::{
    AttributeMatch, AuthorizationPolicy, Destination as RouteDestination, Mirror, Route, RouteAction, RouteConfig,
    ValueMatch, WeightedCluster,
};

use super::{
    Translation,
    authorization::Authorization,
    check::validate,
    limits,
    names::route_name,
    rejection::{Fault, Rejection, RejectionKind},
    resilience::{self, share},
    services::{Declared, Service},
    target::Target,
};
use crate::{
    crd::{Destination, MetaRoute, MetaRouteMatch, MetaRouter, StringMatch},
    protocol::PortProtocol,
    world::World,
};

/// Adds the routes of a host, one configuration for each MetaProtocol port.
///
/// A host without routes of its own gets a default one to the whole service.
pub(super) fn translate(
    world: &World,
    service: &Service<'_>,
    authorization: &Authorization,
    translation: &mut Translation,
) {
    let router = in_force(world, service, translation);
    let refused = router.is_some_and(|router| validate(router).iter().any(Rejection::refuses));
    for (port, declared) in &service.ports {
        let name = route_name(service.host, *port);
        let guards = authorization.of(service, protocol(declared), translation);
        let scope = Scope { world, router, service, port: *port, guards: guards.as_deref().unwrap_or_default() };
        let held = refused || guards.is_none();
        match scope.routes(&name).and_then(|routes| if held { Ok(None) } else { compiled(routes).map(Some) }) {
            Ok(Some(routes)) => {
                translation.routes.insert(name, Arc::new(routes));
            }
            Ok(None) => {
                translation.held.insert(name);
            }
            Err(Fault { field, reason }) => {
                if let Some(router) = router {
                    translation.reject(Rejection::invalid(router, field, reason));
                }
                translation.held.insert(name);
            }
        }
    }
}

/// Tells of the hosts of a router that no service has, or whose service has no port of MetaProtocol.
pub(super) fn warn_of_unserved_hosts(world: &World, router: &MetaRouter, translation: &mut Translation) {
    for (index, host) in router.spec.hosts.iter().enumerate() {
        if let Some(reason) = unserved(world, &world.resolve(host, &router.metadata.namespace)) {
            translation.reject(Rejection::ineffective(router, format!("spec.hosts[{index}]"), reason));
        }
    }
}

/// Tells why there are no routes of a host, if so.
pub(super) fn unserved(world: &World, host: &str) -> Option<String> {
    let services = world.services(host);
    let mut ports = services.iter().flat_map(|entry| &entry.spec.ports);
    if services.is_empty() {
        Some(format!("no service has the host `{host}`"))
    } else if !ports.any(|port| matches!(PortProtocol::of(&port.name), PortProtocol::MetaProtocol(_))) {
        Some(format!("no port of `{host}` is named tcp-metaprotocol-<protocol>"))
    } else {
        None
    }
}

/// Tells of the destinations of a router that no service has; its own hosts are told of already.
pub(super) fn warn_of_unknown_destinations(world: &World, router: &MetaRouter, translation: &mut Translation) {
    let namespace = router.metadata.namespace.as_str();
    let own: Vec<_> = router.spec.hosts.iter().map(|host| world.resolve(host, namespace)).collect();
    for (index, route) in router.spec.routes.iter().enumerate() {
        let field = |list: &str, place| format!("spec.routes[{index}].{list}[{place}].destination.host");
        let weighted = route.route.iter().enumerate().map(|(place, to)| (field("route", place), &to.destination));
        let mirrors = route.mirrors.iter().enumerate().map(|(place, to)| (field("mirrors", place), &to.destination));
        let mirror = route.mirror.iter().map(|to| (format!("spec.routes[{index}].mirror.host"), to));
        for (field, Destination { host, .. }) in weighted.chain(mirrors).chain(mirror) {
            let host = world.resolve(host, namespace);
            if world.services(&host).is_empty() && !own.contains(&host) {
                let reason = format!(
                    "no service has the host `{host}`: requests find no cluster unless it comes from elsewhere"
                );
                translation.reject(Rejection::ineffective(router, field, reason));
            }
        }
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

/// What a port speaks; all that declare it agree.
fn protocol<'a>(declared: &[Declared<'a>]) -> &'a str {
    match declared.first().map(|first| PortProtocol::of(&first.port.name)) {
        Some(PortProtocol::MetaProtocol(name)) => name,
        _ => "",
    }
}

fn compiled(routes: RouteConfig) -> Result<RouteConfig, Fault> {
    match RouteTable::compile(&routes) {
        Ok(_) => Ok(routes),
        Err(error) => Err(Fault { field: format!("spec.{}", error.field()), reason: error.reason().to_owned() }),
    }
}

/// What routes are made for: one port of one host.
struct Scope<'a> {
    world: &'a World,
    router: Option<&'a MetaRouter>,
    service: &'a Service<'a>,
    port: u16,
    guards: &'a [AuthorizationPolicy],
}

impl<'a> Scope<'a> {
    fn routes(&self, name: &str) -> Result<RouteConfig, Fault> {
        let mut routes = Vec::new();
        if let Some(router) = self.router {
            for (index, route) in router.spec.routes.iter().enumerate() {
                routes.push(self.route(router, route, index)?);
            }
        }
        if routes.is_empty() {
            routes.push(self.default_route());
        }
        for route in &mut routes {
            self.add_common(route);
        }
        Ok(RouteConfig::new(name, routes))
    }

    fn default_route(&self) -> Route {
        let target = Target::service(self.service.host, self.service.namespace, self.port);
        let mut action = RouteAction::cluster(target.cluster());
        target.add_hash_key(self.world, &mut action);
        Route::new("default", action)
    }

    /// Adds what holds for every route that says nothing else of it.
    fn add_common(&self, route: &mut Route) {
        if let Some(router) = self.router {
            // one prefix for all routes, as they share the limit
            let local = || router.spec.local_rate_limit.as_ref().map(|limit| limits::local(limit, self.service.host));
            route.local_rate_limit = route.local_rate_limit.take().or_else(local);
            let global = || router.spec.global_rate_limit.as_ref().map(limits::global);
            route.global_rate_limit = route.global_rate_limit.take().or_else(global);
        }
        route.authorization.extend_from_slice(self.guards);
    }

    fn route(&self, router: &'a MetaRouter, route: &'a MetaRoute, index: usize) -> Result<Route, Fault> {
        let action = self.action(router, route, &format!("spec.routes[{index}]"))?;
        let mut translated = Route::new(&route.name, action);
        translated.matches = conditions(route.matches.as_ref());
        translated.request_mutation = resilience::mutations(&route.request_mutation);
        translated.response_mutation = resilience::mutations(&route.response_mutation);
        let prefix = || format!("{}.{}", self.service.host, label(&router.spec.routes, route, index));
        translated.local_rate_limit = route.local_rate_limit.as_ref().map(|limit| limits::local(limit, &prefix()));
        translated.global_rate_limit = route.global_rate_limit.as_ref().map(limits::global);
        translated.fault = route.fault.as_ref().map(resilience::fault);
        Ok(translated)
    }

    fn action(&self, router: &'a MetaRouter, route: &'a MetaRoute, field: &str) -> Result<RouteAction, Fault> {
        let target = |destination, field: String| self.target(router, destination, &field);
        let mut action = RouteAction::default();
        let mut clusters = Vec::with_capacity(route.route.len());
        for (index, entry) in route.route.iter().enumerate() {
            let target = target(&entry.destination, format!("{field}.route[{index}].destination"))?;
            target.add_hash_key(self.world, &mut action);
            clusters.push(WeightedCluster::new(target.cluster(), entry.weight));
        }
        action.destination = match clusters.as_mut_slice() {
            // the weight of a single destination has no meaning
            [only] => RouteDestination::Cluster(mem::take(&mut only.name)),
            _ => RouteDestination::Weighted(clusters),
        };
        if let Some(mirror) = &route.mirror {
            let target = target(mirror, format!("{field}.mirror"))?;
            action.mirrors.push(Mirror::new(target.cluster(), share(route.mirror_percentage)));
        }
        for (index, mirror) in route.mirrors.iter().enumerate() {
            let target = target(&mirror.destination, format!("{field}.mirrors[{index}].destination"))?;
            let mut copy = Mirror::new(target.cluster(), share(mirror.percentage)).with_compare(mirror.compare);
            copy.timeout = mirror.timeout.unwrap_or(copy.timeout);
            action.mirrors.push(copy);
        }
        action.timeout = route.timeout;
        action.caller_timeouts.clone_from(&route.caller_timeouts);
        action.override_host.clone_from(&route.override_host);
        action.retry = route.retries.as_ref().map(resilience::retry);
        action.hedge = route.hedging.as_ref().and_then(resilience::hedge);
        Ok(action)
    }

    fn target(&self, router: &'a MetaRouter, destination: &'a Destination, field: &str) -> Result<Target<'a>, Fault> {
        Target::find(self.world, router, destination, (self.service.host, self.port), field)
    }
}

/// Returns the name of a route where no other has it, so that its limits stay its own when others come and go.
fn label<'a>(routes: &[MetaRoute], route: &'a MetaRoute, index: usize) -> Cow<'a, str> {
    let unique = routes.iter().filter(|other| other.name == route.name).nth(1).is_none();
    if unique && !route.name.is_empty() { route.name.as_str().into() } else { format!("route_{index}").into() }
}

/// Translates conditions; none is met by everything.
pub(super) fn conditions(matches: Option<&MetaRouteMatch>) -> Vec<AttributeMatch> {
    let attributes = matches.into_iter().flat_map(|matches| &matches.attributes);
    attributes.map(|(key, value)| AttributeMatch::new(key, value_match(value))).collect()
}

pub(super) fn value_match(condition: &StringMatch) -> ValueMatch {
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
