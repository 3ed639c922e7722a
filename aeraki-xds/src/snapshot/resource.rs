use std::fmt;
use std::sync::Arc;

use aeraki_route::config::RouteConfig;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::Any;

/// One encoded resource.
#[derive(Debug, Clone)]
pub struct Resource {
    name: String,
    version: Version,
    body: Any,
    pub(super) routes: Option<Arc<RouteConfig>>,
}

impl Resource {
    pub(super) fn new(name: String, body: Any, routes: Option<Arc<RouteConfig>>) -> Self {
        Self { name, version: Version(xxh3_64(&body.value)), body, routes }
    }

    /// Returns the name by which clients ask for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the encoded message; a clone shares the bytes.
    pub fn body(&self) -> &Any {
        &self.body
    }
}

/// Hash of the content: equal content has equal versions, in every process and after every restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version(u64);

impl Version {
    /// Makes one version of many resources; their order counts.
    pub fn of_all<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Self {
        let mut hash = Xxh3::new();
        for resource in resources {
            hash.update(resource.name.as_bytes());
            hash.update(&resource.version.0.to_le_bytes());
        }
        Self(hash.digest())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
