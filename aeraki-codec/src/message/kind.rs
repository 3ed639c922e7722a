//! What a message is, and how a call ended.

/// Says what part a message plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A request that is answered.
    #[default]
    Request,
    /// A request that is never answered.
    Oneway,
    /// The answer to a request.
    Response,
    /// The answer to a request, reporting an error or an exception instead of a result.
    Error,
    /// A sign of life, or the answer to one; never routed.
    Heartbeat,
    /// A note about the connection itself, such as "send no further requests"; never routed.
    Event,
    /// Opens a stream; from a server: answers that.
    StreamOpen,
    /// Carries data of a stream.
    StreamData,
    /// Ends one direction of a stream.
    StreamEnd,
    /// Ends both directions of a stream.
    StreamReset,
}

impl Kind {
    /// Tells whether the message asks for something to be done, so that it is routed.
    #[must_use]
    pub const fn is_request(self) -> bool {
        matches!(self, Self::Request | Self::Oneway | Self::StreamOpen)
    }

    /// Tells whether the message belongs to a stream that was opened before.
    #[must_use]
    pub const fn is_stream_frame(self) -> bool {
        matches!(self, Self::StreamData | Self::StreamEnd | Self::StreamReset)
    }

    /// Tells whether the message answers a request.
    #[must_use]
    pub const fn is_response(self) -> bool {
        matches!(self, Self::Response | Self::Error)
    }
}

/// Says whether a call succeeded, in the proxy's eyes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The call was carried out; an exception of the application counts as carried out.
    #[default]
    Ok,
    /// The protocol reports a failure of the call itself.
    Error,
}

/// How a call ended: the outcome and the protocol's own code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Status {
    outcome: Outcome,
    code: i32,
}

impl Status {
    /// Joins an outcome with the protocol's own code for it.
    #[must_use]
    pub const fn new(outcome: Outcome, code: i32) -> Self {
        Self { outcome, code }
    }

    /// Returns whether the call succeeded.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        self.outcome
    }

    /// Returns the protocol's own code: the status byte of Dubbo, the exception type of Thrift.
    #[must_use]
    pub const fn code(self) -> i32 {
        self.code
    }
}
