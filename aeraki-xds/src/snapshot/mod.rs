//! What a control plane serves at one moment: every resource, encoded once, with a version made from its content.

mod builder;
mod resource;

use std::collections::BTreeMap;

pub use self::builder::{SnapshotBuilder, SnapshotError};
pub use self::resource::{Resource, Version};

/// An immutable set of resources by type and name.
///
/// Cheap to share: put it in an `Arc`. A new one is made with [`Snapshot::builder`] or, so that what did not change is
/// not encoded again, with [`SnapshotBuilder::after`].
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    types: BTreeMap<String, BTreeMap<String, Resource>>,
    encoded: usize,
}

impl Snapshot {
    /// Starts an empty snapshot.
    pub fn builder() -> SnapshotBuilder {
        SnapshotBuilder::default()
    }

    /// Returns the resource of this type and name.
    pub fn get(&self, type_url: &str, name: &str) -> Option<&Resource> {
        self.types.get(type_url)?.get(name)
    }

    /// Returns all resources of a type, by name.
    pub fn resources(&self, type_url: &str) -> impl Iterator<Item = &Resource> {
        self.types.get(type_url).into_iter().flat_map(BTreeMap::values)
    }

    /// Returns the version of all resources of a type together.
    pub fn version(&self, type_url: &str) -> Version {
        Version::of_all(self.resources(type_url))
    }

    /// Returns how many resources were encoded to make this snapshot; the others share the bytes of the one before.
    pub fn encoded(&self) -> usize {
        self.encoded
    }
}

#[cfg(test)]
mod tests;
