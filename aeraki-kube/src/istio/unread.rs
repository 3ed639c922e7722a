//! Fields that are in an object and are not read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, de::IgnoredAny};

/// Holds the names of an object's fields that have no effect here, so that these can be told. They are not written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unread(BTreeSet<String>);

impl Unread {
    /// Lists the names, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = BTreeMap::<String, Option<IgnoredAny>>::deserialize(deserializer)?;
        Ok(Self(fields.into_iter().filter_map(|(name, value)| value.map(|_| name)).collect()))
    }
}
