//! Protobuf to plain configuration ([`aeraki_route::config`]) and back.
//!
//! A resource is converted whole or refused whole; a refusal names the resource, the field by its protobuf path, and
//! the reason. What a message holds beyond the plain configuration is ignored, as upstream's proxy does, unless
//! ignoring it would be unsafe (TLS that would not be spoken).

mod at;
mod cluster;
mod connection_limit;
mod duration;
mod endpoint;
mod filters;
mod fraction;
mod grpc;
mod http;
mod labels;
mod listener;
mod listener_filters;
pub(crate) mod locality;
mod matcher;
mod meta_protocol;
mod native;
#[cfg(feature = "bootstrap")]
mod overload;
mod priority;
mod proxy_protocol;
mod tcp_keepalive;
mod tcp_proxy;
mod tls;
mod unpack;
mod weighted;

pub use self::cluster::cluster_from_proto;
#[cfg(feature = "bootstrap")]
pub(crate) use self::endpoint::socket_of;
pub use self::filters::KnownFilters;
pub use self::http::{routes_from_http, routes_to_http};
pub use self::listener::listener_from_proto;
#[cfg(feature = "bootstrap")]
pub(crate) use self::overload::max_connections;

#[cfg(test)]
pub(crate) mod tests;
