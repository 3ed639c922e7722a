use std::collections::btree_map::Entry;
use std::sync::Arc;

use aeraki_route::config::{ConfigError, RouteConfig};

use super::{Resource, Snapshot};
use crate::{Any, convert, type_url};

/// Collects the resources of a [`Snapshot`].
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    previous: Option<Arc<Snapshot>>,
    routes: Vec<Arc<RouteConfig>>,
    others: Vec<(String, Any)>,
}

impl SnapshotBuilder {
    /// Starts an empty snapshot that takes the encoded bytes of unchanged resources from `previous`.
    pub fn after(previous: Arc<Snapshot>) -> Self {
        Self { previous: Some(previous), ..Self::default() }
    }

    /// Adds route tables, served as HTTP-shaped route configurations under their names.
    #[must_use]
    pub fn routes<R: Into<Arc<RouteConfig>>>(mut self, configs: impl IntoIterator<Item = R>) -> Self {
        self.routes.extend(configs.into_iter().map(Into::into));
        self
    }

    /// Adds a resource of any type as it is.
    #[must_use]
    pub fn any(mut self, name: impl Into<String>, resource: Any) -> Self {
        self.others.push((name.into(), resource));
        self
    }

    /// Encodes what changed.
    ///
    /// # Errors
    ///
    /// Names the first resource that is not valid, or whose name is taken; nothing is built then.
    pub fn build(self) -> Result<Snapshot, SnapshotError> {
        let mut snapshot = Snapshot::default();
        for routes in self.routes {
            let resource = match self.previous.as_deref().and_then(|previous| unchanged(previous, &routes)) {
                Some(resource) => resource.clone(),
                None => {
                    snapshot.encoded += 1;
                    encode(routes)?
                }
            };
            insert(&mut snapshot, resource)?;
        }
        for (name, body) in self.others {
            insert(&mut snapshot, Resource::new(name, body, None))?;
        }
        Ok(snapshot)
    }
}

/// Why no snapshot could be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A resource is not valid.
    #[error(transparent)]
    Invalid(#[from] ConfigError),
    /// Two resources of one type have the same name.
    #[error("{type_url} {name:?}: is there twice")]
    Duplicate {
        /// Type URL of both.
        type_url: String,
        /// Name of both.
        name: String,
    },
}

fn unchanged<'a>(previous: &'a Snapshot, routes: &Arc<RouteConfig>) -> Option<&'a Resource> {
    let resource = previous.get(type_url::ROUTE, &routes.name)?;
    let old = resource.routes.as_ref()?;
    (Arc::ptr_eq(old, routes) || old == routes).then_some(resource)
}

fn encode(routes: Arc<RouteConfig>) -> Result<Resource, ConfigError> {
    routes.validate()?;
    let body = Any::pack(&convert::routes_to_http(&routes)?);
    Ok(Resource::new(routes.name.clone(), body, Some(routes)))
}

fn insert(snapshot: &mut Snapshot, resource: Resource) -> Result<(), SnapshotError> {
    let type_url = &resource.body().type_url;
    let resources = snapshot.types.entry(type_url.clone()).or_default();
    match resources.entry(resource.name().to_owned()) {
        Entry::Vacant(slot) => {
            slot.insert(resource);
            Ok(())
        }
        Entry::Occupied(slot) => Err(SnapshotError::Duplicate { type_url: type_url.clone(), name: slot.key().clone() }),
    }
}
