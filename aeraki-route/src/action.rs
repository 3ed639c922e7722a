//! What happens to a message whose route is known.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use aeraki_codec::Attributes;
use foldhash::fast::RandomState;

use crate::{
    RouteTable,
    changes::Changes,
    config::{self, Mirror, RoutingPriority, StreamTimeouts, error::FieldError},
    placement::Placement,
    places::{Place, Places},
    policy::{PolicyCompiler, Retries, RoutePolicies},
    targets::Targets,
};

/// A compiled route: everything about it that does not depend on how it was found.
#[derive(Debug)]
pub struct Route {
    index: usize,
    name: Arc<str>,
    targets: Targets,
    priority: RoutingPriority,
    mirrors: Box<[Arc<MirrorTarget>]>,
    request_changes: Option<Arc<Changes>>,
    response_changes: Option<Arc<Changes>>,
    timeout: Option<Duration>,
    caller_timeouts: Box<[Arc<str>]>,
    policies: Option<Arc<RoutePolicies>>,
    retries: Option<Arc<Retries>>,
    streams: Option<Arc<StreamTimeouts>>,
}

/// A mirror, and how many copies are under way to it.
#[derive(Debug)]
pub struct MirrorTarget {
    config: Mirror,
    active: Places,
}

impl MirrorTarget {
    fn new(config: Mirror) -> Self {
        Self { config, active: Places::default() }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Mirror {
        &self.config
    }

    /// Begins a copy, which goes on as long as the place is kept; none where as many are under way as may be.
    pub fn begin(&self) -> Option<Place> {
        self.active.take(self.config.max_active)
    }
}

impl Route {
    /// Returns the position of the route in its configuration.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns the name of the route; may be empty.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Picks a cluster in proportion to the weights; `draw` is a uniformly random number, drawn once per message.
    #[inline]
    pub fn pick(&self, draw: u64) -> &Arc<str> {
        self.targets.pick(draw)
    }

    /// Lists the clusters that [`pick`](Self::pick) chooses from, each with its weight.
    pub fn clusters(&self) -> impl Iterator<Item = (&Arc<str>, u32)> {
        self.targets.clusters()
    }

    /// Tells which endpoint of the cluster that was [picked](Self::pick) by `draw` a message from `source` should go
    /// to: by the attributes of the hash policy, the one in which the client names an endpoint, and metadata.
    ///
    /// The hash is the one that Envoy computes from headers of these values: XXH64 with seed 0 of each, joined in the
    /// order of the policy. None, the usual case: it does not matter.
    #[inline]
    pub fn place<A: Attributes + ?Sized>(&self, attributes: &A, source: IpAddr, draw: u64) -> Option<Placement> {
        self.targets.place(attributes, source, draw)
    }

    /// Returns how urgent messages are.
    pub const fn priority(&self) -> RoutingPriority {
        self.priority
    }

    /// Lists the attributes by which messages are placed.
    pub(crate) fn placement_keys(&self) -> impl Iterator<Item = &str> {
        self.targets.keys()
    }

    /// Returns the clusters that get a copy, each drawn for on its own.
    pub fn mirrors(&self) -> &[Arc<MirrorTarget>] {
        &self.mirrors
    }

    /// Returns the changes of requests; none: nothing changes.
    pub fn request_changes(&self) -> Option<&Arc<Changes>> {
        self.request_changes.as_ref()
    }

    /// Returns the changes of responses; none: nothing changes.
    pub fn response_changes(&self) -> Option<&Arc<Changes>> {
        self.response_changes.as_ref()
    }

    /// Lists the attributes of requests that the changes look at.
    pub(crate) fn change_keys(&self) -> impl Iterator<Item = &str> {
        let (request, response) = (self.request_changes.iter(), self.response_changes.iter());
        let sources = request.clone().chain(response).flat_map(|changes| changes.sources());
        sources.chain(request.flat_map(|changes| changes.targets()))
    }

    /// Returns how long a response may take from the moment the whole request is here; `None`: no limit.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Returns the attribute of a message in which its caller says how long it waits, and that time: the first that
    /// holds one, else the first that is there, without a time. None where no caller is asked, or this one does not
    /// say.
    pub fn caller_timeout<A: Attributes + ?Sized>(&self, message: &A) -> Option<(&Arc<str>, Option<Duration>)> {
        let said = self.caller_timeouts.iter().filter_map(|name| Some((name, time(message.attr(name)?))));
        said.min_by_key(|(_, time)| time.is_none())
    }

    /// Lists the attributes in which callers say how long they wait.
    pub(crate) fn caller_timeout_keys(&self) -> impl Iterator<Item = &str> {
        self.caller_timeouts.iter().map(|name| &**name)
    }

    /// Decides about further tries of its messages; none: there are none.
    pub fn retries(&self) -> Option<&Arc<Retries>> {
        self.retries.as_ref()
    }

    /// Returns how long its streams may last; none: as the listener says.
    pub fn streams(&self) -> Option<&Arc<StreamTimeouts>> {
        self.streams.as_ref()
    }

    /// Returns what else may happen to its messages; none: nothing.
    pub fn policies(&self) -> Option<&Arc<RoutePolicies>> {
        self.policies.as_ref()
    }
}

/// Reads milliseconds, of which longer than 49 days is no time to wait for an answer.
fn time(text: &[u8]) -> Option<Duration> {
    let milliseconds = std::str::from_utf8(text).ok()?.parse::<u32>().ok()?;
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds.into()))
}

/// Files routes under their names; an empty name, or one that several have, tells nobody apart.
fn by_name(routes: &[Route]) -> HashMap<&str, Option<&Route>, RandomState> {
    let mut named = HashMap::default();
    for route in routes.iter().filter(|route| !route.name.is_empty()) {
        match named.entry(&**route.name()) {
            Entry::Vacant(entry) => _ = entry.insert(Some(route)),
            Entry::Occupied(mut entry) => _ = entry.insert(None),
        }
    }
    named
}

/// Makes a mirror, or goes on with an equal one that the route had, which may have copies under way.
fn mirror_after(mirror: &Mirror, previous: Option<&Route>) -> Arc<MirrorTarget> {
    let same = previous.into_iter().flat_map(Route::mirrors).find(|old| old.config == *mirror);
    same.map_or_else(|| Arc::new(MirrorTarget::new(mirror.clone())), Arc::clone)
}

/// Compiles the routes of one table, which share names.
pub(crate) struct ActionCompiler<'a> {
    names: HashSet<Arc<str>, RandomState>,
    /// The routes of the table before, by their names; those whose name says nothing are left out.
    previous: HashMap<&'a str, Option<&'a Route>, RandomState>,
    policies: PolicyCompiler,
}

impl<'a> ActionCompiler<'a> {
    /// Makes a compiler; policies go on with the state that they had in `previous`.
    pub(crate) fn new(previous: Option<&'a RouteTable>) -> Self {
        let routes = previous.map_or(&[][..], RouteTable::routes);
        let policies = PolicyCompiler::after(routes.iter().filter_map(|route| route.policies.as_deref()));
        Self { names: HashSet::default(), previous: by_name(routes), policies }
    }

    /// Compiles the route at `index`, which has been validated.
    pub(crate) fn compile(&mut self, index: usize, route: &config::Route) -> Result<Route, FieldError> {
        // of several routes of one name, only the first goes on
        let previous = self.previous.remove(&*route.name).flatten();
        let old_policies = previous.and_then(|old| old.policies.as_deref());
        let policies = self.policies.compile(route, old_policies);
        let policies = policies.map_err(|error| error.within(route.path(index)))?;
        let retries = |policy| Retries::build_after(policy, route.action.hedge, previous.and_then(|old| old.retries()));
        Ok(Route {
            index,
            name: route.name.as_str().into(),
            targets: Targets::with_names(&route.action, |name| self.name(name)),
            priority: route.action.priority,
            mirrors: route.action.mirrors.iter().map(|mirror| mirror_after(mirror, previous)).collect(),
            request_changes: Changes::compile(&route.request_mutation),
            response_changes: Changes::compile(&route.response_mutation),
            timeout: route.action.timeout,
            caller_timeouts: route.action.caller_timeouts.iter().map(|name| self.name(name)).collect(),
            policies,
            retries: route.action.retry.as_ref().map(retries),
            streams: (route.action.streams != StreamTimeouts::default()).then(|| route.action.streams.into()),
        })
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }
}
