//! The route tables of a proxy, and what their users ask of them: that protocols and clusters can do what routes ask
//! for.

use std::{collections::BTreeMap, sync::Arc};

use aeraki_codec::{Carries, Demand, Protocol};
use aeraki_route::{
    Rules, SharedRules,
    config::{AbortWith, ConfigError, Fault, Route, RouteConfig, RouteSource},
};

use super::service::FoundRpc;
use crate::stack::{RateLimiters, unknown_service};

/// The tables that services subscribe to, each once, however many services it has.
pub(super) struct Tables {
    dynamic: BTreeMap<String, (Users, Option<Arc<SharedRules>>)>,
    services: Arc<dyn RateLimiters>,
}

/// The services that use a table, any of which may refuse it.
#[derive(Clone, Debug)]
struct Users {
    demand: Demand,
    protocols: Vec<Arc<dyn Protocol>>,
    services: Arc<dyn RateLimiters>,
}

impl Tables {
    /// Gathers who subscribes to what.
    pub(super) fn new(services: &Arc<dyn RateLimiters>) -> Self {
        Self { dynamic: BTreeMap::new(), services: Arc::clone(services) }
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
                let mut users = Users::none(&self.services);
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
        let services = &self.services;
        self.dynamic.entry(name.to_owned()).or_insert_with(|| (Users::none(services), None))
    }
}

impl Users {
    fn none(services: &Arc<dyn RateLimiters>) -> Self {
        Self { demand: Demand::none(), protocols: Vec::new(), services: Arc::clone(services) }
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
        Ok(())
    }

    fn check_route(&self, route: &Route) -> Result<(), (&'static str, String)> {
        let mutations = [("requestMutation", &route.request_mutation), ("responseMutation", &route.response_mutation)];
        for (field, _) in mutations.into_iter().filter(|(_, entries)| !entries.is_empty()) {
            for protocol in &self.protocols {
                let codec = protocol.name();
                match protocol.carries() {
                    Carries::Never => return Err((field, format!("messages of {codec:?} cannot carry attributes"))),
                    Carries::Sometimes => {
                        let route = &route.name;
                        tracing::warn!(route, field, codec, "some messages cannot carry this, and pass unchanged");
                    }
                    _ => {}
                }
            }
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

/// Tells why a protocol cannot end requests as a fault wants it.
pub(super) fn check_abort(fault: &Fault, protocol: &dyn Protocol) -> Result<(), String> {
    match fault.abort.map(|abort| abort.with) {
        Some(AbortWith::Status(status)) if !protocol.writes_status(status) => {
            Err(format!("{:?} has no failure with the status {status}", protocol.name()))
        }
        _ => Ok(()),
    }
}
