//! Cuts a byte stream into messages.

use std::fmt;

use bytes::BytesMut;

use super::{Codec, DecodeError, DecodeErrorKind, Measure};
use crate::message::{Demand, Head, Message};

/// Cuts a byte stream into messages with a [`Codec`]; the only code that touches the receive buffer.
///
/// ```
/// # #[cfg(feature = "dubbo")] {
/// use aeraki_codec::{Demand, Decoded, Framer, Limits, Protocol, Role, dubbo::Dubbo};
/// use bytes::BytesMut;
///
/// let mut framer = Framer::new(Dubbo::default().codec(Role::Server, &Limits::default()));
/// let mut received = BytesMut::from(&b"\xda\xbb\xe2\0\0\0\0\0\0\0\0\x07\0\0\0\x01N"[..]);
/// let Decoded::Message(message) = framer.decode(&mut received, &Demand::all())? else { panic!("a whole frame") };
/// assert_eq!(message.id().number(), 7);
/// # }
/// # Ok::<(), aeraki_codec::DecodeError>(())
/// ```
pub struct Framer<C: Codec + ?Sized = dyn Codec> {
    /// Nothing can be decoded before the input has this length.
    wanted: usize,
    /// Length of the frame in progress, where it is known.
    frame: Option<usize>,
    codec: Box<C>,
}

/// What [`Framer::decode`] found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Decoded {
    /// More bytes are needed: [`Framer::wanted`] says how many in all.
    Partial,
    /// One message, removed from the input.
    Message(Message),
    /// One frame that could be cut but not read: its kind and id may serve to answer it.
    Invalid(Message, DecodeError),
    /// Framing has ended; the input is left as it is.
    Opaque,
}

/// How long the input must be before a [`Framer`] goes on, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an end is known or not")]
pub enum Wanted {
    /// Where the message ends is not known: with so many bytes more can be told.
    AtLeast(usize),
    /// The message ends there.
    Exactly(usize),
}

impl Wanted {
    /// Returns the length, whether or not the message ends there.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never zero")]
    pub const fn len(self) -> usize {
        match self {
            Self::AtLeast(len) | Self::Exactly(len) => len,
        }
    }
}

impl<C: Codec + ?Sized> Framer<C> {
    /// Makes a framer around the codec of one connection.
    #[must_use]
    pub const fn new(codec: Box<C>) -> Self {
        Self { wanted: 1, frame: None, codec }
    }

    /// Removes the first message from `input`.
    ///
    /// # Errors
    /// When frame boundaries are lost; the connection must be closed.
    pub fn decode(&mut self, input: &mut BytesMut, demand: &Demand) -> Result<Decoded, DecodeError> {
        if input.len() < self.wanted {
            return Ok(Decoded::Partial);
        }
        let len = match self.frame {
            Some(len) => len,
            None => match self.codec.measure(input).map_err(DecodeError::into_fatal)? {
                Measure::Partial { at_least } => return Ok(self.partial(at_least.max(input.len().saturating_add(1)))),
                Measure::Opaque => return Ok(Decoded::Opaque),
                Measure::Frame { len, .. } => usize::try_from(len)
                    .ok()
                    .filter(|len| *len > 0)
                    .ok_or_else(|| DecodeError::fatal(DecodeErrorKind::FrameTooLarge, 0))?,
            },
        };
        if input.len() < len {
            self.frame = Some(len);
            return Ok(self.partial(len));
        }
        self.frame = None;
        self.wanted = 1;
        let frame = input.split_to(len).freeze();
        let mut head = Head::new();
        match self.codec.parse(&frame, demand, &mut head) {
            Ok(()) => Ok(Decoded::Message(Message::new(frame, head))),
            Err(error) if error.is_fatal() => Err(error),
            Err(error) => Ok(Decoded::Invalid(Message::new(frame, head), error)),
        }
    }

    const fn partial(&mut self, wanted: usize) -> Decoded {
        self.wanted = wanted;
        Decoded::Partial
    }

    /// Returns the length that the input must reach before a message can come out.
    #[must_use]
    pub const fn wanted(&self) -> Wanted {
        match self.frame {
            Some(len) => Wanted::Exactly(len),
            None => Wanted::AtLeast(self.wanted),
        }
    }

    /// Gives access to the codec, for encoding, replies and control events.
    pub const fn codec(&mut self) -> &mut C {
        &mut self.codec
    }
}

impl<C: Codec + ?Sized> fmt::Debug for Framer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framer").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}
