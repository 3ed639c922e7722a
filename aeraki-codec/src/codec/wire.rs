//! How a protocol matches, orders and binds its messages.

/// Tells which end of a connection a codec serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The peer is a client: requests come in, responses go out.
    Server,
    /// The peer is a server: requests go out, responses come in.
    Client,
}

/// How a protocol matches and orders requests and responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wire {
    /// The ids that a request can carry.
    pub id: IdSpace,
    /// The order in which clients expect their answers.
    pub replies: Replies,
    /// Whether servers of this protocol work on several requests of one connection at a time.
    pub server: Serving,
    /// What servers do when a stream is opened; of no account where the protocol has no streams.
    pub opening: Opening,
}

impl Wire {
    /// Describes a protocol, whose servers answer when a stream is opened.
    #[must_use]
    pub const fn new(id: IdSpace, replies: Replies, server: Serving) -> Self {
        Self { id, replies, server, opening: Opening::Answered }
    }

    /// Sets what servers do when a stream is opened.
    #[must_use]
    pub const fn with_opening(mut self, opening: Opening) -> Self {
        self.opening = opening;
        self
    }
}

/// The ids that a request can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdSpace {
    /// None: responses can only be matched by their order.
    None,
    /// Numbers of this many bits.
    Bits(u8),
    /// Texts.
    Text,
}

/// The order in which clients expect their answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replies {
    /// In the order of the requests.
    InOrder,
    /// In any order: clients match ids.
    AnyOrder,
}

/// How servers of a protocol work on the requests of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Serving {
    /// One after the other: a second request waits behind the first. They ask nothing themselves.
    Serial,
    /// Several at a time.
    Concurrent,
}

/// What servers of a protocol do when a stream is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opening {
    /// They send a frame of the stream, or refuse it with a [`Response`](crate::Kind::Response) or an
    /// [`Error`](crate::Kind::Error), without waiting for more from the client: until then the stream is not open.
    Answered,
    /// They may wait for more from the client first: a stream is open as soon as that has been asked for.
    Silent,
}

/// Which upstream connection a message needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Affinity {
    /// Any connection, shared with others.
    #[default]
    Any,
    /// A connection that nobody else uses until the answer has come.
    Exclusive,
    /// The one upstream connection that belongs to this downstream connection from now on.
    Bound,
}

/// Whether messages of a protocol can carry changed attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Carries {
    /// Always.
    Always,
    /// It depends on the connection, such as the transport that the client chose.
    Sometimes,
    /// Never: a configured mutation is an error.
    Never,
}

/// What the first bytes of a client tell of the protocol that it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Detection {
    /// It is this protocol.
    Yes,
    /// It is another one.
    No,
    /// More bytes are needed.
    More,
}
