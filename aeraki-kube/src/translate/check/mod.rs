//! What a router must look like, whatever else is in the world.

mod limits;
mod mutations;
mod resilience;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use aeraki_route::{
    RouteTable,
    config::{AttributeMatch, Route, RouteAction, RouteConfig},
};

use self::resilience::LEAST_SHARE;
use super::{rejection::Rejection, routes::value_match};
use crate::crd::{Destination, MetaRoute, MetaRouter, Percent, StringMatch};

/// Checks one router by itself, as an admission webhook does; an empty list means that it is fine.
///
/// Keys, sizes and counts are checked by the route table when the router is translated.
pub fn validate(router: &MetaRouter) -> Vec<Rejection> {
    let mut check = Check { router, faults: Vec::new() };
    check.router();
    check.faults
}

struct Check<'a> {
    router: &'a MetaRouter,
    faults: Vec<Rejection>,
}

impl Check<'_> {
    fn router(&mut self) {
        let spec = &self.router.spec;
        self.require(!spec.hosts.is_empty(), "spec.hosts", "must name a service");
        for (index, host) in spec.hosts.iter().enumerate() {
            self.host(host, format!("spec.hosts[{index}]"));
        }
        let limited = spec.local_rate_limit.is_some() || spec.global_rate_limit.is_some();
        self.require(
            limited || !spec.routes.is_empty(),
            "spec.routes",
            "must hold a route where there is no rate limit",
        );
        for (index, route) in spec.routes.iter().enumerate() {
            self.route(route, &format!("spec.routes[{index}]"));
        }
        self.unreachable_routes();
        self.repeated_names();
        self.export_to();
        if !spec.gateways.is_empty() {
            self.not_enforced("spec.gateways", "every subscriber sees the routes, named or not");
        }
        if let Some(limit) = &spec.local_rate_limit {
            self.local_rate_limit(limit, "spec.localRateLimit");
        }
        if let Some(limit) = &spec.global_rate_limit {
            self.global_rate_limit(limit, "spec.globalRateLimit");
        }
    }

    fn route(&mut self, route: &MetaRoute, field: &str) {
        if let Some(matches) = &route.matches {
            self.attributes(&matches.attributes, &format!("{field}.match"));
        }
        self.require(!route.route.is_empty(), format!("{field}.route"), "must hold a destination");
        for (index, entry) in route.route.iter().enumerate() {
            self.destination(&entry.destination, &format!("{field}.route[{index}].destination"));
            self.require(entry.weight <= 100, format!("{field}.route[{index}].weight"), "must not exceed 100");
        }
        if route.route.len() > 1 {
            let sum: u64 = route.route.iter().map(|entry| u64::from(entry.weight)).sum();
            self.require(sum == 100, format!("{field}.route"), format!("the weights must sum up to 100, not {sum}"));
        }
        self.mirror(route, field);
        self.resilience(route, field);
        self.mutations(&route.request_mutation, &format!("{field}.requestMutation"));
        self.mutations(&route.response_mutation, &format!("{field}.responseMutation"));
        if let Some(limit) = &route.local_rate_limit {
            self.local_rate_limit(limit, &format!("{field}.localRateLimit"));
        }
        if let Some(limit) = &route.global_rate_limit {
            self.global_rate_limit(limit, &format!("{field}.globalRateLimit"));
        }
    }

    fn mirror(&mut self, route: &MetaRoute, field: &str) {
        if let Some(mirror) = &route.mirror {
            self.destination(mirror, &format!("{field}.mirror"));
        }
        if let Some(share) = route.mirror_percentage {
            let field = format!("{field}.mirrorPercentage");
            self.require(route.mirror.is_some(), &field, "has no `mirror` to apply to");
            self.share(Some(share), &field);
        }
        self.require(
            route.mirror.is_none() || route.mirrors.is_empty(),
            format!("{field}.mirrors"),
            "excludes `mirror`, which is given too",
        );
        for (index, mirror) in route.mirrors.iter().enumerate() {
            let field = format!("{field}.mirrors[{index}]");
            self.destination(&mirror.destination, &format!("{field}.destination"));
            self.share(mirror.percentage, &format!("{field}.percentage"));
            self.time(mirror.timeout, format!("{field}.timeout"));
        }
    }

    /// Checks a share of requests that must not be nothing.
    fn share(&mut self, share: Option<Percent>, field: &str) {
        let holds = share.is_none_or(|share| (LEAST_SHARE..=100.0).contains(&share.value));
        self.require(holds, format!("{field}.value"), "must lie between 0.0001 and 100");
    }

    fn time(&mut self, time: Option<Duration>, field: String) {
        let holds = time.is_none_or(|time| !time.is_zero() && time <= LONGEST);
        self.require(holds, field, "must be a time above zero, at most 365 days");
    }

    fn destination(&mut self, destination: &Destination, field: &str) {
        self.host(&destination.host, format!("{field}.host"));
        let subset = &destination.subset;
        let reason = || format!("`{subset}` is not a DNS label");
        self.require_with(subset.is_empty() || is_label(subset), format!("{field}.subset"), reason);
        let number = destination.port.map_or(0, |port| port.number);
        self.require_with(number <= u32::from(u16::MAX), format!("{field}.port.number"), || {
            format!("{number} is not a port")
        });
    }

    fn host(&mut self, host: &str, field: String) {
        self.require_with(is_host(host), field, || format!("`{host}` is not a host name"));
    }

    fn attributes(&mut self, attributes: &BTreeMap<String, StringMatch>, field: &str) {
        for (key, value) in attributes {
            let StringMatch::Regex(regex) = value else { continue };
            let field = format!("{field}.attributes.{key}.regex");
            if regex.is_empty() {
                self.require(false, field, "must not be empty");
            } else if let Some(reason) = regex_fault(value) {
                self.require(false, field, reason);
            }
        }
    }

    fn unreachable_routes(&mut self) {
        let routes = &self.router.spec.routes;
        let matches_all =
            |route: &MetaRoute| route.matches.as_ref().is_none_or(|matches| matches.attributes.is_empty());
        let Some(last) = routes.iter().position(matches_all) else { return };
        for index in last + 1..routes.len() {
            let reason = format!("is never reached, since spec.routes[{last}] matches everything");
            self.ineffective(format!("spec.routes[{index}]"), reason);
        }
    }

    /// Tells of routes that go by the name of an earlier one.
    fn repeated_names(&mut self) {
        let mut places = HashMap::new();
        for (index, route) in self.router.spec.routes.iter().enumerate().filter(|(_, route)| !route.name.is_empty()) {
            let first = *places.entry(route.name.as_str()).or_insert(index);
            if first != index {
                let reason = format!("is the name of spec.routes[{first}] too: records cannot tell them apart");
                self.ineffective(format!("spec.routes[{index}].name"), reason);
            }
        }
    }

    fn export_to(&mut self) {
        let export_to = &self.router.spec.export_to;
        let everywhere = export_to.iter().all(|namespace| namespace == "*");
        let alone = export_to.len() <= 1 || !export_to.iter().any(|namespace| namespace == "*");
        self.require(alone, "spec.exportTo", "`*` must stand alone");
        if alone && !everywhere {
            self.not_enforced("spec.exportTo", "every subscriber sees the routes");
        }
    }

    fn not_enforced(&mut self, field: &str, consequence: &str) {
        self.ineffective(field, format!("NOT ENFORCED yet: {consequence}"));
    }

    fn ineffective(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.faults.push(Rejection::ineffective(self.router, field, reason));
    }

    fn require(&mut self, holds: bool, field: impl Into<String>, reason: impl Into<String>) {
        self.require_with(holds, field, || reason.into());
    }

    fn require_with(&mut self, holds: bool, field: impl Into<String>, reason: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(Rejection::invalid(self.router, field, reason()));
        }
    }
}

/// The longest time of the proxy's configuration.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Has a table compile the expression alone, as it will be.
fn regex_fault(condition: &StringMatch) -> Option<String> {
    let condition = AttributeMatch::new("attribute", value_match(condition));
    let route = Route::new("", RouteAction::cluster("cluster")).with_match(condition);
    RouteTable::compile(&RouteConfig::new("", [route])).err().map(|error| error.reason().to_owned())
}

/// Tells whether a text is a host name: DNS labels, one dot allowed at the end, the last label not a number.
fn is_host(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or(name);
    host.len() <= 255 && name.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}
