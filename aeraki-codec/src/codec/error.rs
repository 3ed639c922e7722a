//! What can be wrong with bytes that came in, or with a message that is to go out.

use std::fmt;

/// Says what is wrong with the bytes of a peer, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    kind: DecodeErrorKind,
    offset: u32,
    fatal: bool,
}

impl DecodeError {
    /// Makes an error about one frame; the connection can go on. `offset` counts bytes from the frame's start.
    #[must_use]
    pub fn new(kind: DecodeErrorKind, offset: usize) -> Self {
        Self { kind, offset: u32::try_from(offset).unwrap_or(u32::MAX), fatal: false }
    }

    /// Makes an error after which frame boundaries are lost.
    #[must_use]
    pub fn fatal(kind: DecodeErrorKind, offset: usize) -> Self {
        Self { fatal: true, ..Self::new(kind, offset) }
    }

    /// Returns the same error as one after which frame boundaries are lost.
    #[must_use]
    pub const fn into_fatal(self) -> Self {
        Self { fatal: true, ..self }
    }

    /// Moves the offset by the length of what came before.
    #[must_use]
    pub fn shifted(self, by: usize) -> Self {
        Self { offset: self.offset.saturating_add(u32::try_from(by).unwrap_or(u32::MAX)), ..self }
    }

    /// Returns what is wrong.
    #[must_use]
    pub const fn kind(self) -> DecodeErrorKind {
        self.kind
    }

    /// Returns where it is wrong, in bytes from the start of the input.
    #[must_use]
    pub const fn offset(self) -> usize {
        self.offset as usize
    }

    /// Tells whether the connection must be closed.
    #[must_use]
    pub const fn is_fatal(self) -> bool {
        self.fatal
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.offset)
    }
}

impl std::error::Error for DecodeError {}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $name:ident = $text:literal,)+) => {
        /// What is wrong with the bytes of a peer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum DecodeErrorKind { $($(#[$doc])+ $name,)+ }

        impl DecodeErrorKind {
            /// All kinds, for tables of counters.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Returns the name used in metrics and logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

kinds! {
    /// A map was expected where attachments belong.
    AttachmentsNotAMap = "attachments_not_a_map",
    /// A chunk of a string or binary is followed by something else.
    BadChunk = "bad_chunk",
    /// A reference to a class definition that does not exist.
    BadClassRef = "bad_class_ref",
    /// A list of parameter types that does not follow the grammar.
    BadDescriptor = "bad_descriptor",
    /// The frame does not begin as the protocol demands.
    BadMagic = "bad_magic",
    /// A message type that the protocol does not know.
    BadMessageType = "bad_message_type",
    /// A reference to a value that does not exist.
    BadRef = "bad_ref",
    /// A response type that the protocol does not know.
    BadResponseType = "bad_response_type",
    /// A reference to a type name that does not exist.
    BadTypeRef = "bad_type_ref",
    /// Bytes that are not text in the protocol's encoding.
    BadUtf8 = "bad_utf8",
    /// A value of another type than the protocol demands at this place of the body.
    BodyTypeMismatch = "body_type_mismatch",
    /// The frame ends inside its body.
    BodyTruncated = "body_truncated",
    /// The frame claims more than the limit.
    FrameTooLarge = "frame_too_large",
    /// The frame is too short to hold what it must.
    FrameTooSmall = "frame_too_small",
    /// A value reaches beyond its frame.
    FrameTruncated = "frame_truncated",
    /// Values are nested deeper than the limit.
    DepthExceeded = "depth_exceeded",
    /// The header block ends inside one of its entries.
    HeaderOverrun = "header_overrun",
    /// The header block is longer than its frame.
    HeaderSizeExceedsFrame = "header_size_exceeds_frame",
    /// The compressed payload cannot be inflated, or grows beyond the limit.
    BadCompression = "bad_compression",
    /// Bytes end in the middle of a value.
    Incomplete = "incomplete",
    /// The parts of a request that name its service disagree.
    IdentityMismatch = "identity_mismatch",
    /// A length is larger than what is left of the input.
    LengthExceedsInput = "length_exceeds_input",
    /// A method name longer than the limit, or empty where it must not be.
    BadMethod = "bad_method",
    /// A length is negative.
    NegativeLength = "negative_length",
    /// A leading byte that the grammar reserves.
    ReservedTag = "reserved_tag",
    /// More attributes than the limit, or one whose value is longer than the limit.
    TooManyAttributes = "too_many_attributes",
    /// More class definitions or references than the limit.
    TooManyDefinitions = "too_many_definitions",
    /// Bytes are left over behind the message.
    TrailingBytes = "trailing_bytes",
    /// A value of another type than asked for.
    TypeMismatch = "type_mismatch",
    /// The first bytes fit no known transport and protocol.
    Undetectable = "undetectable",
    /// A terminator where a value belongs.
    UnexpectedTerminator = "unexpected_terminator",
    /// A protocol id that is not known.
    UnknownProtocolId = "unknown_protocol_id",
    /// A serialization id that is not assigned.
    UnknownSerialization = "unknown_serialization",
    /// A status that is not assigned.
    UnknownStatus = "unknown_status",
    /// A transform of the payload that is not supported.
    UnknownTransform = "unknown_transform",
    /// A type code that is not known.
    UnknownType = "unknown_type",
    /// A variable-length integer is longer than its type allows.
    VarintTooLong = "varint_too_long",
    /// A variable-length integer does not fit its type.
    VarintOverflow = "varint_overflow",
    /// A message that must not come at this point of the connection, such as a response from a client.
    OutOfPlace = "out_of_place",
    /// Wrong in a way that only the protocol knows; for protocols outside this crate.
    Other = "other",
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Says why a message could not be written; nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message would be longer than its length field or the limit allows.
    #[error("the message would be too long")]
    TooLarge,
    /// The id does not fit the protocol's id field.
    #[error("the id does not fit the protocol")]
    BadId,
    /// The mutation cannot be written into this message.
    #[error("the mutation cannot be written into this message")]
    Immutable,
    /// The frame does not belong to this protocol.
    #[error("the frame is not one of this protocol")]
    Foreign,
    /// The frame holds more or less than one message.
    #[error("the frame holds more or less than one message")]
    NotOneMessage,
    /// The message has to be inflated, and others that were take all the memory for that.
    #[error("too many inflated messages wait to be written")]
    Overflow,
}
