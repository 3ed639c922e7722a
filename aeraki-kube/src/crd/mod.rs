//! Aeraki's own resources, one kind a file.
//!
//! Field names and meaning are those of the `metaprotocol.aeraki.io/v1alpha1` and `dubbo.aeraki.io/v1alpha1`
//! definitions, with optional fields in addition, which an older control plane ignores, and the kind
//! [`MetaAuthorizationPolicy`]. A field that a kind does not have is an error that names it.

mod application_protocol;
mod authorization;
pub(crate) mod duration;
mod meta_router;
mod mutation;
mod rate_limit;
mod resilience;
mod string_match;

pub use self::{
    application_protocol::{ApplicationProtocol, ApplicationProtocolSpec},
    authorization::{
        AttributeValues, AuthorizationFrom, AuthorizationOperation, AuthorizationRule, AuthorizationSource,
        AuthorizationTo, DubboAuthorizationPolicy, DubboAuthorizationPolicySpec, MetaAuthorizationPolicy,
        MetaAuthorizationPolicySpec,
    },
    duration::DurationError,
    meta_router::{
        Destination, MetaRoute, MetaRouteDestination, MetaRouteMatch, MetaRouter, MetaRouterSpec, Percent, PortSelector,
    },
    mutation::{KeyValue, MutationOperation, ValueFrom},
    rate_limit::{
        Descriptor, DescriptorEntry, GlobalRateLimit, KeyedBuckets, LocalRateLimit, RateLimitCondition, TokenBucket,
    },
    resilience::{BackOff, Fault, FaultAbort, FaultDelay, Hedging, MirrorDestination, Retries, RetryBudget},
    string_match::{StringMatch, StringMatchError},
};
