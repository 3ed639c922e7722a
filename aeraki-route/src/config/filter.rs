//! The filters of a listener.

use serde::{Deserialize, Serialize};

use super::{
    error::{Checked, ensure},
    policy::{AuthorizationPolicy, Fault, GlobalRateLimit, LocalRateLimit, MetadataExchange, RequestIds, Shed},
};

/// A layer-7 filter that a listener asks for; `aeraki.meta_protocol_proxy.v1alpha.MetaProtocolFilter`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Filter {
    /// Registered name, for example `aeraki.meta_protocol.filters.router`; not empty.
    pub name: String,
    /// Type URL of its configuration; none: all defaults.
    #[serde(default)]
    pub type_url: Option<String>,
    /// What it does.
    pub config: FilterConfig,
}

impl Filter {
    /// Creates a filter.
    pub fn new(name: impl Into<String>, config: FilterConfig) -> Self {
        Self { name: name.into(), type_url: None, config }
    }

    /// Creates a filter that the proxy knows but does not enforce.
    pub fn unenforced(name: impl Into<String>) -> Self {
        Self::new(name, FilterConfig::Unenforced)
    }

    /// Sets the type URL of the filter's configuration.
    #[must_use]
    pub fn with_type_url(mut self, type_url: impl Into<String>) -> Self {
        self.type_url = Some(type_url.into());
        self
    }

    /// Tells whether the proxy does what the filter asks for.
    pub fn is_enforced(&self) -> bool {
        !matches!(self.config, FilterConfig::Unenforced)
    }

    /// Returns the path of this filter, the one at `index`, in error texts.
    pub(super) fn path(&self, index: usize) -> String {
        format!("filters[{index}] {:?}", self.name)
    }

    pub(super) fn check(&self) -> Checked {
        ensure(!self.name.is_empty(), "name", "must not be empty")?;
        let checked = match &self.config {
            FilterConfig::LocalRateLimit(limit) => limit.check(),
            FilterConfig::GlobalRateLimit(limit) => limit.check(),
            FilterConfig::Fault(fault) => fault.check(),
            FilterConfig::Shed(shed) => shed.check(),
            FilterConfig::Authorization(policies) => {
                let mut policies = policies.iter().enumerate();
                policies.try_for_each(|(index, policy)| policy.check().map_err(|e| e.within(policy.path(index))))
            }
            FilterConfig::Router
            | FilterConfig::MetadataExchange(_)
            | FilterConfig::RequestIds(_)
            | FilterConfig::Custom(_)
            | FilterConfig::Unenforced => Ok(()),
        };
        checked.map_err(|error| error.within("config"))
    }
}

/// What a [`Filter`] does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum FilterConfig {
    /// Forwards the request; the proxy always does, behind all other filters.
    Router,
    /// Limits requests by itself.
    LocalRateLimit(Box<LocalRateLimit>),
    /// Asks a rate limit service.
    GlobalRateLimit(Box<GlobalRateLimit>),
    /// Allows or denies requests.
    Authorization(Vec<AuthorizationPolicy>),
    /// Delays and ends requests on purpose.
    Fault(Box<Fault>),
    /// Refuses requests while too many are under way.
    Shed(Shed),
    /// Tells proxies on which node the other is.
    MetadataExchange(MetadataExchange),
    /// Gives every request an id.
    RequestIds(RequestIds),
    /// What an embedder has registered under the filter's name makes of these bytes, the value of the type URL.
    Custom(Vec<u8>),
    /// Nothing: the proxy knows the filter and has not built it. It is named, never hidden.
    Unenforced,
}

/// The order in which filters see responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum FilterOrder {
    /// That of the list, in which they saw the request.
    #[default]
    AsListed,
    /// The last one first.
    Reversed,
}
