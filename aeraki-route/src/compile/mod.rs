//! From configuration to a [`RouteTable`]: keys become slots, conditions become matchers, rules go into the index.

mod condition;
mod index;
mod keys;
mod regex;
mod rule_set;

use smallvec::SmallVec;

pub(crate) use self::{
    condition::Condition,
    index::Index,
    keys::{Probe, Slot},
    rule_set::RuleSet,
};
use self::{keys::KeyInterner, regex::RegexPool};
use crate::{
    RouteTable,
    action::ActionCompiler,
    config::{ConfigError, RouteConfig, error::FieldError, route},
};

impl RouteTable {
    /// Compiles a table; either all of it is usable or nothing is.
    ///
    /// # Errors
    ///
    /// Names the configuration, the route, the key and the reason: whatever [`RouteConfig::validate`] refuses, and
    /// regular expressions that are malformed or too large.
    pub fn compile(config: &RouteConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut keys = KeyInterner::default();
        let rules = compile_rules(config, &mut keys).map_err(|error| error.of(route::KIND, &config.name))?;
        let mut actions = ActionCompiler::default();
        let routes = config.routes.iter().enumerate().map(|(index, route)| actions.compile(index, route)).collect();
        let index = Index::build(&rules);
        Ok(Self::new(&config.name, keys.into_keys(), rules, routes, index))
    }
}

fn compile_rules(config: &RouteConfig, keys: &mut KeyInterner) -> Result<RuleSet, FieldError> {
    let mut regexes = RegexPool::default();
    let mut rules = RuleSet::default();
    for (index, route) in config.routes.iter().enumerate() {
        let conditions = route.matches.iter().enumerate().map(|(position, condition)| {
            Condition::compile(condition, keys, &mut regexes).map_err(|reason| {
                let path = route::condition_path(position, condition);
                FieldError::new("value", reason).within(path).within(route.path(index))
            })
        });
        rules.push(conditions.collect::<Result<SmallVec<[_; 4]>, _>>()?);
    }
    Ok(rules)
}
