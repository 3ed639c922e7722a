//! How the requests of a service are routed.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    duration,
    mutation::KeyValue,
    rate_limit::{GlobalRateLimit, LocalRateLimit},
    resilience::{Fault, Hedging, MirrorDestination, Retries},
    string_match::StringMatch,
};
use crate::object::{Object, Resource};

/// Routes and limits the requests of a service.
pub type MetaRouter = Object<MetaRouterSpec>;

/// Says how the requests of some hosts are routed and limited.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct MetaRouterSpec {
    /// The services that it applies to: full names, or short ones of the router's own namespace.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Gateways that it applies to as well, `name` or `namespace/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,
    /// The routes in order; the first one that matches is taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<MetaRoute>,
    /// Limits of all requests that each proxy keeps by itself; routes with limits of their own are exempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_rate_limit: Option<LocalRateLimit>,
    /// Limits of all requests that a rate limit service keeps; routes with limits of their own are exempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_rate_limit: Option<GlobalRateLimit>,
    /// Namespaces that see the router; `.` is its own, `*` or nothing is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub export_to: Vec<String>,
}

impl Resource for MetaRouterSpec {
    const GROUP: &'static str = "metaprotocol.aeraki.io";
    const VERSION: &'static str = "v1alpha1";
    const KIND: &'static str = "MetaRouter";
}

/// Says which requests go where, and what changes in them on the way.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct MetaRoute {
    /// A name for logs and statistics; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The requests it is for; none is all of them.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<MetaRouteMatch>,
    /// Where they go: one destination, or several whose weights sum up to 100.
    #[serde(default)]
    pub route: Vec<MetaRouteDestination>,
    /// Where a copy of them goes; its answers are discarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Destination>,
    /// The share of requests that is copied; 100 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror_percentage: Option<Percent>,
    /// Where further copies go, instead of `mirror`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<MirrorDestination>,
    /// How long an answer may take; where absent, there is no limit.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Attributes in which callers say how many milliseconds they wait, at most 10; those of Dubbo are `_TO` and
    /// `timeout`. The first one that is there bounds the answer as `timeout` does, and is passed on as what is left of
    /// it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caller_timeouts: Vec<String>,
    /// The attribute in which a caller says which endpoint it wants, as `address:port`; it gets another one where that
    /// is not there or not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_host: Option<String>,
    /// Which failures are tried again; where absent, none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// What happens to tries that take long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedging: Option<Hedging>,
    /// Faults on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Limits of this route that each proxy keeps by itself, instead of the router's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_rate_limit: Option<LocalRateLimit>,
    /// Limits of this route that a rate limit service keeps, instead of the router's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_rate_limit: Option<GlobalRateLimit>,
    /// Changes of requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_mutation: Vec<KeyValue>,
    /// Changes of responses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_mutation: Vec<KeyValue>,
}

/// Holds the conditions of a route; all of them must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct MetaRouteMatch {
    /// What is asked of each attribute, by the attribute's name.
    #[serde(default)]
    pub attributes: BTreeMap<String, StringMatch>,
}

/// Names a destination and its share of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct MetaRouteDestination {
    /// Where the requests go.
    pub destination: Destination,
    /// The share in percent; without meaning where there is one destination.
    #[serde(default)]
    pub weight: u32,
}

/// Names a service, and possibly a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Destination {
    /// The service: a full name, or a short one of the router's own namespace.
    pub host: String,
    /// A subset that the service's DestinationRule declares; empty is the whole service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subset: String,
    /// The service's port; where absent, the port that the request came for, or the only port there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortSelector>,
}

/// Names a port by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct PortSelector {
    /// 1 to 65535; 0 is as good as absent.
    #[serde(default)]
    pub number: u32,
}

/// Holds a share in percent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Percent {
    /// 0 to 100.
    #[serde(default)]
    pub value: f64,
}
