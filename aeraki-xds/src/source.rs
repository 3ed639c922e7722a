use std::sync::Arc;

use tokio::sync::watch;

use crate::Snapshot;
use crate::proto::envoy::config::core::v3::Node;

/// Where a [`Server`](crate::Server) takes its resources from.
pub trait Source: Send + Sync + 'static {
    /// Returns what this subscriber is served, now and from now on; `None` until that is known.
    ///
    /// Called once per stream. While it is `None`, subscribers wait: nothing is served as empty.
    fn watch(&self, node: &Node) -> watch::Receiver<Option<Arc<Snapshot>>>;
}

impl<S: Source + ?Sized> Source for Arc<S> {
    fn watch(&self, node: &Node) -> watch::Receiver<Option<Arc<Snapshot>>> {
        (**self).watch(node)
    }
}

/// A [`Source`] that serves the same snapshot to everyone.
///
/// Clones publish to the same subscribers.
#[derive(Debug, Clone)]
pub struct Publisher {
    current: watch::Sender<Option<Arc<Snapshot>>>,
}

impl Publisher {
    /// Creates a publisher that has nothing to serve yet.
    pub fn new() -> Self {
        Self { current: watch::Sender::new(None) }
    }

    /// Replaces what is served.
    pub fn publish(&self, snapshot: impl Into<Arc<Snapshot>>) {
        self.current.send_replace(Some(snapshot.into()));
    }

    /// Returns what is served.
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.current.borrow().clone()
    }
}

impl Default for Publisher {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for Publisher {
    fn watch(&self, _node: &Node) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.current.subscribe()
    }
}
