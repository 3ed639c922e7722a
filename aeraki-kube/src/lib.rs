//! Configuration from people: Aeraki's and Istio's resources, and what they mean to a proxy.

pub mod crd;
pub mod istio;
mod object;
mod protocol;
pub mod translate;
mod world;
pub mod yaml;

pub use self::{
    object::{Metadata, Object, ObjectRef, Resource, Timestamp, TimestampError},
    protocol::PortProtocol,
    world::{AnyObject, DEFAULT_DOMAIN, World},
};
