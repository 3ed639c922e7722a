//! From the filters that a service asks for to the gates of its stack.

use std::{collections::BTreeMap, fmt, sync::Arc};

use aeraki_codec::Demand;
use aeraki_route::{
    config::{ConfigError, Filter, FilterConfig, MetaProtocolProxy, Node, TrafficDirection},
    policy::{Authorization, Concurrency, Faults, GlobalLimit, LocalLimit},
};

use super::{
    Authorize, ExchangeMetadata, Gate, IdentifyRequests, InjectFaults, LimitGlobally, LimitLocally, NoRateLimiters,
    REQUEST_ID, RateLimiters, ShedLoad, Wheel,
};
use crate::observe::Metrics;

/// Makes the gate of a filter that an embedder brings, from the bytes of its configuration.
pub type MakeGate = Arc<dyn Fn(&[u8]) -> Result<Arc<dyn Gate>, String> + Send + Sync>;

/// What filters are made with: the embedder's own ones by their names, and the rate limit services.
#[derive(Clone)]
pub struct Filters {
    own: BTreeMap<String, Own>,
    pub(crate) services: Arc<dyn RateLimiters>,
}

#[derive(Clone)]
struct Own {
    type_url: String,
    demand: Demand,
    make: MakeGate,
}

impl Filters {
    /// Knows the filters of this crate, and no rate limit service.
    #[must_use]
    pub fn new() -> Self {
        Self { own: BTreeMap::new(), services: Arc::new(NoRateLimiters) }
    }

    /// Adds a filter of the embedder's under a name and the type URL of its configuration; it looks at the attributes
    /// of `demand`. A name that is there already is replaced.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use aeraki_core::{
    ///     codec::{Demand, LocalReply, Reason, Registry},
    ///     proxy::Proxy,
    ///     route::config::{
    ///         self, Cluster, Filter, FilterConfig, Listener, MetaProtocolProxy, ProtocolConfig, Route, RouteAction,
    ///         RouteConfig, RouteSource,
    ///     },
    ///     stack::{Admission, Filters, Gate, Request},
    /// };
    ///
    /// /// Refuses calls of one method.
    /// #[derive(Debug)]
    /// struct Closed(Vec<u8>);
    ///
    /// impl Gate for Closed {
    ///     fn admit(&self, request: &mut Request) -> Admission {
    ///         if request.message.attr("method") == Some(&self.0) {
    ///             Admission::Refuse(LocalReply::new(Reason::Denied, "this method is closed"))
    ///         } else {
    ///             Admission::Pass
    ///         }
    ///     }
    /// }
    ///
    /// let filters = Filters::new().with_own(
    ///     "acme.filters.closed",
    ///     "type.googleapis.com/acme.Closed",
    ///     Demand::of(["method"]),
    ///     |config| match config {
    ///         [] => Err("must name a method".to_owned()),
    ///         method => Ok(Arc::new(Closed(method.to_vec()))),
    ///     },
    /// );
    ///
    /// let routes = RouteConfig::new("routes", [Route::new("all", RouteAction::cluster("greeter"))]);
    /// let service = MetaProtocolProxy::new("in", ProtocolConfig::new("dubbo"), RouteSource::Inline(routes));
    /// let config = |method: &str| {
    ///     let filter = Filter::new("acme.filters.closed", FilterConfig::Custom(method.into()));
    ///     let listener = Listener::of("in", ([127, 0, 0, 1], 0).into(), service.clone().with_filter(filter));
    ///     config::Proxy::default().with_listener(listener).with_cluster(Cluster::new("greeter"))
    /// };
    /// let proxy = Proxy::with_filters(config("drop"), &Registry::builtin(), &filters)?;
    /// let error = Proxy::with_filters(config(""), &Registry::builtin(), &filters).unwrap_err();
    /// assert_eq!(error.reason(), "must name a method");
    /// # Ok::<_, config::ConfigError>(())
    /// ```
    #[must_use]
    pub fn with_own(
        mut self,
        name: impl Into<String>,
        type_url: impl Into<String>,
        demand: Demand,
        make: impl Fn(&[u8]) -> Result<Arc<dyn Gate>, String> + Send + Sync + 'static,
    ) -> Self {
        self.own.insert(name.into(), Own { type_url: type_url.into(), demand, make: Arc::new(make) });
        self
    }

    /// Sets who knows the rate limit services.
    #[must_use]
    pub fn with_rate_limiters(mut self, services: Arc<dyn RateLimiters>) -> Self {
        self.services = services;
        self
    }

    /// Compiles the filters of a service, whose traffic runs in this direction, on `node`.
    ///
    /// # Errors
    /// Names the service, the filter and the reason: a name that nobody knows, a configuration that cannot be used.
    pub fn compile(
        &self,
        proxy: &MetaProtocolProxy,
        direction: TrafficDirection,
        node: &Node,
    ) -> Result<CompiledFilters, ConfigError> {
        let compile = |(index, filter): (usize, &Filter)| {
            self.compile_one(filter, direction, node).map_err(|error| {
                let path = format!("filters[{index}] {:?}", filter.name);
                let path = if error.0.is_empty() { path } else { format!("{path}.{}", error.0) };
                ConfigError::new(format!("service {:?}", proxy.stat_prefix), path, error.1)
            })
        };
        let filters = proxy.filters.iter().enumerate().map(compile).collect::<Result<Vec<_>, _>>()?;
        Ok(CompiledFilters { filters: filters.into_iter().flatten().collect() })
    }

    fn compile_one(
        &self,
        filter: &Filter,
        direction: TrafficDirection,
        node: &Node,
    ) -> Result<Option<Compiled>, Refusal> {
        let refuse = |error: ConfigError| Refusal(format!("config.{}", error.field()), error.reason().to_owned());
        Ok(Some(match &filter.config {
            FilterConfig::Router | FilterConfig::Unenforced => return Ok(None),
            FilterConfig::LocalRateLimit(config) => Compiled::Local(LocalLimit::compile(config).map_err(refuse)?),
            FilterConfig::GlobalRateLimit(config) => {
                let limit = Arc::new(GlobalLimit::compile(config).map_err(refuse)?);
                if self.services.find(&config.cluster).is_none() {
                    return Err(Refusal("config.cluster".to_owned(), unknown_service(&config.cluster)));
                }
                Compiled::Global(limit, Arc::clone(&self.services))
            }
            FilterConfig::Authorization(policies) => {
                Compiled::Authorization(Arc::new(Authorization::compile(policies).map_err(refuse)?))
            }
            FilterConfig::Fault(config) => Compiled::Faults(Arc::new(Faults::compile(config).map_err(refuse)?)),
            FilterConfig::Shed(config) => Compiled::Shed(Arc::new(Concurrency::new(config).map_err(refuse)?)),
            FilterConfig::MetadataExchange(config) => {
                Compiled::Exchange(ExchangeMetadata::new(*config, direction, node))
            }
            FilterConfig::RequestIds(config) => Compiled::RequestIds(IdentifyRequests::new(*config)),
            FilterConfig::Custom(bytes) => self.own(filter, bytes)?,
            _ => return Err(Refusal(String::new(), "this proxy does not know such a filter".to_owned())),
        }))
    }

    fn own(&self, filter: &Filter, bytes: &[u8]) -> Result<Compiled, Refusal> {
        let unknown = || Refusal(String::new(), "no filter is registered under this name".to_owned());
        let own = self.own.get(&filter.name).ok_or_else(unknown)?;
        if let Some(given) = filter.type_url.as_ref().filter(|given| **given != own.type_url) {
            return Err(Refusal("typeUrl".to_owned(), format!("must be {:?}, not {given:?}", own.type_url)));
        }
        let gate = (own.make)(bytes).map_err(|reason| Refusal("config".to_owned(), reason))?;
        Ok(Compiled::Own(gate, own.demand.clone()))
    }
}

impl Default for Filters {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filters").field("own", &self.own.keys()).field("services", &self.services).finish()
    }
}

/// What is said of a rate limit service that nobody knows.
pub(crate) fn unknown_service(cluster: &str) -> String {
    format!("there is no rate limit service {cluster:?}: no such cluster, or none with endpoints in plain text")
}

/// The field at fault, and why.
struct Refusal(String, String);

/// The filters of one service; their state is shared by all workers.
#[derive(Clone, Debug)]
pub struct CompiledFilters {
    filters: Vec<Compiled>,
}

#[derive(Clone, Debug)]
enum Compiled {
    Local(Arc<LocalLimit>),
    Global(Arc<GlobalLimit>, Arc<dyn RateLimiters>),
    Authorization(Arc<Authorization>),
    Faults(Arc<Faults>),
    Shed(Arc<Concurrency>),
    Exchange(ExchangeMetadata),
    RequestIds(IdentifyRequests),
    Own(Arc<dyn Gate>, Demand),
}

impl CompiledFilters {
    /// Returns every attribute that the filters look at.
    #[must_use]
    pub fn demand(&self) -> Demand {
        self.filters.iter().fold(Demand::none(), |demand, filter| demand.union(&filter.demand()))
    }

    /// Makes the gates of one worker, which count into `metrics`.
    #[must_use]
    pub fn gates(&self, wheel: &Wheel, metrics: &Arc<Metrics>) -> Vec<Arc<dyn Gate>> {
        self.filters.iter().map(|filter| filter.gate(wheel, metrics)).collect()
    }

    /// Lists the local rate limits, which count by themselves.
    pub fn local_limits(&self) -> impl Iterator<Item = &Arc<LocalLimit>> {
        self.filters.iter().filter_map(|filter| match filter {
            Compiled::Local(limit) => Some(limit),
            _ => None,
        })
    }
}

impl Compiled {
    fn demand(&self) -> Demand {
        match self {
            Self::Local(limit) => Demand::of(limit.keys()),
            Self::Global(limit, _) => Demand::of(limit.keys()),
            Self::Authorization(policies) => Demand::of(policies.keys()),
            Self::Faults(faults) => Demand::of(faults.keys()),
            Self::Shed(_) => Demand::none(),
            Self::Exchange(exchange) => exchange.demand(),
            Self::RequestIds(_) => Demand::of([REQUEST_ID]),
            Self::Own(_, demand) => demand.clone(),
        }
    }

    fn gate(&self, wheel: &Wheel, metrics: &Arc<Metrics>) -> Arc<dyn Gate> {
        let metrics = Arc::clone(metrics);
        match self {
            Self::Local(limit) => Arc::new(LimitLocally::new(Arc::clone(limit))),
            Self::Global(limit, services) => {
                Arc::new(LimitGlobally::new(Arc::clone(limit), Arc::clone(services), wheel.clone(), metrics))
            }
            Self::Authorization(policies) => Arc::new(Authorize::new(Arc::clone(policies), metrics)),
            Self::Faults(faults) => Arc::new(InjectFaults::new(Arc::clone(faults), wheel.clone(), metrics)),
            Self::Shed(concurrency) => Arc::new(ShedLoad::new(Arc::clone(concurrency), metrics)),
            Self::Exchange(exchange) => exchange.gate(metrics),
            Self::RequestIds(gate) => Arc::new(*gate),
            Self::Own(gate, _) => Arc::clone(gate),
        }
    }
}
