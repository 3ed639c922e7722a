//! What a route says to single filters: its `typed_per_filter_config`.
//!
//! The entries go by the filters' names and hold their messages: authorization, faults, limits, and `RouteOptions` of
//! the router for what the standard fields lack. Upstream's proxy reads none of them. Entries of HTTP filters are
//! ignored, but for Envoy's fault filter.

use std::collections::BTreeMap;

use aeraki_route::config::{ConfigError, Mirror, RetryBudget, Route, RouteAction};
use prost::{Message, Name};

use super::super::at::At;
use super::super::filters::{self, authorization, fault, global_limit, local_limit};
use super::super::unpack::unpack;
use super::super::{duration, fraction};
use crate::Any;
use crate::proto::aeraki::meta_protocol_proxy::filters::router::v1alpha as proto;
use proto::RouteOptions;

/// Completes the route by the entries of its filters.
pub(super) fn apply(entries: &BTreeMap<String, Any>, route: &mut Route, at: &At<'_>) -> Result<(), ConfigError> {
    for (name, entry) in entries {
        let at = &at.entry(FIELD, name);
        match name.as_str() {
            filters::AUTHORIZATION => route.authorization = authorization::from_proto(&unpack(entry, at)?, at)?,
            filters::LOCAL_RATE_LIMIT => {
                route.local_rate_limit = Some(local_limit::from_proto(&unpack(entry, at)?, at)?);
            }
            filters::RATE_LIMIT => route.global_rate_limit = Some(global_limit::from_proto(&unpack(entry, at)?, at)?),
            filters::ROUTER => apply_options(&unpack(entry, at)?, &mut route.action, at)?,
            HTTP_FAULT if route.fault.is_some() => {
                return Err(at.refuse(format!("excludes {:?}, which is given too", filters::FAULT)));
            }
            filters::FAULT | HTTP_FAULT => route.fault = Some(fault::from_any(entry, at)?),
            name if name.starts_with(filters::PREFIX) => return Err(at.refuse("there is no such filter of routes")),
            _ => {}
        }
    }
    Ok(())
}

/// Refuses what only routes can say, where something else says it: it would have no effect.
pub(super) fn refuse(entries: &BTreeMap<String, Any>, at: &At<'_>) -> Result<(), ConfigError> {
    let ours = |name: &&String| name.starts_with(filters::PREFIX) || *name == HTTP_FAULT;
    match entries.keys().find(ours) {
        Some(name) => Err(at.entry(FIELD, name).refuse("counts on routes only")),
        None => Ok(()),
    }
}

/// Makes the entries; none where the route says nothing beyond the standard fields.
pub(super) fn to_proto(route: &Route, at: &At<'_>) -> Result<BTreeMap<String, Any>, ConfigError> {
    let mut entries = Entries::default();
    if !route.authorization.is_empty() {
        entries.add(filters::AUTHORIZATION, &authorization::to_proto(&route.authorization, at)?);
    }
    if let Some(limit) = &route.local_rate_limit {
        entries.add(filters::LOCAL_RATE_LIMIT, &local_limit::to_proto(limit, &at.field("localRateLimit"))?);
    }
    if let Some(limit) = &route.global_rate_limit {
        entries.add(filters::RATE_LIMIT, &global_limit::to_proto(limit, &at.field("globalRateLimit"))?);
    }
    if let Some(fault) = &route.fault {
        entries.add(filters::FAULT, &fault::to_proto(fault, &at.field("fault"))?);
    }
    let options = options_to_proto(&route.action, at)?;
    if options != RouteOptions::default() {
        entries.add(filters::ROUTER, &options);
    }
    Ok(entries.0)
}

#[derive(Default)]
struct Entries(BTreeMap<String, Any>);

impl Entries {
    fn add<M: Message + Name>(&mut self, name: &str, message: &M) {
        self.0.insert(name.to_owned(), Any::pack(message));
    }
}

fn apply_options(options: &RouteOptions, action: &mut RouteAction, at: &At<'_>) -> Result<(), ConfigError> {
    match &mut action.retry {
        Some(retry) => {
            retry.repeatable = options.repeatable;
            if let Some(budget) = &options.retry_budget {
                retry.budget = budget_from_proto(budget, &at.field("retry_budget"))?;
            }
        }
        None if options.repeatable || options.retry_budget.is_some() => {
            return Err(at.refuse("has no retry_policy to apply to"));
        }
        None => {}
    }
    action.caller_timeouts.clone_from(&options.caller_timeouts);
    action.override_host = Some(options.override_host.clone()).filter(|attribute| !attribute.is_empty());
    if options.mirrors.len() > action.mirrors.len() {
        let (given, there) = (options.mirrors.len(), action.mirrors.len());
        return Err(at.field("mirrors").refuse(format!("must not hold {given} entries: there are {there} mirrors")));
    }
    for (index, (mirror, options)) in action.mirrors.iter_mut().zip(&options.mirrors).enumerate() {
        apply_mirror(options, mirror, &at.item("mirrors", index))?;
    }
    Ok(())
}

fn apply_mirror(options: &proto::Mirror, mirror: &mut Mirror, at: &At<'_>) -> Result<(), ConfigError> {
    let timeout = duration::exact_from_proto(options.timeout.as_ref(), &at.field("timeout"))?;
    mirror.timeout = timeout.unwrap_or(mirror.timeout);
    mirror.max_active = options.max_active.unwrap_or(mirror.max_active);
    mirror.compare = options.compare;
    Ok(())
}

fn options_to_proto(action: &RouteAction, at: &At<'_>) -> Result<RouteOptions, ConfigError> {
    let mirror = |(index, mirror): (usize, &Mirror)| mirror_to_proto(mirror, &at.item("mirrors", index));
    let plain = action.mirrors.iter().all(|mirror| *mirror == Mirror::new(&mirror.cluster, mirror.fraction));
    let mirrors = if plain { &[][..] } else { &action.mirrors };
    let budget = action.retry.as_ref().map(|retry| retry.budget).filter(|budget| *budget != RetryBudget::default());
    Ok(RouteOptions {
        repeatable: action.retry.as_ref().is_some_and(|retry| retry.repeatable),
        retry_budget: budget.map(budget_to_proto),
        mirrors: mirrors.iter().enumerate().map(mirror).collect::<Result<_, _>>()?,
        caller_timeouts: action.caller_timeouts.clone(),
        override_host: action.override_host.clone().unwrap_or_default(),
    })
}

fn mirror_to_proto(mirror: &Mirror, at: &At<'_>) -> Result<proto::Mirror, ConfigError> {
    Ok(proto::Mirror {
        timeout: Some(duration::to_proto(mirror.timeout, &at.field("timeout"))?),
        max_active: Some(mirror.max_active),
        compare: mirror.compare,
    })
}

fn budget_from_proto(budget: &proto::RetryBudget, at: &At<'_>) -> Result<RetryBudget, ConfigError> {
    let mut converted = RetryBudget::default();
    if let Some(share) = &budget.fraction {
        converted.fraction = fraction::from_proto(share, &at.field("fraction"))?;
    }
    converted.min_per_second = budget.min_per_second.unwrap_or(converted.min_per_second);
    Ok(converted)
}

fn budget_to_proto(budget: RetryBudget) -> proto::RetryBudget {
    let fraction = Some(fraction::to_proto(budget.fraction));
    proto::RetryBudget { fraction, min_per_second: Some(budget.min_per_second) }
}

const FIELD: &str = "typed_per_filter_config";
/// Envoy's name of its fault filter.
const HTTP_FAULT: &str = "envoy.filters.http.fault";
