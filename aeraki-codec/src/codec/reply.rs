//! Answers that the proxy gives in its own name.

use std::{borrow::Cow, fmt};

use bytes::Bytes;

use crate::message::{Id, Kind, Message};

macro_rules! reasons {
    ($($(#[$doc:meta])+ $name:ident = $text:literal,)+) => {
        /// Why the proxy answers instead of an upstream.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])+ $name,)+ }

        impl Reason {
            /// All reasons, for tables of counters and for tests.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Returns the name used in metrics and logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

reasons! {
    /// No route matches, or no routes have been received yet.
    RouteNotFound = "route_not_found",
    /// The route names a cluster that does not exist.
    ClusterNotFound = "cluster_not_found",
    /// The cluster has no endpoint to send to.
    NoHealthyUpstream = "no_healthy_upstream",
    /// No connection to the endpoint could be made.
    ConnectFailure = "connect_failure",
    /// The upstream connection went away before the answer came.
    UpstreamClosed = "upstream_closed",
    /// A bound of the cluster (connections, pending requests) is reached.
    Overflow = "overflow",
    /// The answer did not come in time.
    Timeout = "timeout",
    /// A rate limit is exhausted.
    OverLimit = "over_limit",
    /// A policy forbids the request.
    Denied = "denied",
    /// A fault was injected.
    Fault = "fault",
    /// The proxy has more work than it takes on.
    Shed = "shed",
    /// The request cannot be understood.
    BadRequest = "bad_request",
    /// The response cannot be understood.
    BadResponse = "bad_response",
    /// Anything else.
    Unspecified = "unspecified",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An answer by the proxy: a reason for machines and a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    reason: Reason,
    text: Cow<'static, str>,
    status: Option<u32>,
}

impl LocalReply {
    /// Makes an answer; the text says what the proxy did.
    #[must_use]
    pub fn new(reason: Reason, text: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, text: text.into(), status: None }
    }

    /// Asks for this status of the protocol instead of the one that stands for the reason; a codec without numeric
    /// statuses, or without this one ([`Protocol::writes_status`](crate::Protocol::writes_status)), goes by the reason.
    #[must_use]
    pub fn with_status(mut self, status: u32) -> Self {
        self.status = Some(status);
        self
    }

    /// Returns the status of the protocol that is asked for.
    #[must_use]
    pub const fn status(&self) -> Option<u32> {
        self.status
    }

    /// Returns the reason.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns the text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for LocalReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.text)
    }
}

impl std::error::Error for LocalReply {}

/// Why a server, or a proxy before it, did not take a request; what [`Protocol::refusal`](crate::Protocol::refusal)
/// found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no room for it here; there may be elsewhere.
    Busy,
    /// A limit is meant to keep it out: [`Reason::OverLimit`] or [`Reason::Shed`] of a proxy.
    OverLimit,
}

/// Tells what [`Codec::reply`](crate::Codec::reply) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The reply was written.
    Written,
    /// The protocol cannot say it: the connection must be closed instead.
    Close,
}

/// What a reply needs of its request, kept small while the request is under way.
#[derive(Clone, Debug)]
pub struct Receipt {
    id: Id,
    kind: Kind,
    dialect: u32,
    notes: [u32; 4],
    echo: Bytes,
}

impl Receipt {
    /// Takes what is needed of a request; its frame is kept alive only if it is at most 16 KiB long.
    pub(crate) fn of(message: &Message) -> Self {
        let head = message.head();
        let echo = head.echo().and_then(|span| message.text(span)).map_or_else(Bytes::new, |text| {
            if message.frame().len() <= PINNED && is_part(message.frame(), text) {
                message.frame().slice_ref(text)
            } else {
                Bytes::copy_from_slice(text)
            }
        });
        Self { id: head.id(), kind: head.kind(), dialect: head.dialect(), notes: head.notes(), echo }
    }

    /// Goes on as the receipt of the stream that the request has opened: a reply to it ends the stream.
    #[must_use]
    pub const fn into_opened(mut self) -> Self {
        self.kind = Kind::StreamData;
        self
    }

    /// Returns the id of the request.
    #[must_use]
    pub const fn id(&self) -> Id {
        self.id
    }

    /// Returns the kind of the request.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Tells whether the request may be answered at all.
    #[must_use]
    pub const fn wants_answer(&self) -> bool {
        !matches!(self.kind, Kind::Oneway | Kind::Heartbeat | Kind::Event)
    }

    /// Returns the dialect of the request; see [`Head::dialect`](crate::Head::dialect).
    #[must_use]
    pub const fn dialect(&self) -> u32 {
        self.dialect
    }

    /// Returns the codec's own numbers; see [`Head::notes`](crate::Head::notes).
    #[must_use]
    pub const fn notes(&self) -> [u32; 4] {
        self.notes
    }

    /// Returns the bytes that the reply repeats; see [`Head::echo`](crate::Head::echo).
    #[must_use]
    pub fn echo(&self) -> &[u8] {
        &self.echo
    }
}

fn is_part(frame: &[u8], text: &[u8]) -> bool {
    let (frame, text) = (frame.as_ptr_range(), text.as_ptr_range());
    frame.start <= text.start && text.end <= frame.end
}

/// Frames up to this length may be kept alive by what outlives their turn.
const PINNED: usize = 16 * 1024;
