//! Protocols by name.

use std::{collections::BTreeMap, sync::Arc};

use super::Protocol;

/// Finds protocols by the names that configurations use; a value that is handed around, never a global.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    protocols: BTreeMap<Box<str>, Arc<dyn Protocol>>,
}

impl Registry {
    /// Makes an empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a registry of all protocols that this build has, under their short names (`dubbo`) and the names of
    /// upstream's codecs (`aeraki.meta_protocol.codec.dubbo`).
    #[must_use]
    pub fn builtin() -> Self {
        let protocols: &[Arc<dyn Protocol>] = &[
            #[cfg(feature = "dubbo")]
            Arc::new(crate::dubbo::Dubbo::default()),
            #[cfg(feature = "thrift")]
            Arc::new(crate::thrift::Thrift::default()),
        ];
        let mut registry = Self::new();
        for protocol in protocols {
            registry.register_with_upstream_name(protocol);
        }
        registry
    }

    fn register_with_upstream_name(&mut self, protocol: &Arc<dyn Protocol>) {
        let long = format!("aeraki.meta_protocol.codec.{}", protocol.name());
        self.register(long, Arc::clone(protocol));
        self.register(protocol.name(), Arc::clone(protocol));
    }

    /// Makes `protocol` known under `name`, in place of an earlier one of that name.
    pub fn register(&mut self, name: impl Into<Box<str>>, protocol: Arc<dyn Protocol>) {
        self.protocols.insert(name.into(), protocol);
    }

    /// Returns the protocol of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Protocol>> {
        self.protocols.get(name)
    }

    /// Lists the known names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.protocols.keys().map(|name| &**name)
    }
}
