//! The compiled route table.

use std::fmt;

use aeraki_codec::{Attributes, Demand};

use crate::{
    action::Route,
    compile::{Condition, Matcher},
};

/// An ordered list of routes, compiled so that the first one that matches a message is found without walking them.
pub struct RouteTable {
    name: Box<str>,
    matcher: Matcher,
    routes: Box<[Route]>,
}

impl RouteTable {
    pub(crate) fn new(name: &str, matcher: Matcher, routes: Box<[Route]>) -> Self {
        Self { name: name.into(), matcher, routes }
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
        self.matcher.find(attributes).map(|rule| &self.routes[rule])
    }

    /// Lists all routes in the order of the configuration.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Lists the keys that conditions look at, in lower case.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.matcher.keys()
    }

    /// Returns every key that the table asks messages for: those of conditions, hash policies, changes and policies.
    pub fn demand(&self) -> Demand {
        let policies = self.routes.iter().filter_map(Route::policies).flat_map(|policies| policies.keys());
        let hops = self.routes.iter().any(|route| route.retries().is_some()).then_some(RETRY_HOPS);
        let of_routes = self.routes.iter().flat_map(|route| route.placement_keys().chain(route.change_keys()));
        let of_callers = self.routes.iter().flat_map(Route::caller_timeout_keys);
        Demand::of(self.keys().chain(of_routes).chain(of_callers).chain(policies).chain(hops))
    }

    pub(crate) fn key(&self, condition: &Condition) -> &str {
        self.matcher.key(condition.slot)
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = (&[Condition], &Route)> {
        self.matcher.rules().zip(&self.routes)
    }
}

/// The attribute in which proxies count how often a request was tried again on its way, so that proxies behind each
/// other do not multiply their tries. A client that sends it speaks for its own requests; where clients are not
/// believed, the route removes it.
pub const RETRY_HOPS: &str = "x-aeraki-retries";

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteTable").field("name", &self.name).field("routes", &self.routes).finish_non_exhaustive()
    }
}
