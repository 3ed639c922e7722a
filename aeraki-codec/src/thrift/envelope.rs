//! A typed view of one frame, for those who want Thrift and not the generic message.

use std::borrow::Cow;

use super::begin::{Begin, MessageType};
use super::dialect::{Detected, Dialect, Encoding, Transport};
use super::header::Header;
use super::skip::Skip;
use super::value::Struct;
use super::wire::whole;
use super::{FRAME_LIMIT, inflate::Inflater};
use crate::codec::{DecodeError, DecodeErrorKind, Limits};

/// Views one whole frame, whose transport and encoding are told from its first bytes.
///
/// ```
/// use aeraki_codec::thrift::{self, MessageType};
///
/// let frame = b"\0\0\0\x17\x80\x01\0\x02\0\0\0\x03add\0\0\0\x02\x08\0\0\0\0\0\x05\0";
/// let reply = thrift::message(frame)?;
/// assert_eq!((reply.message_type(), reply.name(), reply.seq_id()), (MessageType::Reply, &b"add"[..], 2));
/// assert!(matches!(reply.body().field(0), Some(thrift::Value::I32(5))));
/// # Ok::<(), aeraki_codec::DecodeError>(())
/// ```
///
/// # Errors
/// When the first bytes fit nothing known, or the head of the message cannot be read. The struct is not looked at; see
/// [`Envelope::check`].
pub fn message(frame: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    match Dialect::detect(frame)? {
        Detected::Dialect(dialect) => Envelope::read(frame, dialect, &Limits::default()),
        Detected::Need(_) => Err(DecodeError::new(DecodeErrorKind::Incomplete, frame.len())),
    }
}

/// Views one whole frame of a known transport and encoding: the only way to read the old binary form.
///
/// # Errors
/// When the head of the message cannot be read.
pub fn message_as(frame: &[u8], transport: Transport, encoding: Encoding) -> Result<Envelope<'_>, DecodeError> {
    Envelope::read(frame, Dialect { transport, encoding }, &Limits::default())
}

/// One message: its head, and its struct to be read on demand.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    transport: Transport,
    header: Option<Header<'a>>,
    /// The message itself; owned where it had to be inflated.
    payload: Cow<'a, [u8]>,
    /// Where the payload begins in the frame; 0 where it had to be inflated.
    payload_at: usize,
    begin: Begin,
    depth: usize,
}

impl<'a> Envelope<'a> {
    fn read(frame: &'a [u8], dialect: Dialect, limits: &Limits) -> Result<Self, DecodeError> {
        let (header, payload, payload_at, encoding) = match dialect.transport {
            Transport::Unframed => (None, Cow::Borrowed(frame), 0, dialect.encoding),
            Transport::Framed => (None, Cow::Borrowed(frame.get(4..).unwrap_or_default()), 4, dialect.encoding),
            Transport::Header => {
                let header = Header::read(frame)?;
                let encoding = dialect.encoding.in_header(header.encoding());
                if header.is_deflated() {
                    let inflated = Inflater::default().all(header.payload(), limits.frame_or(FRAME_LIMIT))?;
                    (Some(header), Cow::Owned(inflated), 0, encoding)
                } else {
                    (Some(header), Cow::Borrowed(header.payload()), header.payload_offset(), encoding)
                }
            }
        };
        let end = payload_at.saturating_add(payload.len());
        let (_, begin) = whole(Begin::read(&payload, encoding)).map_err(|fault| fault.placed(end))?;
        Ok(Self { transport: dialect.transport, header, payload, payload_at, begin, depth: limits.depth })
    }

    /// Returns how the message was delimited.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns how the message is written.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.begin.encoding
    }

    /// Returns the header, where the transport has one.
    #[must_use]
    pub const fn header(&self) -> Option<&Header<'a>> {
        self.header.as_ref()
    }

    /// Returns what the message is for.
    #[must_use]
    pub const fn message_type(&self) -> MessageType {
        self.begin.of
    }

    /// Returns the sequence number that joins call and reply.
    #[must_use]
    pub const fn seq_id(&self) -> i32 {
        self.begin.seq_id.cast_signed()
    }

    /// Returns the name as it is on the wire.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.payload.get(self.begin.name_range(0)).unwrap_or_default()
    }

    /// Returns the service of a multiplexed call: what comes in front of the first colon of the name.
    #[must_use]
    pub fn service(&self) -> Option<&[u8]> {
        Begin::split(self.name()).0
    }

    /// Returns the method: what comes behind the first colon of the name, or the whole name.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        Begin::split(self.name()).1
    }

    /// Returns the arguments of a call, or the result: field 0 for a returned value, another for an exception.
    #[must_use]
    pub fn body(&self) -> Struct<'_> {
        Struct::new(self.body_bytes(), self.end(), self.begin.encoding == Encoding::Compact, self.depth)
    }

    /// Returns where the struct begins: in bytes from the start of the frame, or of the inflated payload.
    #[must_use]
    pub const fn body_offset(&self) -> usize {
        self.payload_at.saturating_add(self.begin.len)
    }

    /// Reads over the whole struct, which must end where the frame does.
    ///
    /// # Errors
    /// At the first byte that does not follow the grammar, is nested too deeply, or is left over.
    pub fn check(&self) -> Result<(), DecodeError> {
        let body = self.body_bytes();
        let length = Skip::length_of(body, self.begin.encoding, self.depth);
        let length = length.map_err(|fault| fault.placed(self.end()))?;
        if length < body.len() {
            let offset = self.body_offset().saturating_add(length);
            return Err(DecodeError::new(DecodeErrorKind::TrailingBytes, offset));
        }
        Ok(())
    }

    fn body_bytes(&self) -> &[u8] {
        self.payload.get(self.begin.len..).unwrap_or_default()
    }

    fn end(&self) -> usize {
        self.payload_at.saturating_add(self.payload.len())
    }
}
