//! Accepts connections.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use aeraki_route::config::{ConfigError, TcpKeepalive};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

use super::{Accepted, Drain, Phase, Serve};
use crate::{observe::ListenerStats, socket::set_options};

/// A socket that accepts connections and hands each to a [`Serve`] in a task of its own.
#[derive(Debug)]
pub struct Listener {
    socket: std::net::TcpListener,
    local: SocketAddr,
}

/// How a [`Listener`] is bound.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ListenerOptions {
    /// Whether several workers may bind the same address, each with a queue of its own; default: no.
    pub reuse_port: bool,
    /// Connections that the system completes before they are accepted; default 1024.
    pub backlog: i32,
    /// Has the system ask silent clients whether they are there; default: it does not ask.
    pub keepalive: Option<TcpKeepalive>,
}

impl ListenerOptions {
    /// Sets whether several workers may bind the same address.
    #[must_use]
    pub const fn with_reuse_port(mut self, reuse_port: bool) -> Self {
        self.reuse_port = reuse_port;
        self
    }

    /// Has the system ask silent clients whether they are there.
    #[must_use]
    pub const fn with_keepalive(mut self, keepalive: Option<TcpKeepalive>) -> Self {
        self.keepalive = keepalive;
        self
    }
}

impl Default for ListenerOptions {
    fn default() -> Self {
        Self { reuse_port: false, backlog: 1024, keepalive: None }
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
    /// the last one. Connections have the `keepalive` of the last handle that was made.
    ///
    /// # Errors
    /// When the system refuses: the listener, the field and the system's reason.
    pub fn share(&self, name: &str, keepalive: Option<&TcpKeepalive>) -> Result<Self, ConfigError> {
        let share = || {
            let socket = self.socket.try_clone()?;
            match keepalive {
                Some(_) => set_options(SockRef::from(&socket), keepalive)?,
                None => SockRef::from(&socket).set_keepalive(false)?,
            }
            Ok(Self { socket, local: self.local })
        };
        share().map_err(|error: io::Error| {
            ConfigError::new(format!("listener {name:?}"), "address", format!("cannot share the socket: {error}"))
        })
    }

    /// Returns the address that it is bound to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Accepts connections until `drain` begins, then waits for those that are open.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub async fn serve(self, serve: Arc<dyn Serve>, stats: Arc<ListenerStats>, drain: Drain) -> io::Result<()> {
        let socket = TcpListener::from_std(self.socket)?;
        let mut connections = JoinSet::new();
        let mut draining = pin!(drain.reached(Phase::Draining));
        loop {
            tokio::select! {
                biased;
                () = &mut draining => break,
                Some(_) = connections.join_next() => {}
                accepted = socket.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let accepted = Accepted::new(peer, stream.local_addr().unwrap_or(self.local));
                        let served = serve.serve(Box::new(stream), accepted, drain.clone());
                        connections.spawn(counted(served, Arc::clone(&stats)));
                    }
                    Err(error) => {
                        stats.connections.downstream_cx_error.inc();
                        tracing::warn!(address = %self.local, %error, "a connection could not be accepted");
                        if !is_about_one_connection(&error) {
                            sleep(BACK_OFF).await;
                        }
                    }
                },
            }
        }
        drop(socket);
        while connections.join_next().await.is_some() {}
        Ok(())
    }
}

async fn counted(served: impl Future<Output = ()>, stats: Arc<ListenerStats>) {
    stats.connections.downstream_cx_total.inc();
    let _open = stats.connections.downstream_cx_active.enter();
    served.await;
}

fn bind(address: SocketAddr, options: &ListenerOptions) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    // connections have the options of the socket that accepts them
    set_options(SockRef::from(&socket), options.keepalive.as_ref())?;
    socket.bind(&address.into())?;
    socket.listen(options.backlog)?;
    let socket = std::net::TcpListener::from(socket);
    Ok(Listener { local: socket.local_addr()?, socket })
}

/// Tells whether the next connection may well be accepted at once.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// How long to wait when the system has no room for another connection, such as too many open files.
const BACK_OFF: Duration = Duration::from_millis(100);
