//! What serves the connections of filter chains: prepared once, and made by each worker with counters of its own.

use std::{collections::BTreeMap, sync::Arc};

use aeraki_codec::{Protocol, Registry};
use aeraki_route::{
    SharedRules,
    config::{
        self, ConfigError, FilterConfig, Listener, MetaProtocolProxy, NetworkFilter, RouteSource, TrafficDirection,
    },
};

use super::{
    known,
    tables::{Tables, check_abort},
    worker::Worker,
};
use crate::{
    observe::Metrics,
    server::{Rpc, Serve},
    stack::{ApplyPolicies, CompiledFilters, Filters, GateLayer, RateLimiters, Resolve, Stack, Wheel, stack},
    tcp::{TcpProxy, TcpStats},
};

/// Where in a configuration a service is, for errors.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Name of the listener.
    listener: String,
    /// Path of the service inside it.
    path: String,
}

impl Place {
    /// Refuses a field of the service.
    pub(super) fn refuse(&self, field: &str, reason: impl Into<String>) -> ConfigError {
        self.place("", ConfigError::new("", field, reason))
    }

    /// Makes an error of a part an error of the listener; `field` is the one that holds the part, if not the service.
    pub(super) fn place(&self, field: &str, error: ConfigError) -> ConfigError {
        let path = if field.is_empty() { self.path.clone() } else { format!("{}.{field}", self.path) };
        error.within(format!("listener {:?}", self.listener), &path)
    }
}

/// A service with what its names stand for, before its routes are compiled.
#[derive(Debug)]
pub(super) enum Found {
    Rpc(Box<FoundRpc>),
    Tcp(Box<config::TcpProxy>),
}

/// A service for requests, whose protocol and filters are known.
#[derive(Debug)]
pub(super) struct FoundRpc {
    pub(super) place: Place,
    pub(super) config: MetaProtocolProxy,
    pub(super) codec: Codec,
    pub(super) filters: CompiledFilters,
}

/// A protocol as a service has it set up.
#[derive(Clone, Debug)]
pub(super) struct Codec {
    /// As the registry has it.
    registered: Arc<dyn Protocol>,
    options: BTreeMap<String, String>,
    pub(super) protocol: Arc<dyn Protocol>,
}

impl Codec {
    fn is_like(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.registered), Arc::as_ptr(&other.registered))
            && self.options == other.options
    }
}

/// Gives those that are alike the same protocol, one of `known` if there is any: connections to servers are shared by
/// those who share a protocol, and would otherwise stay unused after each update.
pub(super) fn share_codecs<'a>(codecs: impl Iterator<Item = &'a mut Codec>, mut known: Vec<Codec>) {
    for codec in codecs {
        match known.iter().find(|known| known.is_like(codec)) {
            Some(known) => codec.clone_from(known),
            None => known.push(codec.clone()),
        }
    }
}

impl Found {
    /// Finds what serves the filter chains of a listener: each service once, and the place of that of each chain.
    ///
    /// # Errors
    /// Listener, field and reason.
    pub(super) fn all(
        listener: &Listener,
        node: &config::Node,
        registry: &Registry,
        filters: &Filters,
    ) -> Result<(Vec<Self>, Vec<usize>), ConfigError> {
        let mut known: Vec<&NetworkFilter> = Vec::new();
        let (mut services, mut chains) = (Vec::new(), Vec::new());
        for (path, chain) in listener.chains() {
            let place = known.iter().position(|known| **known == chain.filter).unwrap_or(known.len());
            chains.push(place);
            if place == known.len() {
                known.push(&chain.filter);
                let place = Place { listener: listener.name.clone(), path: format!("{path}.{}", chain.filter.path()) };
                services.push(Self::new(&chain.filter, place, listener.direction, node, registry, filters)?);
            }
        }
        Ok((services, chains))
    }

    fn new(
        filter: &NetworkFilter,
        place: Place,
        direction: TrafficDirection,
        node: &config::Node,
        registry: &Registry,
        filters: &Filters,
    ) -> Result<Self, ConfigError> {
        match filter {
            NetworkFilter::MetaProtocolProxy(proxy) => {
                let codec = find_codec(proxy, registry, &place)?;
                check_faults(proxy, &*codec.protocol, &place)?;
                let filters = filters.compile(proxy, direction, node).map_err(|error| place.place("", error))?;
                Ok(Self::Rpc(Box::new(FoundRpc { place, config: (**proxy).clone(), codec, filters })))
            }
            NetworkFilter::TcpProxy(proxy) => Ok(Self::Tcp(proxy.clone())),
            _ => Err(place.refuse("", "is of a kind that this proxy does not know")),
        }
    }

    /// Gives it its routes.
    ///
    /// # Errors
    /// Listener, field and reason.
    pub(super) fn prepare(
        self,
        tables: &mut Tables<'_>,
        services: &Arc<dyn RateLimiters>,
    ) -> Result<Service, ConfigError> {
        Ok(match self {
            Self::Rpc(found) => {
                let rules = tables.rules(&found)?;
                let FoundRpc { place, config, codec, filters } = *found;
                let (listener, services) = (place.listener, Arc::clone(services));
                Service::Rpc(Box::new(RpcService { listener, config, codec, rules, filters, services }))
            }
            Self::Tcp(config) => Service::Tcp(config),
        })
    }

    pub(super) const fn rpc(&self) -> Option<&FoundRpc> {
        match self {
            Self::Rpc(found) => Some(found),
            Self::Tcp(_) => None,
        }
    }

    pub(super) const fn rpc_mut(&mut self) -> Option<&mut FoundRpc> {
        match self {
            Self::Rpc(found) => Some(found),
            Self::Tcp(_) => None,
        }
    }
}

/// What serves the connections of filter chains.
#[derive(Clone, Debug)]
pub(super) enum Service {
    Rpc(Box<RpcService>),
    Tcp(Box<config::TcpProxy>),
}

/// What serves requests.
#[derive(Clone, Debug)]
pub(super) struct RpcService {
    listener: String,
    pub(super) config: MetaProtocolProxy,
    pub(super) codec: Codec,
    pub(super) rules: Arc<SharedRules>,
    pub(super) filters: CompiledFilters,
    services: Arc<dyn RateLimiters>,
}

impl Service {
    pub(super) const fn rpc(&self) -> Option<&RpcService> {
        match self {
            Self::Rpc(service) => Some(service),
            Self::Tcp(_) => None,
        }
    }

    pub(super) const fn rpc_mut(&mut self) -> Option<&mut RpcService> {
        match self {
            Self::Rpc(service) => Some(service),
            Self::Tcp(_) => None,
        }
    }

    /// Makes what serves connections on a worker, with what it counts into, which is shown until that is dropped.
    pub(super) fn serve(self, worker: &Worker) -> (Arc<dyn Serve>, Box<dyn Send>) {
        let Worker { numbers, buffers, .. } = worker;
        match self {
            Self::Rpc(service) => {
                let MetaProtocolProxy { protocol, stat_prefix, .. } = &service.config;
                let key = (protocol.name.clone(), stat_prefix.clone());
                let metrics = numbers.rpcs.of(key, |(protocol, prefix)| Metrics::new(&**protocol, &**prefix));
                let rpc = rpc(*service, Arc::clone(worker.clusters().shared()) as _, &worker.wheel, &metrics);
                let rpc = rpc.with_buffers(buffers.clone()).with_budget(worker.budget.clone());
                (Arc::new(rpc), Box::new(metrics))
            }
            Self::Tcp(config) => {
                let stats = numbers.tcps.of(config.stat_prefix.clone(), |prefix| TcpStats::new(&**prefix));
                let proxy = TcpProxy::new(*config, Arc::clone(worker.clusters().shared()), Arc::clone(&*stats));
                (Arc::new(proxy.with_buffers(buffers.clone())), Box::new(stats))
            }
        }
    }
}

impl RpcService {
    /// Takes the inline routes of a service that is the same otherwise.
    pub(super) fn take_routes(&mut self, next: &mut Self) -> Result<(), ConfigError> {
        if let RouteSource::Inline(routes) = &next.config.routes {
            self.rules.take_users(&next.rules);
            // the same users have compiled them before
            self.rules.update(routes)?;
            std::mem::swap(&mut self.config, &mut next.config);
        }
        Ok(())
    }
}

fn rpc(service: RpcService, clusters: Arc<dyn Resolve>, wheel: &Wheel, metrics: &Arc<Metrics>) -> Rpc<Stack> {
    let RpcService { listener, config, codec, rules, filters, services } = service;
    let gates = filters.gates(wheel, metrics);
    let filters = GateLayer::new(gates).with_response_order(config.response_order);
    let policies = ApplyPolicies::new(services, wheel.clone(), Arc::clone(metrics));
    let stack = stack(clusters, wheel.clone(), Arc::clone(metrics), &filters, Arc::new(policies));
    Rpc::new(listener, codec.protocol, rules, Arc::clone(metrics), stack)
        .with_limits(config.limits)
        .with_idle_timeout(config.idle_timeout)
        .with_stream_timeouts(config.streams)
}

fn check_faults(proxy: &MetaProtocolProxy, protocol: &dyn Protocol, place: &Place) -> Result<(), ConfigError> {
    for (index, filter) in proxy.filters.iter().enumerate() {
        let FilterConfig::Fault(fault) = &filter.config else { continue };
        let field = || format!("filters[{index}] {:?}.config.abort.with.status", filter.name);
        check_abort(fault, protocol).map_err(|reason| place.refuse(&field(), reason))?;
    }
    Ok(())
}

fn find_codec(proxy: &MetaProtocolProxy, registry: &Registry, place: &Place) -> Result<Codec, ConfigError> {
    let name = proxy.protocol.codec();
    let registered = registry.get(name).ok_or_else(|| {
        place.refuse("protocol.codec", format!("there is no codec {name:?}; known are: {}", known(registry)))
    })?;
    let options = &proxy.protocol.options;
    let protocol = options.iter().try_fold(Arc::clone(registered), |protocol, (option, value)| {
        let refuse = |error| place.refuse(&format!("protocol.options[{option:?}]"), format!("codec {name:?}: {error}"));
        protocol.with_option(option, value).map_err(refuse)
    })?;
    Ok(Codec { registered: Arc::clone(registered), options: options.clone(), protocol })
}
