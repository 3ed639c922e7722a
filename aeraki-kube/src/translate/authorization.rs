//! Who may ask for what of a service: the policies of its namespace.

use std::collections::{BTreeMap, BTreeSet};

use aeraki_route::config::{
    AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Operation, Patterns, RouteConfig, Source,
};

use super::{
    Translation,
    rejection::{Fault, Rejection, RejectionKind},
    routes::unserved,
    services::Service,
};
use crate::{
    crd::{self, AttributeValues, AuthorizationOperation, AuthorizationSource},
    istio::ServiceEntry,
    object::{Object, Resource},
    protocol::PortProtocol,
    world::World,
};

/// The policies of all namespaces, made for routes.
pub(super) struct Authorization(BTreeMap<String, Vec<Guard>>);

/// One policy and what it applies to.
struct Guard {
    scope: Scope,
    /// None where the policy is refused.
    policy: Option<AuthorizationPolicy>,
}

enum Scope {
    Namespace,
    Hosts(Vec<String>),
    Protocol(&'static str),
}

impl Authorization {
    /// Makes the policies; what is wrong with one, or has no effect, is told.
    pub(super) fn collect(world: &World, translation: &mut Translation) -> Self {
        let mut all = Self(BTreeMap::new());
        let spoken = Spoken::of(world);
        for object in world.authorization_policies() {
            let crd::MetaAuthorizationPolicySpec { hosts, action, dry_run, rules } = &object.spec;
            let mut faults = Vec::new();
            let scope = match scope_of(hosts, &mut faults) {
                Scope::Hosts(hosts) => hosts_of(world, object, &hosts, translation),
                scope => {
                    spoken.warn_of_nobody(object, None, translation);
                    scope
                }
            };
            let made = make(object, *action, rules, faults).map(|policy| policy.with_dry_run(*dry_run));
            all.add(object, scope, made, translation);
        }
        for object in world.dubbo_authorization_policies() {
            let crd::DubboAuthorizationPolicySpec { rules, action } = &object.spec;
            spoken.warn_of_nobody(object, Some("dubbo"), translation);
            all.add(object, Scope::Protocol("dubbo"), make(object, *action, rules, Vec::new()), translation);
        }
        all
    }

    /// Lists the policies of a service for a port that speaks `protocol`; none where one of them is refused, so that
    /// what was in force before must stay.
    ///
    /// An entry for the same host elsewhere takes no policy away, and adds none to those that there are: who may
    /// declare a host in some namespace could otherwise let everybody in.
    pub(super) fn of(
        &self,
        service: &Service<'_>,
        protocol: &str,
        translation: &mut Translation,
    ) -> Option<Vec<AuthorizationPolicy>> {
        let applies = |guard: &&Guard| match &guard.scope {
            Scope::Namespace => true,
            Scope::Hosts(hosts) => hosts.iter().any(|host| host == service.host),
            Scope::Protocol(name) => *name == protocol,
        };
        let mut guarded: Option<(&ServiceEntry, Vec<&Guard>)> = None;
        for entry in service.entry_of_each_namespace() {
            let guards = self.0.get(&entry.metadata.namespace).map_or(&[][..], Vec::as_slice);
            let guards: Vec<&Guard> = guards.iter().filter(applies).collect();
            match &guarded {
                _ if guards.is_empty() => {}
                None => guarded = Some((entry, guards)),
                Some((first, _)) => {
                    let reason = format!(
                        "`{}` is declared by {} too, and both namespaces have authorization policies for it",
                        service.host,
                        first.reference(),
                    );
                    translation.reject(Rejection::new(entry, "spec.hosts", reason, RejectionKind::Conflict));
                    return None;
                }
            }
        }
        let guards = guarded.map(|(_, guards)| guards).unwrap_or_default();
        guards.into_iter().map(|guard| guard.policy.clone()).collect()
    }

    fn add<S: Resource>(
        &mut self,
        object: &Object<S>,
        scope: Scope,
        made: Result<AuthorizationPolicy, Vec<Fault>>,
        translation: &mut Translation,
    ) {
        let policy = made.map_err(|faults| {
            for Fault { field, reason } in faults {
                translation.reject(Rejection::invalid(object, field, reason));
            }
        });
        let namespace = object.metadata.namespace.clone();
        self.0.entry(namespace).or_default().push(Guard { scope, policy: policy.ok() });
    }
}

/// Tells what a policy is meant for. `*` is every service of its namespace; another pattern is refused, and what was in
/// force stays for all of them, as nobody can tell which are meant.
fn scope_of(hosts: &[String], faults: &mut Vec<Fault>) -> Scope {
    for (index, host) in hosts.iter().enumerate() {
        if host.contains('*') && host != "*" {
            let reason = format!("`{host}` is not a host: name each of them, or `*` for all services of the namespace");
            faults.push(Fault { field: format!("spec.hosts[{index}]"), reason });
        }
    }
    if hosts.iter().all(|host| !host.contains('*')) && !hosts.is_empty() {
        Scope::Hosts(hosts.to_vec())
    } else {
        Scope::Namespace
    }
}

/// Completes the hosts of a policy. One that it cannot guard is told: a policy holds for its own namespace.
fn hosts_of(
    world: &World,
    object: &crd::MetaAuthorizationPolicy,
    hosts: &[String],
    translation: &mut Translation,
) -> Scope {
    let namespace = object.metadata.namespace.as_str();
    let hosts: Vec<_> = hosts.iter().map(|host| world.resolve(host, namespace).into_owned()).collect();
    let mut unguarded = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let mut homes = world.services(host).iter().map(|entry| entry.metadata.namespace.as_str());
        let reason = match homes.next() {
            Some(home) if home != namespace && homes.all(|home| home != namespace) => {
                Some(format!("`{host}` is a service of the namespace `{home}`"))
            }
            _ => unserved(world, host),
        };
        unguarded.extend(reason.map(|reason| (index, reason)));
    }
    let consequence = if unguarded.len() == hosts.len() { ": the policy holds for nobody" } else { "" };
    for (index, reason) in unguarded {
        let field = format!("spec.hosts[{index}]");
        translation.reject(Rejection::ineffective(object, field, format!("{reason}{consequence}")));
    }
    Scope::Hosts(hosts)
}

/// The protocols that the services of each namespace speak.
struct Spoken<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Spoken<'a> {
    fn of(world: &'a World) -> Self {
        let mut spoken = Self(BTreeMap::new());
        for entry in world.hosts().flat_map(|host| world.services(host)) {
            for port in &entry.spec.ports {
                if let PortProtocol::MetaProtocol(protocol) = PortProtocol::of(&port.name) {
                    spoken.0.entry(&entry.metadata.namespace).or_default().insert(protocol);
                }
            }
        }
        spoken
    }

    /// Tells of a policy for all services of a namespace that has none which speaks `protocol`, or any.
    fn warn_of_nobody<S: Resource>(&self, object: &Object<S>, protocol: Option<&str>, translation: &mut Translation) {
        let namespace = object.metadata.namespace.as_str();
        let speaks = |spoken: &BTreeSet<_>| protocol.is_none_or(|protocol| spoken.contains(protocol));
        if self.0.get(namespace).is_some_and(speaks) {
            return;
        }
        let protocol = protocol.unwrap_or("<protocol>");
        let reason = format!(
            "no service of `{namespace}` has a port named tcp-metaprotocol-{protocol}: the policy holds for nobody"
        );
        translation.reject(Rejection::ineffective(object, "metadata.namespace", reason));
    }
}

/// Tells of each policy which routes it decided about in `last` and does not in `now`, though they are still served.
pub(super) fn lost(last: &Translation, now: &Translation) -> Vec<String> {
    let mut lost = BTreeMap::<&str, Vec<&str>>::new();
    for (name, before) in &last.routes {
        let Some(after) = now.routes.get(name) else { continue };
        for policy in decisive(before).difference(&decisive(after)) {
            lost.entry(policy).or_default().push(name);
        }
    }
    let told = |(policy, routes): (&str, Vec<&str>)| {
        let more = routes.len().saturating_sub(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named = routes.iter().take(MOST_NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        format!("the authorization policy `{policy}` no longer decides for {named}{more}")
    };
    lost.into_iter().map(told).collect()
}

/// Names the policies that decide about a request, and are not only tried.
fn decisive(routes: &RouteConfig) -> BTreeSet<&str> {
    let policies = routes.routes.iter().flat_map(|route| &route.authorization);
    policies.filter(|policy| !policy.dry_run).map(|policy| policy.name.as_str()).collect()
}

/// Routes that are named where many have lost a policy.
const MOST_NAMED: usize = 10;

fn make<S: Resource>(
    object: &Object<S>,
    action: AuthorizationAction,
    rules: &[crd::AuthorizationRule],
    faults: Vec<Fault>,
) -> Result<AuthorizationPolicy, Vec<Fault>> {
    let mut check = Check { faults };
    let name = format!("{}/{}", object.metadata.namespace, object.metadata.name);
    let mut policy = AuthorizationPolicy::new(name, action);
    for (index, rule) in rules.iter().enumerate() {
        let field = format!("spec.rules[{index}]");
        let mut translated = AuthorizationRule::default();
        for (index, from) in rule.from.iter().enumerate() {
            translated.from.push(check.source(&from.source, &format!("{field}.from[{index}].source")));
        }
        for (index, to) in rule.to.iter().enumerate() {
            translated.to.push(check.operation(&to.operation, &format!("{field}.to[{index}].operation")));
        }
        policy.rules.push(translated);
    }
    if check.faults.is_empty() { Ok(policy) } else { Err(check.faults) }
}

/// Translates the parts of a policy and gathers what is wrong with them.
struct Check {
    faults: Vec<Fault>,
}

impl Check {
    fn source(&mut self, source: &AuthorizationSource, field: &str) -> Source {
        let mut translated = Source::default();
        let named = |name: &str, not_name: &str| (format!("{field}.{name}"), format!("{field}.{not_name}"));
        let AuthorizationSource { principals, not_principals, namespaces, not_namespaces, .. } = source;
        let fields = named("principals", "notPrincipals");
        translated.principals = self.patterns(principals, not_principals, &fields);
        translated.namespaces = self.patterns(namespaces, not_namespaces, &named("namespaces", "notNamespaces"));
        let AuthorizationSource { trust_domains, not_trust_domains, ip_blocks, not_ip_blocks, .. } = source;
        let fields = named("trustDomains", "notTrustDomains");
        translated.trust_domains = self.patterns(trust_domains, not_trust_domains, &fields);
        let fields = named("ipBlocks", "notIpBlocks");
        translated.ip_blocks = self.lists(ip_blocks, not_ip_blocks, &fields, Source::ip_block_fault);
        translated.ports = self.ports(&source.ports, &format!("{field}.ports"));
        translated.not_ports = self.ports(&source.not_ports, &format!("{field}.notPorts"));
        translated
    }

    fn operation(&mut self, operation: &AuthorizationOperation, field: &str) -> Operation {
        let mut translated = Operation::default();
        for (name, AttributeValues { values, not_values }) in &operation.attributes {
            let field = format!("{field}.attributes.{name}");
            self.require(!name.is_empty(), &field, || "the name of an attribute must not be empty".to_owned());
            let fields = (format!("{field}.values"), format!("{field}.notValues"));
            translated.attributes.insert(name.clone(), self.patterns(values, not_values, &fields));
        }
        let AuthorizationOperation { interfaces, not_interfaces, methods, not_methods, .. } = operation;
        let known = [
            ("interface", interfaces, not_interfaces, ("interfaces", "notInterfaces")),
            ("method", methods, not_methods, ("methods", "notMethods")),
        ];
        for (attribute, values, not_values, (name, not_name)) in known {
            let fields = (format!("{field}.{name}"), format!("{field}.{not_name}"));
            let patterns = self.patterns(values, not_values, &fields);
            if patterns.is_empty() {
                continue;
            }
            // names of attributes are compared without regard to case
            let twice = translated.attributes.keys().any(|key| key.eq_ignore_ascii_case(attribute));
            let path = format!("{field}.attributes.{attribute}");
            self.require(!twice, path, || format!("excludes `{name}` and `{not_name}`, which are given too"));
            translated.attributes.insert(attribute.to_owned(), patterns);
        }
        translated.ports = self.ports(&operation.ports, &format!("{field}.ports"));
        translated.not_ports = self.ports(&operation.not_ports, &format!("{field}.notPorts"));
        let AuthorizationOperation { destination_ip_blocks: blocks, not_destination_ip_blocks: not_blocks, .. } =
            operation;
        let fields = (format!("{field}.destinationIpBlocks"), format!("{field}.notDestinationIpBlocks"));
        translated.destination_ip_blocks = self.lists(blocks, not_blocks, &fields, Source::ip_block_fault);
        translated
    }

    fn patterns(&mut self, values: &[String], not_values: &[String], fields: &(String, String)) -> Patterns {
        self.lists(values, not_values, fields, |pattern| Patterns::fault(pattern).map(str::to_owned))
    }

    fn lists(
        &mut self,
        values: &[String],
        not_values: &[String],
        (field, not_field): &(String, String),
        fault: impl Fn(&str) -> Option<String>,
    ) -> Patterns {
        for (list, field) in [(values, field), (not_values, not_field)] {
            for (index, entry) in list.iter().enumerate() {
                if let Some(reason) = fault(entry) {
                    self.faults.push(Fault { field: format!("{field}[{index}]"), reason });
                }
            }
        }
        let mut patterns = Patterns::of(values);
        patterns.not_values = not_values.to_vec();
        patterns
    }

    fn ports(&mut self, ports: &[u32], field: &str) -> Vec<u16> {
        let mut translated = Vec::with_capacity(ports.len());
        for (index, port) in ports.iter().enumerate() {
            match u16::try_from(*port) {
                Ok(port) if port > 0 => translated.push(port),
                _ => self.require(false, format!("{field}[{index}]"), || format!("{port} is not a port")),
            }
        }
        translated
    }

    fn require(&mut self, holds: bool, field: impl Into<String>, reason: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(Fault { field: field.into(), reason: reason() });
        }
    }
}
