//! What a router must look like, whatever else is in the world.

use std::collections::BTreeMap;

use super::rejection::Rejection;
use crate::crd::{Destination, LocalRateLimit, MetaRoute, MetaRouter, StringMatch, TokenBucket};

/// Checks one router by itself, as an admission webhook does; an empty list means that it is fine.
///
/// Regular expressions, keys, sizes and counts are checked by the route table when the router is translated.
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
        self.export_to();
        self.local_rate_limit();
        self.global_rate_limit();
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
    }

    fn mirror(&mut self, route: &MetaRoute, field: &str) {
        if let Some(mirror) = &route.mirror {
            self.destination(mirror, &format!("{field}.mirror"));
        }
        let Some(share) = route.mirror_percentage else { return };
        let field = format!("{field}.mirrorPercentage");
        self.require(route.mirror.is_some(), &field, "has no `mirror` to apply to");
        self.require(
            share.value > 0.0 && share.value <= 100.0,
            format!("{field}.value"),
            "must lie above 0 and not exceed 100",
        );
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
            let empty = matches!(value, StringMatch::Regex(regex) if regex.is_empty());
            self.require(!empty, format!("{field}.attributes.{key}.regex"), "must not be empty");
        }
    }

    fn unreachable_routes(&mut self) {
        let routes = &self.router.spec.routes;
        let matches_all =
            |route: &MetaRoute| route.matches.as_ref().is_none_or(|matches| matches.attributes.is_empty());
        let Some(last) = routes.iter().position(matches_all) else { return };
        for index in last + 1..routes.len() {
            let reason = format!("is never reached, since spec.routes[{last}] matches everything");
            self.faults.push(Rejection::ineffective(self.router, format!("spec.routes[{index}]"), reason));
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

    fn local_rate_limit(&mut self) {
        let Some(LocalRateLimit { token_bucket, conditions }) = &self.router.spec.local_rate_limit else { return };
        let field = "spec.localRateLimit";
        self.require(
            token_bucket.is_some() || !conditions.is_empty(),
            field,
            "must hold a `tokenBucket` or `conditions`",
        );
        if let Some(bucket) = token_bucket {
            self.bucket(bucket, &format!("{field}.tokenBucket"));
        }
        for (index, condition) in conditions.iter().enumerate() {
            let field = format!("{field}.conditions[{index}]");
            match &condition.matches {
                Some(matches) => self.attributes(&matches.attributes, &format!("{field}.match")),
                None => self.require(false, format!("{field}.match"), "is missing"),
            }
            match &condition.token_bucket {
                Some(bucket) => self.bucket(bucket, &format!("{field}.tokenBucket")),
                None => self.require(false, format!("{field}.tokenBucket"), "is missing"),
            }
        }
        self.not_enforced(field, "requests are not limited");
    }

    fn bucket(&mut self, bucket: &TokenBucket, field: &str) {
        self.require(bucket.max_tokens > 0, format!("{field}.maxTokens"), "must be at least 1");
        self.require(bucket.tokens_per_fill != Some(0), format!("{field}.tokensPerFill"), "must be at least 1");
        let fills = bucket.fill_interval.is_some_and(|interval| !interval.is_zero());
        self.require(fills, format!("{field}.fillInterval"), "must be a time above zero");
    }

    fn global_rate_limit(&mut self) {
        let Some(limit) = &self.router.spec.global_rate_limit else { return };
        let field = "spec.globalRateLimit";
        self.require(!limit.domain.is_empty(), format!("{field}.domain"), "must not be empty");
        self.require(!limit.rate_limit_service.is_empty(), format!("{field}.rateLimitService"), "must not be empty");
        self.require(!limit.descriptors.is_empty(), format!("{field}.descriptors"), "must hold a descriptor");
        for (index, descriptor) in limit.descriptors.iter().enumerate() {
            let complete = !descriptor.property.is_empty() && !descriptor.descriptor_key.is_empty();
            self.require(
                complete,
                format!("{field}.descriptors[{index}]"),
                "must have a `property` and a `descriptorKey`",
            );
        }
        if let Some(matches) = &limit.matches {
            self.attributes(&matches.attributes, &format!("{field}.match"));
        }
        self.not_enforced(field, "requests are not limited");
    }

    fn not_enforced(&mut self, field: &str, consequence: &str) {
        let reason = format!("NOT ENFORCED yet: {consequence}");
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
