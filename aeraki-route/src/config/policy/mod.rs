//! What may happen to a request besides being routed: authorization, limits, faults, retries, shedding.
//!
//! A policy stands in a listener's list of filters, where it holds for every request, or in a route, where it holds for
//! the requests of that route.

mod authorization;
mod fault;
mod global_limit;
mod local_limit;
mod metadata;
mod retry;
mod shed;

pub(crate) use self::authorization::ip_block;
pub use self::{
    authorization::{AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Operation, Patterns, Source},
    fault::{Abort, AbortWith, Delay, Fault},
    global_limit::{Descriptor, DescriptorEntry, GlobalRateLimit},
    local_limit::{KeyedBuckets, LimitCondition, LimitScope, LocalRateLimit, TokenBucket},
    metadata::{MetadataExchange, RequestIds},
    retry::{BackOff, HedgePolicy, RetryBudget, RetryOn, RetryOnError, RetryPolicy},
    shed::{AdaptiveConcurrency, Shed},
};
