//! Accepts connections.

use std::{io, net::SocketAddr, sync::Arc};

use aeraki_route::config::{ConfigError, TcpKeepalive};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpListener;

use super::{Drain, ProcessLimit, Serve, accept::Reception};
use crate::{observe::ListenerStats, socket::set_keepalive};

/// A socket that accepts connections and hands each to a [`Serve`] in a task of its own.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    local: SocketAddr,
    limit: ProcessLimit,
}

/// How a [`Listener`] is bound.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ListenerOptions {
    /// Whether several workers may bind the same address, each with a queue of its own; default: no.
    pub reuse_port: bool,
    /// Connections that the system completes before they are accepted; default 1024.
    pub backlog: i32,
}

impl ListenerOptions {
    /// Sets whether several workers may bind the same address.
    #[must_use]
    pub const fn with_reuse_port(mut self, reuse_port: bool) -> Self {
        self.reuse_port = reuse_port;
        self
    }
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self { reuse_port: false, backlog: 1024 }
    }
}

impl Listener {
    /// Binds `address` for the listener `name`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be had: the listener, the field and the system's reason.
    pub fn bind(name: &str, address: SocketAddr, options: &ListenerOptions) -> Result<Self, ConfigError> {
        bind(address, options).map_err(|error| {
            let reason = format!("cannot listen on {address}: {error}");
            ConfigError::new(format!("listener {name:?}"), "address", reason)
        })
    }

    /// Returns another handle on the same socket, which takes connections from the same queue; the socket is closed with
    /// the last one.
    ///
    /// # Errors
    /// When the system has no room for it: the listener, the field and the system's reason.
    pub fn try_clone(&self, name: &str) -> Result<Self, ConfigError> {
        let socket = self.socket.try_clone().map_err(|error| {
            ConfigError::new(format!("listener {name:?}"), "address", format!("cannot share the socket: {error}"))
        })?;
        Ok(Self { socket, local: self.local, limit: self.limit.clone() })
    }

    /// Takes a socket that listens already, such as one of another process.
    #[cfg(all(feature = "hot-restart", target_os = "linux"))]
    pub(crate) fn from_fd(socket: std::os::fd::OwnedFd) -> io::Result<Self> {
        let socket = std::net::TcpListener::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self { local: socket.local_addr()?, socket, limit: ProcessLimit::default() })
    }

    /// Returns a handle on the same socket for another process.
    #[cfg(all(feature = "hot-restart", target_os = "linux"))]
    pub(crate) fn to_fd(&self) -> io::Result<std::os::fd::OwnedFd> {
        Ok(self.socket.try_clone()?.into())
    }

    /// Returns the address that it is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Has the system ask the clients of new connections whether they are there while they are silent; none: it does not
    /// ask.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_keepalive(&self, keepalive: Option<&TcpKeepalive>) -> io::Result<()> {
        set_keepalive(SockRef::from(&self.socket), keepalive)
    }

    /// Has the connections count towards a limit of the process.
    #[must_use]
    pub fn with_limit(mut self, limit: ProcessLimit) -> Self {
        self.limit = limit;
        self
    }

    /// Accepts connections until `drain` begins, then waits for those that are open.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub async fn serve(self, serve: Arc<dyn Serve>, stats: Arc<ListenerStats>, drain: Drain) -> io::Result<()> {
        let socket = TcpListener::from_std(self.socket)?;
        Reception { serve, stats, limit: self.limit, drain }.run(socket).await;
        Ok(())
    }
}

fn bind(address: SocketAddr, options: &ListenerOptions) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    // connections have the options of the socket that accepts them; without this one small answers wait
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(options.backlog)?;
    let socket = std::net::TcpListener::from(socket);
    Ok(Listener { local: socket.local_addr()?, socket, limit: ProcessLimit::default() })
}
