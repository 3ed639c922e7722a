//! From configuration to a [`RouteTable`]: keys become slots, conditions become matchers, rules go into the index.

mod condition;
mod index;
mod keys;
mod regex;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use self::{
    condition::{Condition, Test},
    keys::KeyInterner,
    regex::FullRegex,
};
pub(crate) use self::{
    index::Index,
    keys::{Probe, Slot},
};
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

fn compile_rules(config: &RouteConfig, keys: &mut KeyInterner) -> Result<Vec<Rule>, FieldError> {
    let mut regexes = RegexPool::default();
    let mut rules = Vec::with_capacity(config.routes.len());
    for (index, route) in config.routes.iter().enumerate() {
        let conditions = route.matches.iter().enumerate().map(|(position, condition)| {
            Condition::compile(condition, keys, &mut regexes).map_err(|reason| {
                let path = route::condition_path(position, condition);
                FieldError::new("value", reason).within(path).within(route.path(index))
            })
        });
        rules.push(conditions.collect::<Result<_, _>>()?);
    }
    Ok(rules)
}

/// The conditions of one route, all of which must hold.
pub(crate) type Rule = Box<[Condition]>;

/// The compiled expressions of a table; a pattern that many routes share is compiled once.
#[derive(Debug, Default)]
pub(crate) struct RegexPool {
    compiled: HashMap<Box<str>, Arc<FullRegex>>,
}

impl RegexPool {
    /// Returns the test for `pattern`; an expression that only one value can match is no expression.
    fn test(&mut self, pattern: &str) -> Result<Test, String> {
        let entry = match self.compiled.entry(pattern.into()) {
            Entry::Occupied(known) => return Ok(Test::Regex(Arc::clone(known.get()))),
            Entry::Vacant(entry) => entry,
        };
        let hir = regex::parse(pattern)?;
        if let Some(literal) = regex::as_literal(&hir) {
            return Ok(Test::Exact(literal.into()));
        }
        Ok(Test::Regex(Arc::clone(entry.insert(FullRegex::new(pattern, &hir)?))))
    }
}
