//! How many connections there may be: of one listener, and of all together.

#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use aeraki_route::{Place, Places, config};
use tokio::time::sleep;

use super::{Accepted, Drain, Phase, Serve};
use crate::{
    io::Io,
    observe::{Collect, Counter, Gauge, Samples, Value},
    stack::BoxFuture,
};

/// Bounds the connections of all listeners of a process together. Cheap to clone; the default is no bound.
#[derive(Clone, Debug)]
pub struct ProcessLimit {
    open: Places,
    most: Arc<AtomicU32>,
}

impl ProcessLimit {
    /// Makes a limit of so many connections; `None`: any number.
    #[must_use]
    pub fn new(most: Option<u32>) -> Self {
        let limit = Self { open: Places::default(), most: Arc::default() };
        limit.set(most);
        limit
    }

    /// Changes the number; connections that are open stay.
    pub fn set(&self, most: Option<u32>) {
        self.most.store(most.unwrap_or(u32::MAX), Relaxed);
    }

    pub(super) fn take(&self) -> Option<Place> {
        self.open.take(self.most.load(Relaxed))
    }
}

impl Default for ProcessLimit {
    fn default() -> Self {
        Self::new(None)
    }
}

/// Bounds the connections of a listener, those of all workers together. Cheap to clone.
///
/// Its numbers are `connection_limit.<stat prefix>.active_connections` and `.limited_connections`, as Envoy's filter
/// has them.
#[derive(Clone, Debug)]
pub struct ConnectionLimit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: config::ConnectionLimit,
    open: Places,
    active: Gauge,
    limited: Counter,
}

impl ConnectionLimit {
    /// Makes a limit that nobody has reached.
    #[must_use]
    pub fn new(config: config::ConnectionLimit) -> Self {
        Self(Arc::new(Shared {
            config,
            open: Places::default(),
            active: Gauge::default(),
            limited: Counter::default(),
        }))
    }

    /// Serves as many connections as there may be by `inner`, and closes the others.
    #[must_use]
    pub fn serve(&self, inner: Arc<dyn Serve>) -> Arc<dyn Serve> {
        Arc::new(Limited { limit: self.clone(), inner })
    }
}

impl Collect for ConnectionLimit {
    fn collect(&self, samples: &mut Samples) {
        let Shared { config, active, limited, .. } = &*self.0;
        samples
            .scope("connection_limit", &[("stat_prefix", &config.stat_prefix)])
            .add("active_connections", "Connections that are open.", Value::Gauge(active.get()))
            .add("limited_connections", "Connections that were closed: too many.", Value::Counter(limited.get()));
    }
}

#[derive(Debug)]
struct Limited {
    limit: ConnectionLimit,
    inner: Arc<dyn Serve>,
}

impl Serve for Limited {
    fn serve(&self, io: Box<dyn Io>, accepted: Accepted, drain: Drain) -> BoxFuture<()> {
        let active = Active::new(&self.limit);
        let Some(place) = self.limit.0.open.take(self.limit.0.config.max_connections) else {
            self.limit.0.limited.inc();
            return Box::pin(refuse(io, active, drain));
        };
        let served = self.inner.serve(io, accepted, drain);
        Box::pin(async move {
            let _held = (active, place);
            served.await;
        })
    }
}

async fn refuse(io: Box<dyn Io>, active: Active, drain: Drain) {
    let delay = active.0.config.delay;
    if !delay.is_zero() {
        tokio::select! {
            () = drain.reached(Phase::Draining) => {}
            () = sleep(delay) => {}
        }
    }
    drop(io);
}

/// A connection that is open, whether it is served or not.
struct Active(Arc<Shared>);

impl Active {
    fn new(limit: &ConnectionLimit) -> Self {
        limit.0.active.inc();
        Self(Arc::clone(&limit.0))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.dec();
    }
}
