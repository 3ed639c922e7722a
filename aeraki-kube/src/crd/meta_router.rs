//! How the requests of a service are routed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    rate_limit::{GlobalRateLimit, LocalRateLimit},
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
    /// Limits that each server keeps by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_rate_limit: Option<LocalRateLimit>,
    /// Limits that a rate limit service keeps for all servers.
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
    /// Attributes set in requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_mutation: Vec<KeyValue>,
    /// Attributes set in responses.
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

/// Holds an attribute's name and the value that it gets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct KeyValue {
    /// The attribute's name.
    #[serde(default)]
    pub key: String,
    /// Its new value.
    #[serde(default)]
    pub value: String,
}
