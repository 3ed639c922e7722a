//! An Envoy bootstrap YAML as a [`Proxy`]: the subset that the configurations of upstream's own tests use.

mod doubtful;
mod used;
mod words;

use std::net::SocketAddr;

use aeraki_route::config::{ConfigError, Listener, NetworkFilter, Node, Proxy};
use prost::{Message, Name};
use prost_reflect::{DynamicMessage, Value as Field};
use serde_json::Value;

pub use self::words::in_words_of_bootstrap;
use crate::convert::{KnownFilters, cluster_from_proto, listener_from_proto, locality, max_connections, socket_of};
use crate::json::{self, JsonError, Reader};
use crate::proto::envoy::config::core::v3::Address;
use crate::proto::envoy::config::overload::v3::OverloadManager;

/// What a bootstrap says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Bootstrap {
    /// The configuration, checked as a whole.
    pub proxy: Proxy,
    /// What the configuration asks for and will not get; one line each.
    pub warnings: Vec<Warning>,
}

impl Bootstrap {
    /// Reads a bootstrap.
    ///
    /// Field names may be in snake_case or camelCase, and a lone mapping may stand where a list is expected.
    ///
    /// # Errors
    ///
    /// Names the place and the reason, in the words of the file: text that is not YAML, a field that is unknown or of
    /// the wrong type, and everything that [`Proxy::validate`] and the conversions refuse.
    pub fn from_yaml(text: &str) -> Result<Self, BootstrapError> {
        Self::from_yaml_with(text, &KnownFilters::default())
    }

    /// Reads a bootstrap whose listeners may ask for filters that an embedder brings along.
    ///
    /// In the text, the configuration of such a filter is of a type that is known here, such as
    /// `google.protobuf.Struct`.
    ///
    /// # Errors
    ///
    /// As [`from_yaml`](Self::from_yaml).
    pub fn from_yaml_with(text: &str, known: &KnownFilters) -> Result<Self, BootstrapError> {
        let document = json::from_yaml(text).map_err(BootstrapError::Yaml)?;
        let descriptor = json::descriptor(BOOTSTRAP).ok_or_else(|| refuse("", format!("{BOOTSTRAP} is unknown")))?;
        let mut reader = Reader::new(used::of);
        let message = reader.read(&descriptor, &document)?;
        if message.has_field_by_name("dynamic_resources") {
            return Err(refuse("dynamic_resources", "is not supported: listeners and clusters must be static"));
        }
        let proxy = proxy(&message, node(&document, &message)?, known).map_err(|error| match error {
            BootstrapError::Config(error) => in_words_of_bootstrap(&error).into(),
            error => error,
        })?;
        let unused = reader.into_unused().into_iter().map(|path| Warning::Unused { path });
        let doubtful = doubtful::admin(&message).into_iter().chain(doubtful::names(&proxy));
        let warnings = unused.chain(doubtful).chain(proxy.listeners.iter().flat_map(unenforced)).collect();
        Ok(Self { proxy, warnings })
    }
}

/// Something that the configuration asks for and will not get.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// A setting that has no effect here.
    #[error("{path}: accepted, but has no effect")]
    Unused {
        /// Its path in the file.
        path: String,
    },
    /// A setting that is taken as it is and hardly meant so.
    #[error("{path}: {reason}")]
    Doubtful {
        /// The object and the field.
        path: String,
        /// What follows from it.
        reason: String,
    },
    /// A filter that is known and not built yet: what it would refuse passes.
    #[error("listener {listener:?}: filter {filter}: NOT ENFORCED")]
    NotEnforced {
        /// Name of the listener.
        listener: String,
        /// Name of the filter.
        filter: String,
    },
}

/// Why a bootstrap is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// The text is not YAML; the message holds line and column.
    #[error("{0}")]
    Yaml(String),
    /// A field is unknown, has a wrong type, or cannot be served.
    #[error("{path}: {reason}")]
    Field {
        /// Path of the field in the file.
        path: String,
        /// Why it is refused.
        reason: String,
    },
    /// A listener or cluster is refused, or they do not fit together.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl From<JsonError> for BootstrapError {
    fn from(error: JsonError) -> Self {
        Self::Field { path: error.path, reason: error.reason }
    }
}

fn proxy(bootstrap: &DynamicMessage, node: Node, known: &KnownFilters) -> Result<Proxy, BootstrapError> {
    let mut proxy = Proxy::new(node);
    proxy.admin = admin(bootstrap)?;
    proxy.local_cluster = local_cluster(bootstrap);
    if let Some(manager) = message(bootstrap, "overload_manager") {
        proxy.max_connections = max_connections(&typed::<OverloadManager>(&manager)?)?;
    }
    if let Some(resources) = message(bootstrap, "static_resources") {
        proxy.listeners = each(&resources, "listeners", |listener| listener_from_proto(listener, known))?;
        proxy.clusters = each(&resources, "clusters", cluster_from_proto)?;
    }
    proxy.validate()?;
    Ok(proxy)
}

fn admin(bootstrap: &DynamicMessage) -> Result<Option<SocketAddr>, BootstrapError> {
    let Some(address) = message(bootstrap, "admin").and_then(|admin| message(&admin, "address")) else {
        return Ok(None);
    };
    let address: Address = typed(&address)?;
    Ok(Some(socket_of("admin", &address)?))
}

/// Returns the name of the cluster that the proxy belongs to; an empty one is none.
fn local_cluster(bootstrap: &DynamicMessage) -> Option<String> {
    let manager = message(bootstrap, "cluster_manager")?;
    let name = manager.get_field_by_name("local_cluster_name")?.as_str()?.to_owned();
    Some(name).filter(|name| !name.is_empty())
}

/// Takes the node from the document itself, whose metadata is plain JSON already, and where it runs from the message.
fn node(document: &Value, bootstrap: &DynamicMessage) -> Result<Node, BootstrapError> {
    let node = &document["node"];
    let text = |key: &str| node[key].as_str().unwrap_or_default();
    let mut converted = Node::new(text("id"), text("cluster"));
    converted.metadata = node["metadata"].as_object().cloned().unwrap_or_default();
    if let Some(locality) = message(bootstrap, "node").and_then(|node| message(&node, "locality")) {
        converted.locality = locality::from_proto(&typed(&locality)?);
    }
    Ok(converted)
}

fn unenforced(listener: &Listener) -> impl Iterator<Item = Warning> {
    let proxies = listener.chains().filter_map(|(_, chain)| match &chain.filter {
        NetworkFilter::MetaProtocolProxy(proxy) => Some(proxy),
        _ => None,
    });
    let filters = proxies.flat_map(|proxy| &proxy.filters).filter(|filter| !filter.is_enforced());
    filters.map(|filter| Warning::NotEnforced { listener: listener.name.clone(), filter: filter.name.clone() })
}

fn message(outer: &DynamicMessage, field: &str) -> Option<DynamicMessage> {
    let inner = outer.get_field_by_name(field).filter(|_| outer.has_field_by_name(field))?;
    inner.as_message().cloned()
}

fn each<M, T>(
    resources: &DynamicMessage,
    field: &str,
    convert: impl Fn(&M) -> Result<T, ConfigError>,
) -> Result<Vec<T>, BootstrapError>
where
    M: Message + Name + Default,
{
    let list = resources.get_field_by_name(field);
    let items = list.as_deref().and_then(Field::as_list).unwrap_or_default();
    items.iter().filter_map(Field::as_message).map(|item| Ok(convert(&typed(item)?)?)).collect()
}

fn typed<M: Message + Name + Default>(message: &DynamicMessage) -> Result<M, BootstrapError> {
    message.transcode_to().map_err(|error| refuse(M::NAME, error.to_string()))
}

fn refuse(path: &str, reason: impl Into<String>) -> BootstrapError {
    BootstrapError::Field { path: path.to_owned(), reason: reason.into() }
}

const BOOTSTRAP: &str = "envoy.config.bootstrap.v3.Bootstrap";

#[cfg(test)]
mod documented;
#[cfg(test)]
mod tests;
