//! Configuration from people: Aeraki's and Istio's resources, and what they mean to a proxy.

mod controller;
pub mod crd;
pub mod istio;
mod object;
mod protocol;
pub mod source;
pub mod translate;
mod world;
pub mod yaml;

#[cfg(feature = "files")]
pub use self::source::files::{FileOptions, FileSource};
pub use self::{
    controller::Controller,
    object::{Metadata, Object, ObjectRef, Resource, Timestamp, TimestampError},
    protocol::PortProtocol,
    translate::{Options, Rejection, Translation, translate},
    world::{AnyObject, DEFAULT_DOMAIN, World},
};
