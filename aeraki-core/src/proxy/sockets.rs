//! The sockets of listeners, one for each worker, which outlive the listener that they were bound for.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use aeraki_route::config::{ConfigError, Listener};

use crate::{
    server::{self, Drain, ListenerOptions, Phase},
    sync::lock,
};

/// The sockets of all listeners. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Sockets(Arc<Mutex<BTreeMap<Key, Vec<server::Listener>>>>);

/// The configured address; where that leaves the port to the system, the name of the listener too.
type Key = (SocketAddr, Option<String>);

fn key(listener: &Listener) -> Key {
    (listener.address, (listener.address.port() == 0).then(|| listener.name.clone()))
}

impl Sockets {
    /// Returns a handle on each socket of the listener, which is bound unless it is bound already.
    pub(super) fn get(&self, listener: &Listener, workers: usize) -> Result<Vec<server::Listener>, ConfigError> {
        let mut known = lock(&self.0);
        let sockets = match known.entry(key(listener)) {
            Entry::Occupied(bound) => bound.into_mut(),
            Entry::Vacant(place) => place.insert(bind(listener, workers)?),
        };
        sockets.iter().map(|socket| socket.try_clone(&listener.name)).collect()
    }

    /// Closes the sockets of all but these listeners.
    pub(super) fn keep<'a>(&self, listeners: impl IntoIterator<Item = &'a Listener>) {
        let kept: BTreeSet<Key> = listeners.into_iter().map(key).collect();
        lock(&self.0).retain(|key, _| kept.contains(key));
    }

    /// Closes all sockets when `drain` begins: a connection that nobody will accept is refused by the system then.
    pub(super) async fn close_at(self, drain: Drain) {
        drain.reached(Phase::Draining).await;
        self.keep([]);
    }
}

/// Binds one socket for each worker.
fn bind(listener: &Listener, workers: usize) -> Result<Vec<server::Listener>, ConfigError> {
    let alone = ListenerOptions::default();
    if workers == 1 {
        return Ok(vec![server::Listener::bind(&listener.name, listener.address, &alone)?]);
    }
    if listener.address.port() != 0 {
        // a process that shares its port would take half of our connections unnoticed
        server::Listener::bind(&listener.name, listener.address, &alone)?;
    }
    let shared = alone.with_reuse_port(true);
    let mut sockets = vec![server::Listener::bind(&listener.name, listener.address, &shared)?];
    let address = sockets[0].local_addr();
    for _ in 1..workers {
        sockets.push(server::Listener::bind(&listener.name, address, &shared)?);
    }
    Ok(sockets)
}
