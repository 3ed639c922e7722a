//! One subscription without any input or output: responses in, answers out.

use aeraki_route::config::{ConfigError, RouteConfig};
use xxhash_rust::xxh3::xxh3_64;

use super::Event;
use crate::convert::routes_from_http;
use crate::proto::envoy::config::core::v3::Node;
use crate::proto::envoy::config::route::v3::RouteConfiguration;
use crate::proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use crate::proto::google::rpc::Status;
use crate::{Any, type_url};

pub(super) struct Subscription {
    name: String,
    node: Node,
    /// Version of the last response that was accepted, in this stream or one before.
    version: String,
    /// Hash of the table in force.
    in_force: Option<u64>,
}

/// What became of a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted { version: String },
    Rejected { version: String, reason: String },
    Empty,
}

impl Outcome {
    pub(super) fn event<'a>(&'a self, name: &'a str) -> Event<'a> {
        match self {
            Self::Accepted { version } => Event::Accepted { name, version },
            Self::Rejected { version, reason } => Event::Rejected { name, version, reason },
            Self::Empty => Event::Empty { name },
        }
    }
}

impl Subscription {
    pub(super) fn new(name: &str, node: Node) -> Self {
        Self { name: name.to_owned(), node, version: String::new(), in_force: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The first request of a stream.
    pub(super) fn open(&self) -> DiscoveryRequest {
        DiscoveryRequest { node: Some(self.node.clone()), ..self.request(String::new()) }
    }

    /// Takes a response in; returns the answer to send and what became of the response.
    pub(super) fn on_response(
        &mut self,
        response: DiscoveryResponse,
        apply: &mut impl FnMut(&RouteConfig) -> Result<(), ConfigError>,
    ) -> (DiscoveryRequest, Outcome) {
        let (nonce, version) = (response.nonce, response.version_info);
        let outcome = match self.take(&response.resources, apply) {
            Ok(taken) => {
                self.version.clone_from(&version);
                if taken { Outcome::Accepted { version } } else { Outcome::Empty }
            }
            Err(reason) => Outcome::Rejected { version, reason },
        };
        let mut answer = self.request(nonce);
        if let Outcome::Rejected { reason, .. } = &outcome {
            answer.error_detail = Some(Status { code: INVALID_ARGUMENT, message: reason.clone(), details: Vec::new() });
        }
        (answer, outcome)
    }

    /// Applies the table; `false` if there is none.
    fn take(
        &mut self,
        resources: &[Any],
        apply: &mut impl FnMut(&RouteConfig) -> Result<(), ConfigError>,
    ) -> Result<bool, String> {
        let resource = match resources {
            [] => return Ok(false),
            [one] => one,
            many => return Err(format!("asked for {:?} and got {} resources", self.name, many.len())),
        };
        let hash = xxh3_64(&resource.value);
        if self.in_force != Some(hash) {
            let table: RouteConfiguration = resource.unpack().map_err(|error| error.to_string())?;
            if table.name != self.name {
                return Err(format!("asked for {:?} and got {:?}", self.name, table.name));
            }
            routes_from_http(&table).and_then(|routes| apply(&routes)).map_err(|error| error.to_string())?;
            self.in_force = Some(hash);
        }
        Ok(true)
    }

    fn request(&self, response_nonce: String) -> DiscoveryRequest {
        DiscoveryRequest {
            version_info: self.version.clone(),
            resource_names: vec![self.name.clone()],
            type_url: type_url::ROUTE.to_owned(),
            response_nonce,
            ..DiscoveryRequest::default()
        }
    }
}

/// `google.rpc.Code.INVALID_ARGUMENT`.
const INVALID_ARGUMENT: i32 = 3;

#[cfg(test)]
mod tests;
