//! From the limits that people write to those of a route.

use aeraki_route::config::{
    Descriptor, DescriptorEntry, GlobalRateLimit, KeyedBuckets, LimitCondition, LocalRateLimit, TokenBucket,
};

use super::{Translation, rejection::Rejection, routes::conditions};
use crate::{
    crd::{self, MetaRouter},
    world::World,
};

/// Translates limits that have been checked.
pub(super) fn local(limit: &crd::LocalRateLimit, stat_prefix: &str) -> LocalRateLimit {
    let mut translated = LocalRateLimit::new(stat_prefix);
    translated.bucket = limit.token_bucket.as_ref().map(bucket);
    for condition in &limit.conditions {
        if let Some(tokens) = &condition.token_bucket {
            let matches = conditions(condition.matches.as_ref());
            translated.conditions.push(LimitCondition::new(matches, bucket(tokens)));
        }
    }
    translated.keyed = limit.keyed.as_ref().map(|keyed| {
        let buckets = KeyedBuckets::new(&keyed.attribute);
        let most = keyed.max_keys.unwrap_or(buckets.max_keys);
        buckets.with_max_keys(most)
    });
    translated
}

/// Translates limits that have been checked.
pub(super) fn global(limit: &crd::GlobalRateLimit) -> GlobalRateLimit {
    let descriptors = limit.descriptors.iter().map(descriptor);
    let mut translated = GlobalRateLimit::new(&limit.domain, &limit.rate_limit_service, descriptors);
    translated.matches = conditions(limit.matches.as_ref());
    translated.timeout = limit.request_timeout.unwrap_or(translated.timeout);
    translated.failure_mode_deny = limit.deny_on_fail;
    translated.hits_addend = limit.hits_addend;
    translated
}

/// Tells of the rate limit services of a router that surely are no cluster: a proxy that has none of the name refuses
/// all routes of the table. Of a name that is not one of a service's cluster, only the proxies' bootstrap knows.
pub(super) fn warn_of_unknown_services(world: &World, router: &MetaRouter, translation: &mut Translation) {
    let own = router.spec.global_rate_limit.iter().map(|limit| ("spec".to_owned(), limit));
    let routes = router.spec.routes.iter().enumerate();
    let of_routes = routes.filter_map(|(index, route)| {
        route.global_rate_limit.as_ref().map(|limit| (format!("spec.routes[{index}]"), limit))
    });
    for (place, limit) in own.chain(of_routes) {
        if let Some(reason) = service_fault(world, &router.metadata.namespace, &limit.rate_limit_service) {
            let field = format!("{place}.globalRateLimit.rateLimitService");
            let reason =
                format!("{reason}: a proxy without a cluster of this name refuses the table, and keeps its last one");
            translation.reject(Rejection::ineffective(router, field, reason));
        }
    }
}

fn service_fault(world: &World, namespace: &str, service: &str) -> Option<String> {
    let parts: Vec<_> = service.splitn(4, '|').collect();
    let [_, port, _, host] = parts[..] else {
        let host = world.resolve(service, namespace);
        let known = !world.services(&host).is_empty();
        return known.then(|| format!("is a host, where the name of a cluster stands: outbound|<port>||{host}"));
    };
    let services = world.services(host);
    let mut ports = services.iter().flat_map(|entry| &entry.spec.ports);
    if services.is_empty() {
        Some(format!("no service has the host `{host}`"))
    } else if !ports.any(|declared| declared.number.to_string() == port) {
        Some(format!("`{host}` has no port `{port}`"))
    } else {
        None
    }
}

fn bucket(bucket: &crd::TokenBucket) -> TokenBucket {
    let interval = bucket.fill_interval.unwrap_or_default();
    TokenBucket::new(bucket.max_tokens, bucket.tokens_per_fill.unwrap_or(1), interval)
}

fn descriptor(descriptor: &crd::Descriptor) -> Descriptor {
    let entry = |entry: &crd::DescriptorEntry| DescriptorEntry::new(&entry.descriptor_key, &entry.property);
    match descriptor.entries.as_slice() {
        [] => Descriptor::new([DescriptorEntry::new(&descriptor.descriptor_key, &descriptor.property)]),
        entries => Descriptor::new(entries.iter().map(entry)),
    }
}
