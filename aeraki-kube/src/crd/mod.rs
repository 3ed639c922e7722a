//! Aeraki's own resources, one kind a file.
//!
//! Field names and meaning are those of the `metaprotocol.aeraki.io/v1alpha1` definitions. A field that
//! a kind does not have is an error that names it.

mod application_protocol;
mod duration;
mod meta_router;
mod rate_limit;
mod string_match;

pub use self::{
    application_protocol::{ApplicationProtocol, ApplicationProtocolSpec},
    duration::DurationError,
    meta_router::{
        Destination, KeyValue, MetaRoute, MetaRouteDestination, MetaRouteMatch, MetaRouter, MetaRouterSpec, Percent,
        PortSelector,
    },
    rate_limit::{Descriptor, GlobalRateLimit, LocalRateLimit, RateLimitCondition, TokenBucket},
    string_match::{StringMatch, StringMatchError},
};
