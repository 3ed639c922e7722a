//! The sockets of listeners, one for each worker, which outlive the listener that they were bound for.

#[cfg(all(feature = "hot-restart", target_os = "linux"))]
use std::os::fd::OwnedFd;
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::SocketAddr,
    sync::{Arc, Mutex},
};
#[cfg(any(feature = "admin", all(feature = "hot-restart", target_os = "linux")))]
use std::{io, net::TcpListener};

use aeraki_route::config::{ConfigError, Listener, SocketAddress};

#[cfg(all(feature = "hot-restart", target_os = "linux"))]
use super::hot_restart::Given;
use crate::{
    server::{self, Drain, ListenerOptions, Phase},
    sync::lock,
};

/// All sockets that connections come in at. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Sockets(Arc<Mutex<Bound>>);

#[derive(Debug, Default)]
struct Bound {
    listeners: BTreeMap<Key, Vec<server::Listener>>,
    #[cfg(any(feature = "admin", all(feature = "hot-restart", target_os = "linux")))]
    admin: Option<TcpListener>,
}

/// The configured address; where that leaves the port to the system, the name of the listener too.
pub(super) type Key = (SocketAddress, Option<String>);

fn key(listener: &Listener) -> Key {
    (listener.address.clone(), listener.address.is_any().then(|| listener.name.clone()))
}

impl Sockets {
    /// Returns handles on the sockets of the listener, at least one for each worker, which are bound unless they are
    /// bound already.
    pub(super) fn get(&self, listener: &Listener, workers: usize) -> Result<Vec<server::Listener>, ConfigError> {
        let listeners = &mut lock(&self.0).listeners;
        let sockets = match listeners.entry(key(listener)) {
            Entry::Occupied(bound) => bound.into_mut(),
            Entry::Vacant(place) => place.insert(bind(listener, workers)?),
        };
        let handles = sockets.len().max(workers);
        sockets.iter().cycle().take(handles).map(|socket| socket.try_clone(&listener.name)).collect()
    }

    /// Returns a handle on the socket of the admin interface, which is bound unless it is bound already.
    #[cfg(feature = "admin")]
    pub(super) fn admin(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let admin = &mut lock(&self.0).admin;
        let bound = admin.as_ref().filter(|bound| bound.local_addr().is_ok_and(|local| serves(local, address)));
        let socket = match bound {
            Some(bound) => bound.try_clone()?,
            None => TcpListener::bind(address)?,
        };
        *admin = Some(socket.try_clone()?);
        Ok(socket)
    }

    /// Closes the sockets of all but these listeners.
    pub(super) fn keep<'a>(&self, listeners: impl IntoIterator<Item = &'a Listener>) {
        let kept: BTreeSet<Key> = listeners.into_iter().map(key).collect();
        lock(&self.0).listeners.retain(|key, _| kept.contains(key));
    }

    /// Closes the sockets of a listener: a connection that nobody will accept is refused by the system then.
    pub(super) fn close(&self, listener: &Listener) {
        lock(&self.0).listeners.remove(&key(listener));
    }

    /// Closes all sockets when `drain` begins.
    pub(super) async fn close_at(self, drain: Drain) {
        drain.reached(Phase::Draining).await;
        *lock(&self.0) = Bound::default();
    }

    /// Returns a handle on each socket, for another process.
    #[cfg(all(feature = "hot-restart", target_os = "linux"))]
    pub(super) fn handles(&self) -> io::Result<Vec<(Given, OwnedFd)>> {
        let bound = lock(&self.0);
        let of_listeners = bound.listeners.iter().flat_map(|((address, name), sockets)| {
            let given = Given::Listener(address.clone(), name.clone());
            sockets.iter().map(move |socket| Ok((given.clone(), socket.to_fd()?)))
        });
        let of_admin = bound.admin.iter().map(|socket| Ok((Given::Admin, socket.try_clone()?.into())));
        of_listeners.chain(of_admin).collect()
    }

    /// Takes the sockets of another process.
    #[cfg(all(feature = "hot-restart", target_os = "linux"))]
    pub(super) fn adopt(&self, sockets: Vec<(Given, OwnedFd)>) {
        let mut bound = lock(&self.0);
        for (given, socket) in sockets {
            match given {
                Given::Listener(address, name) => match server::Listener::from_fd(&address, socket) {
                    Ok(listener) => bound.listeners.entry((address, name)).or_default().push(listener),
                    Err(error) => tracing::warn!(%address, %error, "a socket of the proxy before cannot be used"),
                },
                Given::Admin => bound.admin = Some(socket.into()),
            }
        }
    }
}

/// Tells whether a socket bound to `local` is what `address` asks for.
#[cfg(feature = "admin")]
fn serves(local: SocketAddr, address: SocketAddr) -> bool {
    local.ip() == address.ip() && (address.port() == 0 || address.port() == local.port())
}

/// Binds one socket for each worker, or one for all.
fn bind(listener: &Listener, workers: usize) -> Result<Vec<server::Listener>, ConfigError> {
    let Listener { name, address, .. } = listener;
    match address {
        SocketAddress::Ip(address) => bind_tcp(name, *address, workers),
        // there is one queue, which the workers take turns at
        SocketAddress::Pipe(pipe) => Ok(vec![server::Listener::bind_pipe(name, pipe, &ListenerOptions::default())?]),
        _ => {
            Err(ConfigError::new(format!("listener {name:?}"), "address", "is of a kind that this proxy does not know"))
        }
    }
}

fn bind_tcp(name: &str, address: SocketAddr, workers: usize) -> Result<Vec<server::Listener>, ConfigError> {
    let alone = ListenerOptions::default();
    if workers == 1 {
        return Ok(vec![server::Listener::bind(name, address, &alone)?]);
    }
    if address.port() != 0 {
        // a process that shares its port would take half of our connections unnoticed
        server::Listener::bind(name, address, &alone)?;
    }
    let shared = alone.with_reuse_port(true);
    let mut sockets = vec![server::Listener::bind(name, address, &shared)?];
    let address = sockets[0].local_addr();
    for _ in 1..workers {
        sockets.push(server::Listener::bind(name, address, &shared)?);
    }
    Ok(sockets)
}
