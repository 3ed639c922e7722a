//! What travels through the stack.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use aeraki_codec::{LocalReply, Message, Protocol};
use aeraki_route::{
    Placement, Rules,
    config::{RoutingPriority, SocketAddress},
};

use super::local_limit::OwnLimits;
use crate::{
    observe::Facts,
    upstream::{Bindings, Flight, StreamHandle},
};

/// Any error that ends a request; the outermost layer makes a reply of it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The future at a seam of the stack.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One request on its way upstream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The message; boxed, since it passes many hands.
    pub message: Box<Message>,
    /// The connection that it came on.
    pub conn: Arc<ConnInfo>,
    /// The rules that judge it, whatever comes into force meanwhile.
    pub rules: Arc<Rules>,
    /// What is known of it so far.
    pub facts: Facts,
    /// Which endpoint of its cluster it should go to; none: any. Boxed, since most say nothing and all pass many hands.
    pub placement: Option<Box<Placement>>,
    /// How urgent it is.
    pub priority: RoutingPriority,
    /// Hosts that it failed on, which the balancer avoids where there are others.
    pub(crate) avoid: Option<Arc<Vec<SocketAddress>>>,
    /// Whether it was tried before.
    pub(crate) retry: bool,
}

impl Request {
    /// Makes a request.
    #[must_use]
    #[inline]
    pub fn new(message: impl Into<Box<Message>>, conn: Arc<ConnInfo>, rules: Arc<Rules>, facts: Facts) -> Self {
        let (placement, priority, avoid, retry) = Default::default();
        Self { message: message.into(), conn, rules, facts, placement, priority, avoid, retry }
    }
}

/// How a request ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Response {
    /// The upstream's answer.
    Message(Box<Message>),
    /// An answer by the proxy, which the connection's own codec writes.
    Local(LocalReply),
    /// Nothing is to be answered: the request was one-way and has been written.
    Oneway,
    /// A stream is open; with the frame by which the upstream said so, where it did.
    Stream(Option<Box<Message>>, Box<StreamHandle>),
}

impl Response {
    /// Returns the upstream's answer, also the one that opened a stream.
    #[must_use]
    pub fn message(&self) -> Option<&Message> {
        match self {
            Self::Message(message) | Self::Stream(Some(message), _) => Some(message),
            _ => None,
        }
    }

    /// Gives access to the upstream's answer, also to the one that opened a stream.
    pub fn message_mut(&mut self) -> Option<&mut Message> {
        match self {
            Self::Message(message) | Self::Stream(Some(message), _) => Some(message),
            _ => None,
        }
    }
}

/// What is known of a downstream connection.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnInfo {
    /// Name of the listener.
    pub listener: Arc<str>,
    /// Protocol of the connection.
    pub protocol: Arc<dyn Protocol>,
    /// Address of the peer; over a Unix socket, where there is none, `[::]:0`, as is `local`.
    pub peer: SocketAddr,
    /// The address that the peer has connected to: our own, unless it is [restored](Self::restored).
    pub local: SocketAddr,
    /// Whether `local` is the address that the peer meant before its connection came to be ours.
    pub restored: bool,
    /// Identity of the peer as in its certificate, without `spiffe://`; none where it has shown none.
    pub principal: Option<Arc<str>>,
    /// The upstream connections that belong to it.
    pub(crate) bindings: Bindings,
    /// The limits that count it alone.
    pub(super) limits: OwnLimits,
}

impl ConnInfo {
    /// Describes a connection.
    #[must_use]
    pub fn new(listener: Arc<str>, protocol: Arc<dyn Protocol>, peer: SocketAddr, local: SocketAddr) -> Self {
        let (bindings, limits) = Default::default();
        Self { listener, protocol, peer, local, restored: false, principal: None, bindings, limits }
    }

    /// Returns the address that the peer meant before its connection came to be ours, where that is known.
    #[must_use]
    pub fn original_dst(&self) -> Option<SocketAddr> {
        self.restored.then_some(self.local)
    }

    /// Sets the identity of the peer, without `spiffe://`.
    #[must_use]
    pub fn with_principal(mut self, principal: impl Into<Arc<str>>) -> Self {
        self.principal = Some(principal.into());
        self
    }
}

/// Sends a request further, at a seam of the stack: route to cluster, cluster to endpoint.
///
/// An error that has a [`LocalReply`] among its sources is answered with it; any other is answered as
/// [`Unspecified`](aeraki_codec::Reason::Unspecified).
pub trait Forward: Send + Sync + fmt::Debug + 'static {
    /// Sends `request` and waits for its end.
    fn forward(&self, request: Request) -> Forwarding;
}

/// A request on its way through a [`Forward`], until its end.
pub struct Forwarding(Way);

enum Way {
    /// To an endpoint that was known at once, as nearly always: no allocation.
    Direct(Flight),
    Boxed(BoxFuture<Result<Response, BoxError>>),
}

impl Forwarding {
    /// Puts any future on its way.
    #[must_use]
    pub fn boxed(future: impl Future<Output = Result<Response, BoxError>> + Send + 'static) -> Self {
        Self(Way::Boxed(Box::pin(future)))
    }

    #[inline]
    pub(crate) const fn direct(flight: Flight) -> Self {
        Self(Way::Direct(flight))
    }
}

impl Future for Forwarding {
    type Output = Result<Response, BoxError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Way::Direct(flight) => Pin::new(flight).poll(cx),
            Way::Boxed(future) => future.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarding").finish_non_exhaustive()
    }
}
