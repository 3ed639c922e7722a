//! Where the service counts.

mod memory;
#[cfg(feature = "redis")]
mod redis;

use std::{error::Error, future::Future};

pub use self::memory::MemoryStore;
#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
use super::Window;

/// Counters of the current windows.
pub trait Store: Send + Sync + 'static {
    /// Adds each hit to its counter, which starts at 0 in every window; returns what each counter then holds, in order.
    ///
    /// # Errors
    ///
    /// Any error is a failed answer: the client decides what that means for the request.
    fn add(&self, hits: &[Hit<'_>]) -> impl Future<Output = Result<Vec<u64>, StoreError>> + Send;
}

/// A counter, and what is added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hit<'a> {
    /// Domain of the limit.
    pub domain: &'a str,
    /// Keys and values that are counted together.
    pub entries: Vec<(&'a str, &'a str)>,
    /// The window in which is counted.
    pub window: Window,
    /// How much is added; 0: the counter is only read.
    pub addend: u64,
}

impl<'a> Hit<'a> {
    /// Creates a hit of 1.
    pub fn new(domain: &'a str, entries: Vec<(&'a str, &'a str)>, window: Window) -> Self {
        Self { domain, entries, window, addend: 1 }
    }

    /// Sets how much is added.
    #[must_use]
    pub fn with_addend(mut self, addend: u64) -> Self {
        self.addend = addend;
        self
    }
}

/// The counters cannot be reached; the text holds the cause.
#[derive(Debug, thiserror::Error)]
#[error("the counters cannot be reached: {0}")]
pub struct StoreError(Box<dyn Error + Send + Sync>);

impl StoreError {
    /// Creates an error from what keeps a store from counting.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}
