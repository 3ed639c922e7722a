//! The contract between bytes and messages: [`Codec`], [`Protocol`], and what they are made of.

mod error;
mod framer;
mod limits;
mod options;
mod output;
mod registry;
mod reply;
#[cfg(feature = "tokio-util")]
mod tokio_util;
mod wire;

use std::{fmt, sync::Arc};

#[cfg(feature = "dubbo")]
pub(crate) use self::options::switch;
pub use self::{
    error::{DecodeError, DecodeErrorKind, EncodeError},
    framer::{Decoded, Framer, Wanted},
    limits::Limits,
    options::OptionError,
    output::{Mark, Output},
    registry::Registry,
    reply::{Answer, LocalReply, Reason, Receipt, Refusal},
    wire::{Affinity, Carries, Detection, IdSpace, Opening, Replies, Role, Serving, Wire},
};
use crate::message::{Demand, Head, Message};

/// Translates between the bytes of one connection and messages.
///
/// One instance belongs to one connection and one task, and sees both directions in wire order, so it may keep state
/// (a detected transport, a handshake). It never blocks, never looks at a clock and never trusts a length.
///
/// Contract:
/// * Between two calls of [`measure`](Self::measure) that return [`Measure::Partial`] the input only grows at its end.
///   The work is amortised O(new bytes): a codec that must walk a message to find its end keeps a resume offset.
/// * [`parse`](Self::parse) gets exactly the frame that `measure` announced.
/// * [`encode`](Self::encode) of a message without a mutation and with its own id writes the frame byte for byte, but
///   for a goodbye in it: that is said by the proxy to its own clients, and not passed on.
/// * All frames of a stream have the [`id`](Message::id) of the message that opened it, a number. Window updates and
///   the like are [`StreamData`](crate::Kind::StreamData): they pass the proxy from end to end.
pub trait Codec: Send {
    /// Finds the end of the first frame of `input`, without reading more of it than that takes.
    ///
    /// # Errors
    /// Every error is fatal: the frame boundaries are lost and the connection must be closed.
    fn measure(&mut self, input: &[u8]) -> Result<Measure, DecodeError>;

    /// Reads kind, id, status and the demanded attributes of one whole frame into `out`, which is empty.
    ///
    /// # Errors
    /// Not fatal: the frame has been cut, the connection goes on. Kind and id are set before anything can fail,
    /// so that a bad request can be answered.
    fn parse(&mut self, frame: &[u8], demand: &Demand, out: &mut Head) -> Result<(), DecodeError>;

    /// Writes a message under its present [`id`](Message::id) and with its mutation.
    ///
    /// # Errors
    /// When the message cannot be written as asked; then nothing at all was written.
    fn encode(&mut self, message: &Message, out: &mut Output) -> Result<(), EncodeError>;

    /// Answers a request in the proxy's own name.
    ///
    /// The receipt of a [`StreamOpen`](crate::Kind::StreamOpen) asks for the stream to be refused, that of any other
    /// frame of a stream for a frame that ends both its directions, to a client or to a server.
    ///
    /// Returns [`Answer::Close`] where the protocol has no way to say it, and the connection must be closed instead.
    ///
    /// # Errors
    /// When the reply cannot be written; then nothing at all was written.
    fn reply(&mut self, to: &Receipt, reply: &LocalReply, out: &mut Output) -> Result<Answer, EncodeError>;

    /// Deals with what concerns the connection and not a request: handshakes, heartbeats, drain.
    ///
    /// # Errors
    /// When something had to be written and could not be; the connection must be closed.
    fn control(&mut self, event: Control<'_>, out: &mut Output) -> Result<Flow, EncodeError> {
        let _ = (event, out);
        Ok(Flow::Ignored)
    }
}

/// What [`Codec::measure`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Measure {
    /// The frame is not whole yet.
    Partial {
        /// The input must reach this length before it is worth asking again; always more than there is now.
        at_least: usize,
    },
    /// The input starts with a frame whose length is known, though not all of it may have arrived.
    Frame {
        /// Length of the part that [`Codec::parse`] looks at, in bytes; at most `len`.
        head: usize,
        /// Length of the whole frame in bytes, at least 1.
        len: u64,
    },
    /// Framing ends here: what follows is not for this codec, and the connection becomes a plain tunnel.
    Opaque,
}

/// What [`Codec::control`] is told.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Control<'a> {
    /// The connection is open, nothing was sent yet.
    Open,
    /// A [`Heartbeat`](crate::Kind::Heartbeat) or [`Event`](crate::Kind::Event) came in.
    Frame(&'a Message),
    /// The connection has been idle: a sign of life is due.
    Ping,
    /// The connection is going to be drained: say goodbye, if the protocol can, at once or with the answers to come.
    Goodbye,
}

/// What [`Codec::control`] decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flow {
    /// The codec has no use for the event.
    Ignored,
    /// The event is dealt with; an answer may have been written.
    Handled,
    /// Requests must wait until the codec says [`Ready`](Self::Ready).
    Hold,
    /// Requests may flow.
    Ready,
    /// The server wants no further requests on this connection; answers still come. An answer that says so by itself is
    /// marked by [`Head::set_goodbye`].
    Drain,
    /// The connection must be closed after what was written.
    Close,
}

/// Describes a protocol and makes the codecs of its connections.
pub trait Protocol: Send + Sync + fmt::Debug + 'static {
    /// Returns the name that appears in configuration and metrics, such as `dubbo`.
    fn name(&self) -> &str;

    /// Tells how requests and responses are matched and ordered.
    fn wire(&self) -> Wire;

    /// Makes the codec of one connection.
    fn codec(&self, role: Role, limits: &Limits) -> Box<dyn Codec>;

    /// Makes the same protocol with an option that a configuration sets, by name and value; the default knows none.
    ///
    /// # Errors
    /// An option that is not known, or a value that it does not take.
    fn with_option(&self, name: &str, value: &str) -> Result<Arc<dyn Protocol>, OptionError> {
        let _ = (name, value);
        Err(OptionError::Unknown)
    }

    /// Tells whether messages of this protocol can carry changed attributes.
    fn carries(&self) -> Carries {
        Carries::Never
    }

    /// Tells whether the proxy's own answers can have this [status](LocalReply::with_status) of the protocol; the
    /// default is a protocol without numeric statuses.
    fn writes_status(&self, status: u32) -> bool {
        let _ = status;
        false
    }

    /// Tells whether a client that begins with these bytes, of which there may be none yet, speaks this protocol; none,
    /// the default: that cannot be told.
    fn detect(&self, first: &[u8]) -> Option<Detection> {
        let _ = first;
        None
    }

    /// Tells whether an answer says that the request was not taken, so that it was certainly not executed, and why;
    /// none, the default: it does not.
    fn refusal(&self, answer: &Message) -> Option<Refusal> {
        let _ = answer;
        None
    }
}
