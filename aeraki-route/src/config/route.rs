//! Routes: which messages match, and what is changed in them.

use serde::{Deserialize, Serialize};

use super::{
    action::RouteAction,
    error::{Checked, ConfigError, FieldError, ensure},
    matches::AttributeMatch,
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
    /// The first fault: no route at all, a route without destination, weights that sum up to 0 or overflow, an empty key,
    /// a text beyond 16 384 bytes, too many entries, a timeout of zero.
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

    /// Returns the path of this route, the one at `index`, in error texts.
    pub(crate) fn path(&self, index: usize) -> String {
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
        check_mutation(&self.request_mutation, "requestMutation")?;
        check_mutation(&self.response_mutation, "responseMutation")
    }
}

/// One change of a message's attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum MutationEntry {
    /// Sets the attribute, replacing a value that is there.
    Set {
        /// Name of the attribute, 1 to 16 384 bytes.
        key: String,
        /// Its new value, at most 16 384 bytes.
        value: String,
    },
    /// Removes the attribute if it is there.
    Remove {
        /// Name of the attribute, 1 to 16 384 bytes.
        key: String,
    },
}

impl MutationEntry {
    /// Creates an entry that sets `key` to `value`.
    pub fn set(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Set { key: key.into(), value: value.into() }
    }

    /// Creates an entry that removes `key`.
    pub fn remove(key: impl Into<String>) -> Self {
        Self::Remove { key: key.into() }
    }

    fn check(&self) -> Checked {
        let (key, value) = match self {
            Self::Set { key, value } => (key, value.as_str()),
            Self::Remove { key } => (key, ""),
        };
        let most = MAX_TEXT_BYTES;
        ensure((1..=most).contains(&key.len()), "key", format_args!("must have 1 to {most} bytes"))?;
        ensure(value.len() <= most, "value", format_args!("must not exceed {most} bytes"))
    }
}

/// Returns the path of a condition, the one at `index`, inside its route in error texts.
pub(crate) fn condition_path(index: usize, condition: &AttributeMatch) -> String {
    format!("matches[{index}] (key {:?})", condition.key)
}

fn check_mutation(entries: &[MutationEntry], field: &str) -> Checked {
    let most = MAX_MUTATIONS;
    ensure(entries.len() <= most, field, format_args!("must not hold more than {most} entries"))?;
    let mut entries = entries.iter().enumerate();
    entries.try_for_each(|(index, entry)| entry.check().map_err(|e: FieldError| e.within(format!("{field}[{index}]"))))
}

/// What a [`RouteConfig`] is called in error texts.
pub(crate) const KIND: &str = "route configuration";
// Limits of aeraki.meta_protocol_proxy.config.route.v1alpha.
const MAX_MUTATIONS: usize = 1000;
const MAX_TEXT_BYTES: usize = 16_384;
