//! From configuration to a [`RouteTable`]: keys become slots, conditions become matchers, rules go into the index.

mod condition;
mod index;
mod keys;
mod matcher;
mod regex;
mod rule_set;

pub(crate) use self::{condition::Condition, matcher::Matcher};
use self::{
    index::Index,
    keys::{Probe, Slot},
    rule_set::RuleSet,
};
use crate::{
    RouteTable,
    action::ActionCompiler,
    config::{ConfigError, RouteConfig, route},
};

impl RouteTable {
    /// Compiles a table; either all of it is usable or nothing is.
    ///
    /// # Errors
    ///
    /// Names the configuration, the route, the key and the reason: whatever [`RouteConfig::validate`] refuses, and
    /// regular expressions that are malformed or too large.
    pub fn compile(config: &RouteConfig) -> Result<Self, ConfigError> {
        Self::compile_after(config, None)
    }

    /// Compiles a table that goes on with the limits of `previous` where a route of the same name has the same ones.
    ///
    /// # Errors
    ///
    /// As [`compile`](Self::compile).
    pub fn compile_after(config: &RouteConfig, previous: Option<&Self>) -> Result<Self, ConfigError> {
        config.validate()?;
        let refuse = |error: crate::config::error::FieldError| error.of(route::KIND, &config.name);
        let matches = config.routes.iter().map(|route| route.matches.as_slice());
        let matcher = Matcher::compile(matches, |index| config.routes[index].path(index)).map_err(refuse)?;
        let mut actions = ActionCompiler::new(previous);
        let routes = config.routes.iter().enumerate().map(|(index, route)| actions.compile(index, route));
        let routes = routes.collect::<Result<_, _>>().map_err(refuse)?;
        Ok(Self::new(&config.name, matcher, routes))
    }
}
