//! Which codec speaks a protocol.

use serde::{Deserialize, Serialize};

use crate::object::{Object, Resource};

/// Registers the codec of an application protocol for the whole cluster.
pub type ApplicationProtocol = Object<ApplicationProtocolSpec>;

/// Names a protocol and its codec.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct ApplicationProtocolSpec {
    /// The name that ports use: the third part of `tcp-metaprotocol-<protocol>-…`. It cannot contain `-`.
    pub protocol: String,
    /// The codec's name, such as `aeraki.meta_protocol.codec.dubbo`.
    pub codec: String,
}

impl Resource for ApplicationProtocolSpec {
    const GROUP: &'static str = "metaprotocol.aeraki.io";
    const VERSION: &'static str = "v1alpha1";
    const KIND: &'static str = "ApplicationProtocol";
}
