//! Configuration from people: Aeraki's and Istio's resources, and what they mean to a proxy.
//!
//! ```text
//!  FileSource --World--> translate --Translation--> Controller --Snapshot--> aeraki_xds::Publisher --> proxies
//!  YAML, watched         one pure function          keeps the last good one
//! ```
//!
//! - [`crd`] and [`istio`] are the resources, one kind a file; [`yaml`] reads them, and names the place of a fault.
//! - A [`World`] is an immutable set of them, found by host.
//! - [`translate`](translate()) makes a [`Translation`]: routes, clusters, and a [`Rejection`] for whatever is refused.
//! - A [`FileSource`] (feature `files`) watches a folder; a [`Controller`] publishes each of its worlds.
//!
//! No Kubernetes client is needed for any of this.
//!
//! ```
//! use aeraki_kube::{DEFAULT_DOMAIN, Options, World, translate, yaml};
//!
//! let text = "
//! apiVersion: networking.istio.io/v1
//! kind: ServiceEntry
//! metadata: {name: greeter, namespace: demo}
//! spec:
//!   hosts: [demo.greeter]
//!   ports: [{number: 20880, name: tcp-metaprotocol-dubbo}]
//! ---
//! apiVersion: metaprotocol.aeraki.io/v1alpha1
//! kind: MetaRouter
//! metadata: {name: greeter, namespace: demo}
//! spec:
//!   hosts: [demo.greeter]
//!   routes:
//!   - name: all
//!     match: {attributes: {method: {prefix: say}}}
//!     route: [{destination: {host: demo.greeter}}]
//! ";
//! let documents = yaml::parse("mesh.yaml", text)?;
//! let world = World::new(documents.into_iter().filter_map(yaml::Document::into_object), DEFAULT_DOMAIN);
//! let translation = translate(&world, &Options::default());
//!
//! let routes = &translation.routes["demo.greeter_20880"].routes;
//! assert_eq!(routes[0].action.clusters().collect::<Vec<_>>(), ["outbound|20880||demo.greeter"]);
//! assert!(translation.rejections.is_empty());
//! # Ok::<_, yaml::YamlError>(())
//! ```

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
