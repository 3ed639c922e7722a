//! What a bootstrap may say and hardly means.

use std::collections::HashMap;

use aeraki_route::config::{
    AuthorizationPolicy, ConfigError, FilterConfig, MetaProtocolProxy, NetworkFilter, Proxy, RouteSource,
};
use prost_reflect::DynamicMessage;

use super::{Warning, in_words_of_bootstrap, message};

/// Warns of an admin interface without an address.
pub(super) fn admin(bootstrap: &DynamicMessage) -> Option<Warning> {
    let admin = message(bootstrap, "admin")?;
    let reason = "has no address: there is no admin interface".to_owned();
    message(&admin, "address").is_none().then(|| Warning::Doubtful { path: "admin".to_owned(), reason })
}

/// Warns of routes and policies that share a name.
pub(super) fn names(proxy: &Proxy) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for listener in &proxy.listeners {
        for (path, chain) in listener.chains() {
            let NetworkFilter::MetaProtocolProxy(service) = &chain.filter else { continue };
            for (field, reason) in shared(service) {
                let error = ConfigError::new(
                    format!("listener {:?}", listener.name),
                    format!("{path}.{}.{field}", chain.filter.path()),
                    reason,
                );
                let error = in_words_of_bootstrap(&error);
                let path = format!("{}: {}", error.object(), error.field());
                warnings.push(Warning::Doubtful { path, reason: error.reason().to_owned() });
            }
        }
    }
    warnings
}

/// Lists the fields of a service whose name is that of another one, and what follows from it.
fn shared(service: &MetaProtocolProxy) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if let RouteSource::Inline(table) = &service.routes {
        for (index, first, name) in repeated(table.routes.iter().map(|route| &*route.name)) {
            let reason = format!("is the name of routes[{first}] too: records cannot tell them apart");
            found.push((format!("routes.inline.routes[{index}] {name:?}.name"), reason));
        }
    }
    for (place, filter) in service.filters.iter().enumerate() {
        let FilterConfig::Authorization(policies) = &filter.config else { continue };
        for (index, first, name) in repeated(policies.iter().map(|AuthorizationPolicy { name, .. }| &**name)) {
            let reason = format!("is the name of policies[{first}] too: records cannot tell them apart");
            let field = format!("filters[{place}] {:?}.config.authorization[{index}] {name:?}.name", filter.name);
            found.push((field, reason));
        }
    }
    found
}

/// Lists the names that were there before, with their places and those of the first ones; no name is none.
fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(usize, usize, &'a str)> {
    let mut places = HashMap::new();
    let named = names.enumerate().filter(|(_, name)| !name.is_empty());
    named
        .filter_map(|(index, name)| {
            let first = *places.entry(name).or_insert(index);
            (first != index).then_some((index, first, name))
        })
        .collect()
}
