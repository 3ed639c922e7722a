//! The compiled route table.

use std::fmt;

use aeraki_codec::{Attributes, Demand};

use crate::{
    action::Route,
    compile::{Condition, Index, Probe, RuleSet, Slot},
};

/// An ordered list of routes, compiled so that the first one that matches a message is found without walking them.
pub struct RouteTable {
    name: Box<str>,
    keys: Box<[Box<str>]>,
    rules: RuleSet,
    routes: Box<[Route]>,
    index: Index,
}

impl RouteTable {
    pub(crate) fn new(name: &str, keys: Box<[Box<str>]>, rules: RuleSet, routes: Box<[Route]>, index: Index) -> Self {
        Self { name: name.into(), keys, rules, routes, index }
    }

    /// Returns the name of the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the first route, in the order of the configuration, all of whose conditions hold.
    ///
    /// Allocates nothing, apart from the states of regular expressions when traffic first needs them in a thread.
    #[inline]
    pub fn find<A: Attributes + ?Sized>(&self, attributes: &A) -> Option<&Route> {
        self.index.find(&self.rules, Probe::new(&self.keys, attributes)).map(|rule| &self.routes[rule])
    }

    /// Lists all routes in the order of the configuration.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Lists the keys that conditions look at, in lower case.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| &**key)
    }

    /// Returns every key that the table asks messages for: those of conditions and of hash policies.
    pub fn demand(&self) -> Demand {
        Demand::of(self.keys().chain(self.routes.iter().flat_map(Route::hash_keys)))
    }

    pub(crate) fn key(&self, slot: Slot) -> &str {
        &self.keys[slot as usize]
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = (&[Condition], &Route)> {
        self.rules.iter().zip(&self.routes)
    }
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteTable").field("name", &self.name).field("routes", &self.routes).finish_non_exhaustive()
    }
}
