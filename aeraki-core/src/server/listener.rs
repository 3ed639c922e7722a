//! Accepts connections.

use std::{io, net::SocketAddr, sync::Arc};

#[cfg(all(feature = "hot-restart", target_os = "linux"))]
use aeraki_route::config::SocketAddress;
use aeraki_route::config::{self, ConfigError, TcpKeepalive};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpListener;

use super::{
    Drain, ProcessLimit, Serve,
    accept::{Reception, TcpAccept},
    pipe::{NO_ADDRESS, Pipe},
};
use crate::{observe::ListenerStats, socket::replace_keepalive};

/// A socket that accepts connections and hands each to a [`Serve`] in a task of its own.
#[derive(Debug)]
pub struct Listener {
    socket: Bound,
    local: SocketAddr,
    limit: ProcessLimit,
    original_dst: bool,
}

#[derive(Debug)]
enum Bound {
    Tcp(std::net::TcpListener),
    Pipe(Pipe),
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

    /// Listens on a Unix socket for the listener `name`. The file of a socket that nobody listens on any more is
    /// replaced; that of this one is removed with the last handle on it.
    ///
    /// # Errors
    /// When the address cannot be had: the listener, the field and the system's reason.
    pub fn bind_pipe(name: &str, pipe: &config::Pipe, options: &ListenerOptions) -> Result<Self, ConfigError> {
        let bound = Pipe::bind(pipe, options.backlog).map_err(|error| {
            let reason = format!("cannot listen on {:?}: {error}", pipe.path);
            ConfigError::new(format!("listener {name:?}"), "address", reason)
        })?;
        Ok(Self::of(Bound::Pipe(bound), NO_ADDRESS))
    }

    fn of(socket: Bound, local: SocketAddr) -> Self {
        Self { socket, local, limit: ProcessLimit::default(), original_dst: false }
    }

    /// Returns another handle on the same socket, which takes connections from the same queue; the socket is closed
    /// with the last one.
    ///
    /// # Errors
    /// When the system has no room for it: the listener, the field and the system's reason.
    pub fn try_clone(&self, name: &str) -> Result<Self, ConfigError> {
        let cloned = match &self.socket {
            Bound::Tcp(socket) => socket.try_clone().map(Bound::Tcp),
            Bound::Pipe(pipe) => pipe.try_clone().map(Bound::Pipe),
        };
        let socket = cloned.map_err(|error| {
            ConfigError::new(format!("listener {name:?}"), "address", format!("cannot share the socket: {error}"))
        })?;
        Ok(Self { socket, limit: self.limit.clone(), ..*self })
    }

    /// Takes a socket that listens already at `address`, such as one of another process.
    #[cfg(all(feature = "hot-restart", target_os = "linux"))]
    pub(crate) fn from_fd(address: &SocketAddress, socket: std::os::fd::OwnedFd) -> io::Result<Self> {
        if let SocketAddress::Pipe(pipe) = address {
            return Ok(Self::of(Bound::Pipe(Pipe::from_fd(pipe, socket)?), NO_ADDRESS));
        }
        let socket = std::net::TcpListener::from(socket);
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        Ok(Self::of(Bound::Tcp(socket), local))
    }

    /// Returns a handle on the same socket for another process. The file of a Unix socket goes with the last of both.
    #[cfg(all(feature = "hot-restart", target_os = "linux"))]
    pub(crate) fn to_fd(&self) -> io::Result<std::os::fd::OwnedFd> {
        match &self.socket {
            Bound::Tcp(socket) => Ok(socket.try_clone()?.into()),
            Bound::Pipe(pipe) => pipe.to_fd(),
        }
    }

    /// Returns the address that it is bound to; `[::]:0` for a Unix socket, which has none.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Has the system ask the clients of new connections whether they are there while they are silent; none: it does
    /// not ask.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_keepalive(&self, keepalive: Option<&TcpKeepalive>) -> io::Result<()> {
        match &self.socket {
            Bound::Tcp(socket) => replace_keepalive(SockRef::from(socket), keepalive),
            Bound::Pipe(_) => Ok(()),
        }
    }

    /// Sets how many connections the system completes before they are accepted; those that have come stay.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_backlog(&self, size: u32) -> io::Result<()> {
        let size = i32::try_from(size).unwrap_or(i32::MAX);
        match &self.socket {
            Bound::Tcp(socket) => SockRef::from(socket).listen(size),
            Bound::Pipe(pipe) => pipe.set_backlog(size),
        }
    }

    /// Has the connections count towards a limit of the process.
    #[must_use]
    pub fn with_limit(mut self, limit: ProcessLimit) -> Self {
        self.limit = limit;
        self
    }

    /// Sets whether the address that a redirected client meant counts as the one that it connected to.
    #[must_use]
    pub const fn with_original_dst(mut self, original_dst: bool) -> Self {
        self.original_dst = original_dst;
        self
    }

    /// Accepts connections until `drain` begins, then waits for those that are open.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub async fn serve(self, serve: Arc<dyn Serve>, stats: Arc<ListenerStats>, drain: Drain) -> io::Result<()> {
        let reception = Reception { serve, stats, limit: self.limit, drain };
        match self.socket {
            Bound::Tcp(socket) => {
                let socket = TcpListener::from_std(socket)?;
                reception.run(TcpAccept { socket, original_dst: self.original_dst }).await;
            }
            Bound::Pipe(pipe) => reception.run(pipe.accept()?).await,
        }
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
    let local = socket.local_addr()?;
    Ok(Listener::of(Bound::Tcp(socket), local))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins connections to a listener that accepts none, and returns how many of them the system has completed.
    fn completed(listener: &Listener) -> usize {
        let clients = (0..8).map(|_| {
            let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("room for it");
            client.set_nonblocking(true).expect("a socket");
            let _ = client.connect(&listener.local_addr().into());
            client
        });
        clients.collect::<Vec<_>>().iter().filter(|client| client.peer_addr().is_ok()).count()
    }

    #[test]
    fn the_backlog_may_change_while_it_listens() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind("in", address, &ListenerOptions::default()).expect("a free port");
        listener.set_backlog(1).expect("listens");
        // the system lets in one more than it is told to
        assert!(completed(&listener) <= 2);
        listener.set_backlog(u32::MAX).expect("listens");
        assert_eq!(completed(&listener), 8);
    }
}
