//! Protobuf to plain configuration ([`aeraki_route::config`]) and back.
//!
//! A resource is converted whole or refused whole; a refusal names the resource, the field by its protobuf path, and the
//! reason. What a message holds beyond the plain configuration is ignored, as upstream's proxy does, unless ignoring
//! it would be unsafe (TLS that would not be spoken).

mod action;
mod at;
mod http;
mod matcher;

pub use self::http::{routes_from_http, routes_to_http};
