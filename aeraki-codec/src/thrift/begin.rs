//! The beginning of a message: type, name and sequence number, in all three forms.
//!
//! ```text
//! binary      80 01 xx tt   name: i32 length, bytes   seq i32
//! binary, old               name: i32 length, bytes   tt   seq i32
//! compact     82 tttvvvvv   seq varint                name: varint length, bytes
//! ```

use std::ops::Range;

use super::dialect::Encoding;
use super::wire::{Fault, Parsed, array, byte, size, take, varint, write_varint};
use crate::codec::{DecodeErrorKind, Output};

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MessageType {
    /// A call that is answered.
    Call,
    /// The result of a call, or an exception that its definition declares.
    Reply,
    /// A failure that the definition does not declare (`TApplicationException`).
    Exception,
    /// A call that is never answered.
    Oneway,
}

/// The beginning of a message; positions count from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    pub(super) of: MessageType,
    /// The form that was met: binary may come in either where the old one is allowed.
    pub(super) encoding: Encoding,
    pub(super) name_at: usize,
    pub(super) name_len: usize,
    pub(super) seq_id: u32,
    pub(super) seq_at: usize,
    pub(super) seq_len: usize,
    /// Where the struct begins.
    pub(super) len: usize,
}

impl Begin {
    /// Reads the beginning of a message; what is left is its struct.
    #[inline(always)]
    pub(super) fn read(input: &[u8], encoding: Encoding) -> Parsed<'_, Self> {
        match encoding {
            Encoding::Compact => Self::compact(input),
            Encoding::BinaryOld if input.first().is_some_and(|first| first & 0x80 == 0) => Self::old(input),
            Encoding::Binary | Encoding::BinaryOld => Self::strict(input),
        }
    }

    #[inline(always)]
    fn strict(input: &[u8]) -> Parsed<'_, Self> {
        let (sized, version) = array::<4>(input)?;
        let [0x80, 0x01, _, code] = version else { return Fault::at(input, DecodeErrorKind::BadMagic) };
        let Some(of) = MessageType::of(code) else { return Fault::at(input, DecodeErrorKind::BadMessageType) };
        let (named, length) = size(sized)?;
        let (numbered, name) = take(named, usize::try_from(length).unwrap_or(usize::MAX))?;
        let (rest, seq_id) = array(numbered)?;
        let seq_at = name.len().saturating_add(8);
        let begin = Self {
            of,
            encoding: Encoding::Binary,
            name_at: 8,
            name_len: name.len(),
            seq_id: u32::from_be_bytes(seq_id),
            seq_at,
            seq_len: 4,
            len: seq_at.saturating_add(4),
        };
        Ok((rest, begin))
    }

    fn old(input: &[u8]) -> Parsed<'_, Self> {
        let (named, length) = size(input)?;
        let (typed, name) = take(named, usize::try_from(length).unwrap_or(usize::MAX))?;
        let (numbered, code) = byte(typed)?;
        let Some(of) = MessageType::of(code) else { return Fault::at(typed, DecodeErrorKind::BadMessageType) };
        let (rest, seq_id) = array(numbered)?;
        let seq_at = name.len().saturating_add(5);
        let begin = Self {
            of,
            encoding: Encoding::BinaryOld,
            name_at: 4,
            name_len: name.len(),
            seq_id: u32::from_be_bytes(seq_id),
            seq_at,
            seq_len: 4,
            len: seq_at.saturating_add(4),
        };
        Ok((rest, begin))
    }

    fn compact(input: &[u8]) -> Parsed<'_, Self> {
        let (numbered, [first, second]) = array(input)?;
        if first != COMPACT_ID || second & 0x1f != COMPACT_VERSION {
            return Fault::at(input, DecodeErrorKind::BadMagic);
        }
        let Some(of) = MessageType::of(second >> 5) else {
            return Fault::at(input.get(1..).unwrap_or_default(), DecodeErrorKind::BadMessageType);
        };
        let (sized, seq_id) = varint(numbered)?;
        let (named, length) = varint(sized)?;
        let (rest, name) = take(named, usize::try_from(length).unwrap_or(usize::MAX))?;
        let begin = Self {
            of,
            encoding: Encoding::Compact,
            name_at: input.len().saturating_sub(named.len()),
            name_len: name.len(),
            seq_id,
            seq_at: 2,
            seq_len: numbered.len().saturating_sub(sized.len()),
            len: input.len().saturating_sub(rest.len()),
        };
        Ok((rest, begin))
    }

    /// Tells where the name lies in a frame in which the message begins at `at`.
    pub(super) fn name_range(&self, at: usize) -> Range<usize> {
        let start = self.name_at.saturating_add(at);
        start..start.saturating_add(self.name_len)
    }

    /// Splits a name at the first colon into service and method, as multiplexing joins them.
    pub(super) fn split(name: &[u8]) -> (Option<&[u8]>, &[u8]) {
        match memchr::memchr(b':', name).and_then(|at| name.split_at_checked(at)) {
            Some((service, [_, method @ ..])) => (Some(service), method),
            _ => (None, name),
        }
    }

    /// Tells whether servers may split a name elsewhere: some leave out what is empty between colons, some drop what
    /// follows the second.
    pub(super) fn is_split_otherwise(name: &[u8]) -> bool {
        match Self::split(name) {
            (Some(service), method) => service.is_empty() || method.is_empty() || method.contains(&b':'),
            (None, _) => false,
        }
    }

    /// Writes the beginning of an exception message.
    pub(super) fn write_exception(encoding: Encoding, name: &[u8], seq_id: u32, out: &mut Output) {
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        let code = MessageType::Exception.code();
        match encoding {
            Encoding::Binary => {
                out.put(&[0x80, 0x01, 0, code]);
                out.put(&length.to_be_bytes());
                out.put(name);
                out.put(&seq_id.to_be_bytes());
            }
            Encoding::BinaryOld => {
                out.put(&length.to_be_bytes());
                out.put(name);
                out.put(&[code]);
                out.put(&seq_id.to_be_bytes());
            }
            Encoding::Compact => {
                out.put(&[COMPACT_ID, code << 5 | COMPACT_VERSION]);
                write_varint(seq_id, out);
                write_varint(length, out);
                out.put(name);
            }
        }
    }
}

impl MessageType {
    fn of(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Call,
            2 => Self::Reply,
            3 => Self::Exception,
            4 => Self::Oneway,
            _ => return None,
        })
    }

    const fn code(self) -> u8 {
        match self {
            Self::Call => 1,
            Self::Reply => 2,
            Self::Exception => 3,
            Self::Oneway => 4,
        }
    }
}

const COMPACT_ID: u8 = 0x82;
const COMPACT_VERSION: u8 = 1;
