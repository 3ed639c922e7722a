//! Routes: which messages match, and what is changed in them.

use serde::{Deserialize, Serialize};

use super::{
    action::RouteAction,
    error::{Checked, ConfigError, ensure},
    matches::AttributeMatch,
    mutation::{self, MutationEntry},
    policy::{AuthorizationPolicy, Fault, GlobalRateLimit, LocalRateLimit},
};

/// An ordered list of routes; the first one that matches a message wins.
///
/// What MetaRDS carries as an `envoy.config.route.v3.RouteConfiguration` with one virtual host, and what a listener
/// carries inline as `aeraki.meta_protocol_proxy.config.route.v1alpha.RouteConfiguration`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct RouteConfig {
    /// Name by which listeners ask for it; may be empty inline.
    #[serde(default)]
    pub name: String,
    /// The routes in order of precedence; at least one.
    pub routes: Vec<Route>,
}

impl RouteConfig {
    /// Creates a table of `routes` in order of precedence.
    pub fn new(name: impl Into<String>, routes: impl IntoIterator<Item = Route>) -> Self {
        Self { name: name.into(), routes: routes.into_iter().collect() }
    }

    /// Checks everything but the regular expressions, which [`RouteTable::compile`](crate::RouteTable::compile) adds.
    ///
    /// # Errors
    ///
    /// The first fault: no route at all, a route without destination, weights that sum up to 0 or overflow, an empty
    /// key, a text beyond 16 384 bytes, too many entries, a timeout of zero.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check().map_err(|error| error.of(KIND, &self.name))
    }

    /// Lists the clusters that a message may be sent to, mirrors included, each with the position of its route.
    pub fn clusters(&self) -> impl Iterator<Item = (usize, &str)> {
        let routes = self.routes.iter().enumerate();
        routes.flat_map(|(index, route)| route.action.clusters().map(move |cluster| (index, cluster)))
    }

    pub(crate) fn check(&self) -> Checked {
        ensure(!self.routes.is_empty(), "routes", "must hold at least one route")?;
        self.routes
            .iter()
            .enumerate()
            .try_for_each(|(index, route)| route.check().map_err(|error| error.within(route.path(index))))
    }
}

/// One rule: conditions, where a matching message goes, and what is changed in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct Route {
    /// Name in logs, errors and explanations; may be empty.
    #[serde(default)]
    pub name: String,
    /// Conditions that must all hold; none: every message matches.
    #[serde(default)]
    pub matches: Vec<AttributeMatch>,
    /// Where a matching message goes.
    pub action: RouteAction,
    /// Changes of the request's attributes, at most 1000.
    #[serde(default)]
    pub request_mutation: Vec<MutationEntry>,
    /// Changes of the response's attributes, at most 1000.
    #[serde(default)]
    pub response_mutation: Vec<MutationEntry>,
    /// Who may send messages by this route; none: everybody.
    #[serde(default)]
    pub authorization: Vec<AuthorizationPolicy>,
    /// A limit of this route's messages by the proxy itself, besides the listener's.
    #[serde(default)]
    pub local_rate_limit: Option<LocalRateLimit>,
    /// A limit of this route's messages by a rate limit service, besides the listener's.
    #[serde(default)]
    pub global_rate_limit: Option<GlobalRateLimit>,
    /// Faults on purpose.
    #[serde(default)]
    pub fault: Option<Fault>,
}

impl Route {
    /// Creates a route that sends every message by `action`.
    pub fn new(name: impl Into<String>, action: RouteAction) -> Self {
        Self { name: name.into(), action, ..Self::default() }
    }

    /// Adds a condition.
    #[must_use]
    pub fn with_match(mut self, condition: AttributeMatch) -> Self {
        self.matches.push(condition);
        self
    }

    /// Adds a change of the request.
    #[must_use]
    pub fn with_request_mutation(mut self, entry: MutationEntry) -> Self {
        self.request_mutation.push(entry);
        self
    }

    /// Adds a change of the response.
    #[must_use]
    pub fn with_response_mutation(mut self, entry: MutationEntry) -> Self {
        self.response_mutation.push(entry);
        self
    }

    /// Adds a policy of who may send messages.
    #[must_use]
    pub fn with_authorization(mut self, policy: AuthorizationPolicy) -> Self {
        self.authorization.push(policy);
        self
    }

    /// Sets a limit by the proxy itself.
    #[must_use]
    pub fn with_local_rate_limit(mut self, limit: LocalRateLimit) -> Self {
        self.local_rate_limit = Some(limit);
        self
    }

    /// Sets a limit by a rate limit service.
    #[must_use]
    pub fn with_global_rate_limit(mut self, limit: GlobalRateLimit) -> Self {
        self.global_rate_limit = Some(limit);
        self
    }

    /// Sets faults on purpose.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Returns the path of this route, the one at `index`, in error texts.
    pub fn path(&self, index: usize) -> String {
        match self.name.as_str() {
            "" => format!("routes[{index}]"),
            name => format!("routes[{index}] {name:?}"),
        }
    }

    fn check(&self) -> Checked {
        for (index, condition) in self.matches.iter().enumerate() {
            condition.check().map_err(|error| error.within(condition_path(index, condition)))?;
        }
        self.action.check().map_err(|error| error.within("action"))?;
        mutation::check(&self.request_mutation, "requestMutation")?;
        mutation::check(&self.response_mutation, "responseMutation")?;
        self.check_policies()
    }

    fn check_policies(&self) -> Checked {
        for (index, policy) in self.authorization.iter().enumerate() {
            policy.check().map_err(|error| error.within(policy.path(index)))?;
        }
        if let Some(limit) = &self.local_rate_limit {
            limit.check().map_err(|error| error.within("localRateLimit"))?;
        }
        if let Some(limit) = &self.global_rate_limit {
            limit.check().map_err(|error| error.within("globalRateLimit"))?;
        }
        self.fault.as_ref().map_or(Ok(()), |fault| fault.check().map_err(|error| error.within("fault")))
    }
}

/// Returns the path of a condition, the one at `index`, inside its route in error texts.
pub(crate) fn condition_path(index: usize, condition: &AttributeMatch) -> String {
    format!("matches[{index}] (key {:?})", condition.key)
}

/// What a [`RouteConfig`] is called in error texts.
pub(crate) const KIND: &str = "route configuration";
