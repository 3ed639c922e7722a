//! Everything that a translation looks at: immutable and indexed by host.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use crate::{
    crd::{ApplicationProtocol, DubboAuthorizationPolicy, MetaAuthorizationPolicy, MetaRouter},
    istio::{DestinationRule, Service, ServiceEntry},
    object::{Object, ObjectRef},
};

/// Holds one object of any kind that a [`World`] is made of.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AnyObject {
    /// Routes of a service.
    MetaRouter(MetaRouter),
    /// The codec of a protocol.
    ApplicationProtocol(ApplicationProtocol),
    /// Who may ask for what.
    MetaAuthorizationPolicy(MetaAuthorizationPolicy),
    /// Who may ask for what of Dubbo services.
    DubboAuthorizationPolicy(DubboAuthorizationPolicy),
    /// A service.
    ServiceEntry(ServiceEntry),
    /// The subsets of a service.
    DestinationRule(DestinationRule),
    /// A service of Kubernetes.
    Service(Service),
}

impl AnyObject {
    /// Tells which object this is.
    pub fn reference(&self) -> ObjectRef {
        match self {
            Self::MetaRouter(object) => object.reference(),
            Self::ApplicationProtocol(object) => object.reference(),
            Self::MetaAuthorizationPolicy(object) => object.reference(),
            Self::DubboAuthorizationPolicy(object) => object.reference(),
            Self::ServiceEntry(object) => object.reference(),
            Self::DestinationRule(object) => object.reference(),
            Self::Service(object) => object.reference(),
        }
    }

    /// Puts an object that names no namespace, and whose kind has one, into this one.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        let metadata = match &mut self {
            Self::MetaRouter(object) => &mut object.metadata,
            Self::MetaAuthorizationPolicy(object) => &mut object.metadata,
            Self::DubboAuthorizationPolicy(object) => &mut object.metadata,
            Self::ServiceEntry(object) => &mut object.metadata,
            Self::DestinationRule(object) => &mut object.metadata,
            Self::Service(object) => &mut object.metadata,
            Self::ApplicationProtocol(_) => return self,
        };
        if metadata.namespace.is_empty() {
            namespace.clone_into(&mut metadata.namespace);
        }
        self
    }
}

/// Holds a consistent set of all objects, found by host.
///
/// Where several objects claim one host, those of the service's own namespace come first, then the
/// oldest, then the order of `namespace/name`. Objects without a creation time count as the youngest.
#[derive(Debug, Default)]
pub struct World {
    domain: String,
    services: Index<ServiceEntry>,
    routers: Index<MetaRouter>,
    rules: Index<DestinationRule>,
    policies: Index<MetaAuthorizationPolicy>,
    dubbo_policies: Index<DubboAuthorizationPolicy>,
    meta_routers: Vec<Arc<MetaRouter>>,
    protocols: Vec<Arc<ApplicationProtocol>>,
    codecs: BTreeMap<String, String>,
    homeless: Vec<Arc<ServiceEntry>>,
}

impl World {
    /// Indexes objects. `domain` completes short host names, usually [`DEFAULT_DOMAIN`].
    pub fn new(objects: impl IntoIterator<Item = AnyObject>, domain: &str) -> Self {
        let mut world = Self { domain: domain.to_owned(), codecs: built_in_codecs(), ..Self::default() };
        let (mut routers, mut rules) = (Vec::new(), Vec::new());
        for object in objects {
            match object {
                AnyObject::ServiceEntry(service) => world.add_service(service),
                AnyObject::Service(service) => world.add_service(service.into_service_entry(domain)),
                AnyObject::MetaRouter(router) => routers.push(Arc::new(router)),
                AnyObject::DestinationRule(rule) => rules.push(Arc::new(rule)),
                AnyObject::ApplicationProtocol(protocol) => world.protocols.push(Arc::new(protocol)),
                AnyObject::MetaAuthorizationPolicy(policy) => world.policies.add_by_namespace(policy),
                AnyObject::DubboAuthorizationPolicy(policy) => world.dubbo_policies.add_by_namespace(policy),
            }
        }
        world.services.sort();
        world.policies.sort();
        world.dubbo_policies.sort();
        sort_by_age(&mut world.homeless);
        world.add_routers(routers);
        world.add_rules(rules);
        world.add_codecs();
        world
    }

    /// Lists the hosts of all services, in alphabetical order.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.services.0.keys().map(String::as_str)
    }

    /// Finds the entries that declare a host, in order of precedence.
    pub fn services(&self, host: &str) -> &[Arc<ServiceEntry>] {
        self.services.0.get(host).map_or(&[], Vec::as_slice)
    }

    /// Lists the entries that name no host, and so cannot be reached.
    pub fn services_without_host(&self) -> &[Arc<ServiceEntry>] {
        &self.homeless
    }

    /// Lists all routers, in order of precedence.
    pub fn meta_routers(&self) -> &[Arc<MetaRouter>] {
        &self.meta_routers
    }

    /// Finds the routers of a host whose service lives in `namespace`; the first one is in force.
    pub fn routers(&self, host: &str, namespace: &str) -> impl Iterator<Item = &Arc<MetaRouter>> {
        self.routers.get(host, namespace)
    }

    /// Finds the destination rules of a host whose service lives in `namespace`, in order of precedence.
    pub fn destination_rules(&self, host: &str, namespace: &str) -> impl Iterator<Item = &Arc<DestinationRule>> {
        self.rules.get(host, namespace)
    }

    /// Lists the destination rules whose host no service has, by host; wildcards are not looked at.
    pub fn destination_rules_without_service(&self) -> impl Iterator<Item = (&str, &Arc<DestinationRule>)> {
        let known = |host: &str| self.services.0.contains_key(host) || host.contains('*');
        let unknown = self.rules.0.iter().filter(move |(host, _)| !known(host));
        unknown.flat_map(|(host, rules)| rules.iter().map(|rule| (host.as_str(), rule)))
    }

    /// Lists the policies of who may ask for what, by namespace and in order of precedence.
    pub fn authorization_policies(&self) -> impl Iterator<Item = &Arc<MetaAuthorizationPolicy>> {
        self.policies.0.values().flatten()
    }

    /// Lists the policies of who may ask for what of Dubbo services, by namespace and in order of precedence.
    pub fn dubbo_authorization_policies(&self) -> impl Iterator<Item = &Arc<DubboAuthorizationPolicy>> {
        self.dubbo_policies.0.values().flatten()
    }

    /// Lists the registrations of codecs, in order of precedence.
    pub fn application_protocols(&self) -> &[Arc<ApplicationProtocol>] {
        &self.protocols
    }

    /// Names the codec of an application protocol. The codecs of `dubbo` and `thrift` are built in.
    pub fn codec(&self, protocol: &str) -> Option<&str> {
        self.codecs.get(protocol).map(String::as_str)
    }

    /// Completes a host name written in an object of `namespace`: a name without a dot is a service of
    /// that namespace, unless a service has just this name.
    pub fn resolve<'a>(&self, host: &'a str, namespace: &str) -> Cow<'a, str> {
        if host.contains('.') || self.services.0.contains_key(host) {
            Cow::Borrowed(host)
        } else {
            Cow::Owned(format!("{host}.{namespace}.svc.{}", self.domain))
        }
    }

    fn add_service(&mut self, service: ServiceEntry) {
        let service = Arc::new(service);
        if service.spec.hosts.is_empty() {
            self.homeless.push(Arc::clone(&service));
        }
        for host in &service.spec.hosts {
            self.services.add(host.clone(), &service);
        }
    }

    fn add_routers(&mut self, mut routers: Vec<Arc<MetaRouter>>) {
        for router in &routers {
            for host in &router.spec.hosts {
                let host = self.resolve(host, &router.metadata.namespace).into_owned();
                self.routers.add(host, router);
            }
        }
        self.routers.sort();
        sort_by_age(&mut routers);
        self.meta_routers = routers;
    }

    fn add_rules(&mut self, rules: Vec<Arc<DestinationRule>>) {
        for rule in &rules {
            let host = self.resolve(&rule.spec.host, &rule.metadata.namespace).into_owned();
            self.rules.add(host, rule);
        }
        self.rules.sort();
    }

    fn add_codecs(&mut self) {
        sort_by_age(&mut self.protocols);
        for protocol in &self.protocols {
            let spec = protocol.spec.clone();
            self.codecs.entry(spec.protocol).or_insert(spec.codec);
        }
    }
}

/// The domain of a cluster that was not given another one.
pub const DEFAULT_DOMAIN: &str = "cluster.local";

/// Finds objects by host, or policies by namespace, in order of age.
#[derive(Debug)]
struct Index<T>(BTreeMap<String, Vec<Arc<T>>>);

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<S> Index<Object<S>> {
    fn add(&mut self, host: String, object: &Arc<Object<S>>) {
        self.0.entry(host).or_default().push(Arc::clone(object));
    }

    fn add_by_namespace(&mut self, object: Object<S>) {
        self.add(object.metadata.namespace.clone(), &Arc::new(object));
    }

    fn sort(&mut self) {
        self.0.values_mut().for_each(|objects| sort_by_age(objects));
    }

    /// Finds the objects of a host, those of `namespace` first.
    fn get(&self, host: &str, namespace: &str) -> impl Iterator<Item = &Arc<Object<S>>> {
        let objects = self.0.get(host).map_or(&[][..], Vec::as_slice);
        let local = move |object: &&Arc<Object<S>>| object.metadata.namespace == namespace;
        objects.iter().filter(local).chain(objects.iter().filter(move |object| !local(object)))
    }
}

fn sort_by_age<S>(objects: &mut Vec<Arc<Object<S>>>) {
    objects.sort_by(|a, b| age(a).cmp(&age(b)));
    // one object may name a host twice
    objects.dedup_by(|a, b| Arc::ptr_eq(a, b));
}

fn age<S>(object: &Object<S>) -> impl Ord + '_ {
    let metadata = &object.metadata;
    let created = &metadata.creation_timestamp;
    (created.is_none(), created.as_ref(), &metadata.namespace, &metadata.name)
}

/// The codecs that no object can redirect.
fn built_in_codecs() -> BTreeMap<String, String> {
    let codec = |protocol: &str| (protocol.to_owned(), format!("aeraki.meta_protocol.codec.{protocol}"));
    ["dubbo", "thrift"].map(codec).into()
}

#[cfg(test)]
mod tests;
