//! The route tables of a proxy, and what their users ask of them: that protocols and clusters can do what routes ask
//! for.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, Mutex},
};

use aeraki_codec::{Carries, Demand, Protocol};
use aeraki_route::{
    Rules, SharedRules,
    config::{AbortWith, ConfigError, Fault, Route, RouteConfig, RouteSource},
};

use super::service::{FoundRpc, Place};
use crate::{
    stack::{RateLimiters, unknown_service},
    sync::lock,
};

/// The tables that services subscribe to, each once, however many services it has.
pub(super) struct Tables<'a> {
    dynamic: BTreeMap<String, (Users, Option<Arc<SharedRules>>)>,
    services: Arc<dyn RateLimiters>,
    /// What the tables of the configuration before have been warned of.
    before: &'a Warnings,
    warnings: Warnings,
}

/// What each table of a configuration has been warned of.
#[derive(Clone, Debug, Default)]
pub(super) struct Warnings(BTreeMap<Table, Warned>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    /// Of the service at this place.
    Inline(Place),
    Dynamic(String),
}

/// The codecs that a table has been warned of and would be again, since not all of their messages can carry its
/// changes.
type Warned = Arc<Mutex<BTreeSet<String>>>;

/// The services that use a table, any of which may refuse it.
#[derive(Clone, Debug)]
struct Users {
    demand: Demand,
    protocols: Vec<Arc<dyn Protocol>>,
    services: Arc<dyn RateLimiters>,
    warned: Warned,
}

impl Warnings {
    /// Returns what a table has been warned of, as the one `before` that was the same.
    fn of(&mut self, table: Table, before: &Self) -> Warned {
        let warned = before.0.get(&table).cloned().unwrap_or_default();
        self.0.insert(table, Arc::clone(&warned));
        warned
    }
}

impl<'a> Tables<'a> {
    /// Gathers who subscribes to what, where `before` was said of the same tables.
    pub(super) fn new(services: &Arc<dyn RateLimiters>, before: &'a Warnings) -> Self {
        Self { dynamic: BTreeMap::new(), services: Arc::clone(services), before, warnings: Warnings::default() }
    }

    /// Adds a service; all of them must be there before [`rules`](Self::rules) is called.
    pub(super) fn add(&mut self, rpc: &FoundRpc) {
        let RouteSource::Dynamic(subscription) = &rpc.config.routes else { return };
        self.table(&subscription.route_config_name).0.add(rpc);
    }

    /// Returns the rules of a service: its own, or those of the table that it subscribes to.
    pub(super) fn rules(&mut self, rpc: &FoundRpc) -> Result<Arc<SharedRules>, ConfigError> {
        match &rpc.config.routes {
            RouteSource::Inline(config) => {
                let warned = self.warnings.of(Table::Inline(rpc.place.clone()), self.before);
                let mut users = Users::none(&self.services, warned);
                users.add(rpc);
                let rules = users.shared_rules();
                rules.update(config).map_err(|error| rpc.place.place("routes.inline", error))?;
                Ok(rules)
            }
            RouteSource::Dynamic(subscription) => {
                let (users, rules) = self.table(&subscription.route_config_name);
                Ok(Arc::clone(rules.get_or_insert_with(|| users.shared_rules())))
            }
            _ => Err(rpc.place.refuse("routes", "a source of routes that this proxy does not know")),
        }
    }

    fn table(&mut self, name: &str) -> &mut (Users, Option<Arc<SharedRules>>) {
        let Self { dynamic, services, before, warnings } = self;
        dynamic.entry(name.to_owned()).or_insert_with(|| {
            let warned = warnings.of(Table::Dynamic(name.to_owned()), before);
            (Users::none(services, warned), None)
        })
    }

    /// Returns what is said of the tables, now and as long as they are used.
    pub(super) fn into_warnings(self) -> Warnings {
        self.warnings
    }
}

impl Users {
    fn none(services: &Arc<dyn RateLimiters>, warned: Warned) -> Self {
        Self { demand: Demand::none(), protocols: Vec::new(), services: Arc::clone(services), warned }
    }

    fn add(&mut self, rpc: &FoundRpc) {
        self.demand = self.demand.union(&rpc.filters.demand());
        self.protocols.push(Arc::clone(&rpc.codec.protocol));
    }

    fn shared_rules(&self) -> Arc<SharedRules> {
        let users = self.clone();
        let rules = SharedRules::with_demand(Rules::empty(), self.demand.clone());
        Arc::new(rules.with_check(move |config| users.check(config)))
    }

    /// Names the first route and field that asks for what cannot be done; warns of what cannot always be.
    fn check(&self, config: &RouteConfig) -> Result<(), ConfigError> {
        for (index, route) in config.routes.iter().enumerate() {
            let checked = self.check_route(route);
            checked.map_err(|(field, reason)| {
                let path = format!("{}.{field}", route.path(index));
                ConfigError::new(format!("route configuration {:?}", config.name), path, reason)
            })?;
        }
        self.warn(config);
        Ok(())
    }

    /// Warns of codecs some of whose messages cannot carry what a route changes, of each once as long as that is so.
    fn warn(&self, config: &RouteConfig) {
        let changing = config.routes.iter().find(|route| changed_fields(route).next().is_some());
        let doubted = self.protocols.iter().filter(|protocol| protocol.carries() == Carries::Sometimes);
        let doubted = changing.into_iter().flat_map(|_| doubted.clone()).map(|protocol| protocol.name().to_owned());
        let doubted: BTreeSet<_> = doubted.collect();
        let before = mem::replace(&mut *lock(&self.warned), doubted.clone());
        for codec in doubted.difference(&before) {
            let (table, route) = (&config.name, changing.map(|route| &route.name));
            tracing::warn!(
                table,
                route,
                codec,
                "some messages cannot carry the attributes that routes change, and pass unchanged"
            );
        }
    }

    fn check_route(&self, route: &Route) -> Result<(), (&'static str, String)> {
        if let Some(field) = changed_fields(route).next()
            && let Some(protocol) = self.protocols.iter().find(|protocol| protocol.carries() == Carries::Never)
        {
            return Err((field, format!("messages of {:?} cannot carry attributes", protocol.name())));
        }
        for protocol in &self.protocols {
            let abort = route.fault.as_ref().map_or(Ok(()), |fault| check_abort(fault, &**protocol));
            abort.map_err(|reason| ("fault.abort.with.status", reason))?;
        }
        match &route.global_rate_limit {
            Some(limit) if self.services.find(&limit.cluster).is_none() => {
                Err(("globalRateLimit.cluster", unknown_service(&limit.cluster)))
            }
            _ => Ok(()),
        }
    }
}

/// Lists the fields by which a route changes attributes.
fn changed_fields(route: &Route) -> impl Iterator<Item = &'static str> {
    let fields = [("requestMutation", &route.request_mutation), ("responseMutation", &route.response_mutation)];
    fields.into_iter().filter(|(_, entries)| !entries.is_empty()).map(|(field, _)| field)
}

/// Tells why a protocol cannot end requests as a fault wants it.
pub(super) fn check_abort(fault: &Fault, protocol: &dyn Protocol) -> Result<(), String> {
    match fault.abort.map(|abort| abort.with) {
        Some(AbortWith::Status(status)) if !protocol.writes_status(status) => {
            Err(format!("{:?} has no failure with the status {status}", protocol.name()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aeraki_codec::{Registry, Replies};
    use aeraki_route::config::{self, Listener, MutationEntry, ProtocolConfig, RouteAction};

    use super::*;
    use crate::{logged::Log, proxy::Proxy, stack::Filters, testing::Lines};

    fn table(routes: impl IntoIterator<Item = Route>) -> RouteConfig {
        RouteConfig::new("table", routes)
    }

    fn plain(name: &str) -> Route {
        Route::new(name, RouteAction::cluster("c"))
    }

    fn changed(name: &str) -> Route {
        let entry = || MutationEntry::set("k", "v");
        plain(name).with_request_mutation(entry()).with_response_mutation(entry())
    }

    fn listener(name: &str, codec: &str, routes: RouteSource) -> Listener {
        let any = "127.0.0.1:0".parse().expect("an address");
        Listener::new(name, any, ProtocolConfig::new(codec), routes)
    }

    fn dynamic() -> RouteSource {
        RouteSource::dynamic("table", "xds")
    }

    fn protocols() -> Registry {
        let mut protocols = Registry::builtin();
        protocols.register("lines", Lines::new(Replies::AnyOrder));
        protocols
    }

    fn proxy(listeners: impl IntoIterator<Item = Listener>) -> config::Proxy {
        let config = listeners.into_iter().fold(config::Proxy::default(), config::Proxy::with_listener);
        ["c", "xds"].map(config::Cluster::new).into_iter().fold(config, config::Proxy::with_cluster)
    }

    #[test]
    fn changes_that_no_message_of_a_codec_can_carry_are_refused() {
        let mut only_answers = changed("answers");
        only_answers.request_mutation.clear();
        for (route, fault) in [
            (changed("both"), r#"routes[1] "both".requestMutation"#),
            (only_answers, r#"routes[1] "answers".responseMutation"#),
        ] {
            let routes = table([plain("plain"), route]);
            let inline = listener("in", "lines", RouteSource::Inline(routes.clone()));
            let error = Proxy::new(proxy([inline]), &protocols()).expect_err("refused").to_string();
            for part in [r#"listener "in""#, fault, r#"messages of "lines" cannot carry attributes"#] {
                assert!(error.contains(part), "{part} in {error}");
            }

            let users = ["thrift", "lines"].map(|codec| listener(codec, codec, dynamic()));
            let proxy = Proxy::new(proxy(users), &protocols()).expect("no table yet");
            let (_, rules) = proxy.subscriptions().next().expect("one");
            let error = rules.update(&routes).expect_err("one of the users cannot").to_string();
            let expected =
                format!(r#"route configuration "table": {fault}: messages of "lines" cannot carry attributes"#);
            assert_eq!(error, expected);
        }
    }

    #[tokio::test]
    async fn changes_that_some_messages_cannot_carry_are_told_once_while_they_are_asked_for() {
        let log = Log::begin();
        let told = || {
            let text = log.take();
            assert!(text.lines().all(|line| line.contains("some messages cannot carry")), "{text}");
            text
        };
        let many = || table((0..200).map(|number| changed(&number.to_string())));
        let config = || {
            let inline = listener("inline", "thrift", RouteSource::Inline(many()));
            proxy(["one", "two"].map(|name| listener(name, "thrift", dynamic())).into_iter().chain([inline]))
        };
        let loaded = Proxy::new(config(), &protocols()).expect("good");
        let text = told();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(r#"codec="thrift""#) && text.contains(r#"table="table" route="0""#), "{text}");

        let mut running = loaded.start_here().expect("free ports");
        let rules = Arc::clone(running.subscriptions().next().expect("one").1);
        rules.update(&many()).expect("good");
        assert_eq!(told().lines().count(), 1, "another table, of two listeners");
        rules.update(&many()).expect("good");
        rules.update(&table([plain("plain"), changed("other")])).expect("good");
        for _ in 0..2 {
            let next = running.prepare(config(), &protocols(), &Filters::new()).expect("good");
            running.update(next, Duration::ZERO).expect("the same");
        }
        assert_eq!(told(), "", "nothing is new");

        rules.update(&table([plain("plain")])).expect("good");
        assert_eq!(told(), "");
        rules.update(&many()).expect("good");
        assert_eq!(told().lines().count(), 1, "asked for again");
    }
}
