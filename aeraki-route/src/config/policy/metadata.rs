//! What proxies tell each other beside the request.

use serde::{Deserialize, Serialize};

/// Tells the peers of a request who the other is;
/// `aeraki.meta_protocol_proxy.filters.metadata_exchange.v1alpha.MetadataExchange`.
///
/// An outbound listener adds the attributes `x-envoy-peer-metadata` and `x-envoy-peer-metadata-id` to requests and
/// reads them in responses; an inbound listener the other way round. Protocols that carry no attributes pass unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct MetadataExchange {
    /// Whether the peer beyond this listener is outside the mesh: what it says of itself is ignored and removed, and
    /// it is told nothing; default: no.
    #[serde(default)]
    pub trust_boundary: bool,
}

impl MetadataExchange {
    /// Sets whether the peer beyond this listener is outside the mesh.
    #[must_use]
    pub fn with_trust_boundary(mut self, trust_boundary: bool) -> Self {
        self.trust_boundary = trust_boundary;
        self
    }
}

/// Gives every request that has none an id in the attribute `x-request-id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct RequestIds {
    /// Whether ids that clients bring are replaced, as at the edge of a mesh; default: no.
    #[serde(default)]
    pub replace: bool,
}

impl RequestIds {
    /// Sets whether ids that clients bring are replaced.
    #[must_use]
    pub fn with_replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }
}
