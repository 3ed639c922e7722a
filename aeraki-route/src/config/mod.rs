//! Plain configuration: what a proxy is told to do, whichever way it is told.
//!
//! A builder, an Envoy bootstrap and xDS all end in these types, and every consumer checks them with the same code, so
//! that the command line, the webhook and the refusal on the wire say the same. [`Proxy`] is the whole; a [`Listener`]
//! names its routes, a [`RouteConfig`] names clusters, a [`Cluster`] holds endpoints.
//!
//! The types hold data only. All are `#[non_exhaustive]`: start from `new` and chain `with_` methods, or set fields.

mod action;
mod cluster;
mod connection_limit;
mod decimal;
mod duration;
mod endpoint;
pub(crate) mod error;
mod filter;
mod filter_chain;
mod filter_chain_match;
mod listener;
mod listener_limits;
mod matches;
mod meta_protocol_proxy;
mod mutation;
mod placement;
mod policy;
mod proxy;
mod proxy_protocol;
pub(crate) mod route;
mod socket_address;
mod stream;
mod tcp_keepalive;
mod tcp_proxy;
mod tls;

pub(crate) use self::policy::ip_block;
pub use self::{
    action::{Denominator, Destination, FractionalPercent, Mirror, RouteAction, WeightedCluster},
    cluster::{
        Cluster, ClusterLimits, CommonLb, Consecutive, Discovery, Dns, FailurePercentage, HashFunction, HealthCheck,
        HealthCheckKind, LbPolicy, LeastRequest, Maglev, OriginalDst, OutlierDetection, PeakEwma, Preconnect, RingHash,
        SlowStart, SubsetFallback, SubsetSelector, Subsets, SuccessRate, Thresholds, ZoneAware,
    },
    connection_limit::ConnectionLimit,
    decimal::Decimal,
    endpoint::{Address, AddressError, Endpoint, HealthStatus, Locality},
    error::ConfigError,
    filter::{Filter, FilterConfig, FilterOrder},
    filter_chain::{FilterChain, NetworkFilter},
    filter_chain_match::{ConnectionSourceType, FilterChainMatch, TransportProtocol},
    listener::{Listener, TrafficDirection},
    listener_limits::ListenerLimits,
    matches::{AttributeMatch, ValueMatch},
    meta_protocol_proxy::{MetaProtocolProxy, ProtocolConfig, RouteOrigin, RouteSource, RouteSubscription},
    mutation::{MutationEntry, MutationValue},
    placement::{HashPolicy, HashSource, RoutingPriority},
    policy::{
        Abort, AbortWith, AdaptiveConcurrency, AuthorizationAction, AuthorizationPolicy, AuthorizationRule, BackOff,
        Delay, Descriptor, DescriptorEntry, Fault, GlobalRateLimit, HedgePolicy, KeyedBuckets, LimitCondition,
        LimitScope, LocalRateLimit, MetadataExchange, Operation, Patterns, RequestIds, RetryBudget, RetryOn,
        RetryOnError, RetryPolicy, Shed, Source, TokenBucket,
    },
    proxy::{Node, Proxy},
    proxy_protocol::{ProxyProtocol, ProxyProtocolVersion},
    route::{Route, RouteConfig},
    socket_address::{Pipe, SocketAddress},
    stream::StreamTimeouts,
    tcp_keepalive::TcpKeepalive,
    tcp_proxy::TcpProxy,
    tls::{
        CertificateValidationContext, CommonTlsContext, DataSource, DownstreamTlsContext, SanKind, SanMatcher,
        SanValue, TlsCertificate, TlsVersion, UpstreamTlsContext,
    },
};

#[cfg(test)]
mod tests;
