//! The service of a listener for a protocol of requests and responses.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    duration,
    error::{Checked, ensure},
    filter::{Filter, FilterConfig, FilterOrder},
    listener_limits::ListenerLimits,
    route::RouteConfig,
    stream::StreamTimeouts,
};

/// Serves connections that speak one protocol; `aeraki.meta_protocol_proxy.v1alpha.MetaProtocolProxy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct MetaProtocolProxy {
    /// Part of the name of every metric; not empty.
    pub stat_prefix: String,
    /// The protocol of its connections.
    pub protocol: ProtocolConfig,
    /// Where its routes come from.
    pub routes: RouteSource,
    /// Filters in decode order; none: the router alone.
    #[serde(default)]
    pub filters: Vec<Filter>,
    /// The order in which the filters see responses; default: that of the list, as upstream's proxy.
    #[serde(default)]
    pub response_order: FilterOrder,
    /// How long a connection may be idle: no request in flight and no byte either way; none: for ever. Not zero.
    #[serde(default, with = "duration::optional")]
    pub idle_timeout: Option<Duration>,
    /// How long streams may last, where their routes do not say.
    #[serde(default)]
    pub streams: StreamTimeouts,
    /// What one connection may take.
    #[serde(default)]
    pub limits: ListenerLimits,
}

impl MetaProtocolProxy {
    /// Creates a service without filters that goes by `stat_prefix` in metrics.
    pub fn new(stat_prefix: impl Into<String>, protocol: ProtocolConfig, routes: RouteSource) -> Self {
        Self {
            stat_prefix: stat_prefix.into(),
            protocol,
            routes,
            filters: Vec::new(),
            response_order: FilterOrder::default(),
            idle_timeout: None,
            streams: StreamTimeouts::default(),
            limits: ListenerLimits::default(),
        }
    }

    /// Adds a filter behind the ones that are there.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filters.push(filter);
        self
    }

    /// Sets the order in which the filters see responses.
    #[must_use]
    pub fn with_response_order(mut self, order: FilterOrder) -> Self {
        self.response_order = order;
        self
    }

    /// Sets how long a connection may be idle.
    #[must_use]
    pub fn with_idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = Some(idle_timeout);
        self
    }

    /// Sets how long streams may last, where their routes do not say.
    #[must_use]
    pub fn with_streams(mut self, timeouts: StreamTimeouts) -> Self {
        self.streams = timeouts;
        self
    }

    /// Sets what one connection may take.
    #[must_use]
    pub fn with_limits(mut self, limits: ListenerLimits) -> Self {
        self.limits = limits;
        self
    }

    pub(super) fn check(&self) -> Checked {
        ensure(!self.stat_prefix.is_empty(), "statPrefix", "must not be empty")?;
        ensure(!self.protocol.name.is_empty(), "protocol.name", "must not be empty")?;
        for (index, filter) in self.filters.iter().enumerate() {
            filter.check().map_err(|error| error.within(filter.path(index)))?;
        }
        let router = self.filters.iter().position(|filter| filter.config == FilterConfig::Router);
        if let Some((index, behind)) = router.and_then(|at| Some((at + 1, self.filters.get(at + 1)?))) {
            ensure(false, behind.path(index), "stands behind the router, which ends the list")?;
        }
        duration::check_optional(self.idle_timeout, "idleTimeout")?;
        self.streams.check().map_err(|error| error.within("streams"))?;
        self.limits.check().map_err(|error| error.within("limits"))?;
        self.routes.check().map_err(|error| error.within("routes"))
    }

    /// Names the first cluster that is meant and not there, and the field that means it.
    pub(super) fn check_clusters(&self, is_known: &dyn Fn(&str) -> bool) -> Checked {
        match &self.routes {
            RouteSource::Inline(config) => match config.clusters().find(|(.., name)| !is_known(name)) {
                Some((index, cluster)) => {
                    let path = format!("routes.inline.{}.action", config.routes[index].path(index));
                    ensure(false, path, unknown_cluster(cluster))
                }
                None => Ok(()),
            },
            RouteSource::Dynamic(RouteSubscription { origin: RouteOrigin::Cluster(cluster), .. }) => {
                ensure(is_known(cluster), "routes.dynamic.origin.cluster", unknown_cluster(cluster))
            }
            RouteSource::Dynamic(RouteSubscription { origin: RouteOrigin::File(_), .. }) => Ok(()),
        }
    }
}

/// What is said of a cluster that is not there.
pub(super) fn unknown_cluster(cluster: &str) -> String {
    format!("there is no cluster {cluster:?}")
}

/// A protocol and how it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct ProtocolConfig {
    /// Name in metrics and logs, for example `dubbo`; not empty.
    pub name: String,
    /// Name of the codec in the registry, for example `aeraki.meta_protocol.codec.dubbo`; none: the protocol's name.
    #[serde(default)]
    pub codec: Option<String>,
    /// Settings that the codec understands.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl ProtocolConfig {
    /// Creates a protocol whose codec goes by the same name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), codec: None, options: BTreeMap::new() }
    }

    /// Sets the codec's name.
    #[must_use]
    pub fn with_codec(mut self, codec: impl Into<String>) -> Self {
        self.codec = Some(codec.into());
        self
    }

    /// Sets one of the codec's options.
    #[must_use]
    pub fn with_option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(key.into(), value.into());
        self
    }

    /// Returns the name by which the codec is looked up.
    pub fn codec(&self) -> &str {
        self.codec.as_deref().unwrap_or(&self.name)
    }
}

/// Where the routes of a listener come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum RouteSource {
    /// From the listener itself.
    Inline(RouteConfig),
    /// From a control plane or a file, while the proxy runs.
    Dynamic(RouteSubscription),
}

impl RouteSource {
    /// Creates a subscription to the table `route_config_name` at the control plane behind `cluster`.
    pub fn dynamic(route_config_name: impl Into<String>, cluster: impl Into<String>) -> Self {
        Self::Dynamic(RouteSubscription::new(route_config_name, cluster))
    }

    fn check(&self) -> Checked {
        match self {
            Self::Inline(config) => config.check().map_err(|error| error.within("inline")),
            Self::Dynamic(subscription) => subscription.check().map_err(|error| error.within("dynamic")),
        }
    }
}

/// Which table is asked for, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct RouteSubscription {
    /// Name of the table there; not empty.
    pub route_config_name: String,
    /// Who has it.
    pub origin: RouteOrigin,
    /// How long the listener waits for its first table before it takes connections without one; default 15 s, at most
    /// 365 days, zero: for ever.
    #[serde(default = "default_initial_fetch_timeout", with = "duration")]
    pub initial_fetch_timeout: Duration,
}

impl RouteSubscription {
    /// Creates a subscription at the control plane behind `cluster` that waits 15 s for its first table.
    pub fn new(route_config_name: impl Into<String>, cluster: impl Into<String>) -> Self {
        Self::from(route_config_name, RouteOrigin::Cluster(cluster.into()))
    }

    /// Creates a subscription to a table in a file.
    pub fn in_file(route_config_name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self::from(route_config_name, RouteOrigin::File(path.into()))
    }

    fn from(route_config_name: impl Into<String>, origin: RouteOrigin) -> Self {
        let route_config_name = route_config_name.into();
        Self { route_config_name, origin, initial_fetch_timeout: default_initial_fetch_timeout() }
    }

    /// Sets how long the listener waits for its first table; zero: for ever.
    #[must_use]
    pub fn with_initial_fetch_timeout(mut self, timeout: Duration) -> Self {
        self.initial_fetch_timeout = timeout;
        self
    }

    fn check(&self) -> Checked {
        ensure(!self.route_config_name.is_empty(), "routeConfigName", "must not be empty")?;
        match &self.origin {
            RouteOrigin::Cluster(cluster) => ensure(!cluster.is_empty(), "origin.cluster", "must not be empty"),
            RouteOrigin::File(path) => ensure(!path.as_os_str().is_empty(), "origin.file", "must not be empty"),
        }?;
        duration::check_longest(self.initial_fetch_timeout, "initialFetchTimeout")
    }
}

/// Who has a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum RouteOrigin {
    /// A control plane (gRPC), by the name of its cluster; not empty.
    Cluster(String),
    /// A file, which is read again when it changes; not empty.
    File(PathBuf),
}

fn default_initial_fetch_timeout() -> Duration {
    Duration::from_secs(15)
}
