//! Who may ask for what.

use std::collections::BTreeMap;

use aeraki_route::config::AuthorizationAction;
use serde::{Deserialize, Serialize};

use crate::object::{Object, Resource};

/// Allows or denies requests to the services of its namespace, whatever their protocol.
pub type MetaAuthorizationPolicy = Object<MetaAuthorizationPolicySpec>;

/// Allows or denies requests to the Dubbo services of its namespace.
pub type DubboAuthorizationPolicy = Object<DubboAuthorizationPolicySpec>;

/// Says which requests are allowed or denied.
///
/// Policies that deny come first. Where there are policies that allow, a request must match one of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct MetaAuthorizationPolicySpec {
    /// The services that it applies to, all of its own namespace; none, or `*`, is every one of them. No other
    /// patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// What happens to requests that match; `ALLOW` where absent.
    #[serde(default)]
    pub action: AuthorizationAction,
    /// Whether the decision is only counted and recorded.
    #[serde(default)]
    pub dry_run: bool,
    /// One of them must match. Without rules nothing does, so that a policy that allows, alone, denies everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<AuthorizationRule>,
}

impl Resource for MetaAuthorizationPolicySpec {
    const GROUP: &'static str = "metaprotocol.aeraki.io";
    const VERSION: &'static str = "v1alpha1";
    const KIND: &'static str = "MetaAuthorizationPolicy";
}

/// Says which requests are allowed or denied, as [`MetaAuthorizationPolicySpec`] does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct DubboAuthorizationPolicySpec {
    /// One of them must match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<AuthorizationRule>,
    /// What happens to requests that match; `ALLOW` where absent.
    #[serde(default)]
    pub action: AuthorizationAction,
}

impl Resource for DubboAuthorizationPolicySpec {
    const GROUP: &'static str = "dubbo.aeraki.io";
    const VERSION: &'static str = "v1alpha1";
    const KIND: &'static str = "DubboAuthorizationPolicy";
}

/// Matches a request from one of the sources to one of the operations; an empty list is any.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct AuthorizationRule {
    /// Where the request comes from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<AuthorizationFrom>,
    /// What it asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<AuthorizationTo>,
}

/// Holds a source, as Istio nests it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct AuthorizationFrom {
    /// The source.
    pub source: AuthorizationSource,
}

/// Says where a request comes from; all that is said must hold.
///
/// Entries are a text, a prefix `abc*`, a suffix `*abc`, or `*`, any value that is there. One entry of a list must
/// match, and none of its `not…` list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AuthorizationSource {
    /// Identities such as `cluster.local/ns/shop/sa/web`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<String>,
    /// Identities that it must not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_principals: Vec<String>,
    /// Namespaces of the identity.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Namespaces that it must not be of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_namespaces: Vec<String>,
    /// Trust domains of the identity.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trust_domains: Vec<String>,
    /// Trust domains that it must not be of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_trust_domains: Vec<String>,
    /// Addresses and networks such as `10.0.0.0/8`; no patterns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_blocks: Vec<String>,
    /// Addresses and networks that it must not be in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_ip_blocks: Vec<String>,
    /// Ports of the client, 1 to 65535.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u32>,
    /// Ports that the client must not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_ports: Vec<u32>,
}

/// Holds an operation, as Istio nests it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct AuthorizationTo {
    /// The operation.
    pub operation: AuthorizationOperation,
}

/// Says what a request asks for; all that is said must hold. Entries are as in [`AuthorizationSource`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AuthorizationOperation {
    /// Values of the attribute `interface`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// Values that `interface` must not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_interfaces: Vec<String>,
    /// Values of the attribute `method`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Values that `method` must not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_methods: Vec<String>,
    /// What other attributes must be, by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, AttributeValues>,
    /// Ports of the proxy that the client connected to, or meant where its connection was redirected, 1 to 65535.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u32>,
    /// Ports that it must not have connected to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_ports: Vec<u32>,
    /// Addresses that the client connected to, or meant where its connection was redirected, and networks such as
    /// `10.0.0.0/8`; no patterns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destination_ip_blocks: Vec<String>,
    /// Addresses and networks that it must not have connected to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_destination_ip_blocks: Vec<String>,
}

/// Says what an attribute must be. Entries are as in [`AuthorizationSource`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AttributeValues {
    /// One of them must match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// None of them may match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_values: Vec<String>,
}
