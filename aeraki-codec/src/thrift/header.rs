//! `THeader`: a length, and a header with key/value pairs in front of the payload.
//!
//! ```text
//!  0  length of what follows            4  0f ff           6  flags           8  sequence number
//! 12  header size in words of 4 bytes  14  protocol id varint, transform count varint and ids,
//!                                          info blocks (1: count, then key and value each), padding 00
//! 14 + 4 x words  payload
//! ```

use std::ops::Range;

use bytes::Bytes;

use super::dialect::{Encoding, HEADER_MAGIC};
use super::wire::{Fault, Parsed, array, take, varint, whole, write_varint};
use crate::{
    codec::{DecodeError, DecodeErrorKind, EncodeError, Mark, Output},
    message::{Change, Mutation},
};

/// The header of one frame.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    frame: &'a [u8],
    flags: u16,
    seq_id: u32,
    encoding: Encoding,
    deflated: bool,
    payload_at: usize,
    /// The info blocks: what is left of the header behind the transforms.
    info: &'a [u8],
}

impl<'a> Header<'a> {
    /// Tells where the payload of a frame begins, as soon as that can be told.
    pub(super) fn length(frame: &[u8]) -> Option<usize> {
        let [.., high, low] = frame.first_chunk::<HEADER>()?;
        Some(usize::from(u16::from_be_bytes([*high, *low])).saturating_mul(4).saturating_add(HEADER))
    }

    /// Reads the header of a frame, its info blocks excepted.
    pub(super) fn read(frame: &'a [u8]) -> Result<Self, DecodeError> {
        let too_small = |_| DecodeError::new(DecodeErrorKind::FrameTooSmall, 0);
        let (rest, [_, _, _, _, magic @ .., flags_0, flags_1]) = whole(array::<8>(frame)).map_err(too_small)?;
        if magic != HEADER_MAGIC {
            return Err(DecodeError::new(DecodeErrorKind::BadMagic, 4));
        }
        let (rest, seq_id) = whole(array(rest)).map_err(too_small)?;
        let (rest, words) = whole(array(rest)).map_err(too_small)?;
        let length = usize::from(u16::from_be_bytes(words)).saturating_mul(4);
        let Some((block, payload)) = rest.split_at_checked(length) else {
            return Err(DecodeError::new(DecodeErrorKind::HeaderSizeExceedsFrame, 12));
        };
        let payload_at = frame.len().saturating_sub(payload.len());
        let (info, (encoding, deflated)) = whole(protocol_and_transforms(block)).map_err(|fault| match fault.kind {
            DecodeErrorKind::FrameTruncated => {
                Fault { kind: DecodeErrorKind::HeaderOverrun, ..fault }.placed(payload_at)
            }
            _ => fault.placed(payload_at),
        })?;
        Ok(Self {
            frame,
            flags: u16::from_be_bytes([flags_0, flags_1]),
            seq_id: u32::from_be_bytes(seq_id),
            encoding,
            deflated,
            payload_at,
            info,
        })
    }

    /// Returns the flags, which nobody defines and everybody passes on.
    #[must_use]
    pub const fn flags(&self) -> u16 {
        self.flags
    }

    /// Returns the header's own sequence number, usually that of the message.
    #[must_use]
    pub const fn seq_id(&self) -> i32 {
        self.seq_id.cast_signed()
    }

    /// Returns the encoding that the protocol id names.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Tells whether the payload is compressed with zlib.
    #[must_use]
    pub const fn is_deflated(&self) -> bool {
        self.deflated
    }

    /// Returns where the payload begins, in bytes from the start of the frame.
    #[must_use]
    pub const fn payload_offset(&self) -> usize {
        self.payload_at
    }

    /// Returns the payload as it is in the frame, compressed or not.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.frame.get(self.payload_at..).unwrap_or_default()
    }

    /// Lists keys and values in wire order; nothing follows an error.
    #[must_use]
    pub const fn pairs(&self) -> Pairs<'a> {
        Pairs { frame: self.frame, end: self.payload_at, rest: self.info, left: 0 }
    }

    /// Returns the length of the block that holds the key/value pairs.
    pub(super) const fn info_len(&self) -> usize {
        self.info.len()
    }

    /// Tells whether the server says that it wants no further requests, as Envoy's Thrift proxy does.
    pub(super) fn says_goodbye(&self) -> bool {
        self.pairs().map_while(Result::ok).any(|(key, _)| is_goodbye(key))
    }

    /// Writes this header with other key/value pairs and another sequence number, in front of a payload that `deflated`
    /// tells to be compressed or not. Unknown info blocks are kept.
    pub(super) fn rewrite(
        &self,
        seq_id: u32,
        deflated: bool,
        mutation: Option<&Mutation>,
        goodbye: Goodbye,
        out: &mut Output,
    ) -> Result<(), EncodeError> {
        let open = open(self.flags, seq_id, self.encoding, deflated, out);
        let foreign = |_| EncodeError::Foreign;
        let is_kept = |key: &[u8]| {
            !mutation.is_some_and(|mutation| names(mutation, key)) && (goodbye == Goodbye::AsItIs || !is_goodbye(key))
        };
        let mut pairs = self.pairs();
        let mut count: u32 = 0;
        for pair in &mut pairs {
            count = count.saturating_add(u32::from(is_kept(pair.map_err(foreign)?.0)));
        }
        let set = || mutation.into_iter().flat_map(Mutation::iter).filter_map(pair_of).chain(goodbye.pair());
        count = count.saturating_add(u32::try_from(set().count()).unwrap_or(u32::MAX));
        if count > 0 {
            write_varint(INFO_PAIRS, out);
            write_varint(count, out);
        }
        for (key, value) in self.pairs().map_while(Result::ok).filter(|(key, _)| is_kept(key)) {
            write_pair(key, value, out);
        }
        for (key, value) in set() {
            write_pair(key, value, out);
        }
        out.put(pairs.unread());
        close(open, out)
    }
}

/// What becomes of the goodbye of a message, which is for the next peer only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goodbye {
    /// Nobody has looked for one.
    AsItIs,
    /// It is left out.
    Unsaid,
    /// There is one, in any case.
    Said,
}

impl Goodbye {
    fn pair(self) -> Option<(&'static [u8], &'static [u8])> {
        (self == Self::Said).then_some((GOODBYE, b"true"))
    }
}

/// Where key and value of a pair lie in the frame.
type PairAt = (Range<usize>, Range<usize>);

/// Key/value pairs of a header, in wire order.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    frame: &'a [u8],
    /// Where the header ends in the frame.
    end: usize,
    rest: &'a [u8],
    left: u32,
}

impl<'a> Pairs<'a> {
    /// Reads the next pair as ranges of the frame.
    pub(super) fn next_ranges(&mut self) -> Option<Result<PairAt, DecodeError>> {
        while self.left == 0 {
            let (rest, INFO_PAIRS) = varint(self.rest).ok()? else { return None };
            match varint(rest) {
                Ok((rest, count)) => (self.rest, self.left) = (rest, count),
                Err(_) => return Some(self.overrun(rest)),
            }
        }
        self.left = self.left.saturating_sub(1);
        let pair = self.next_range().and_then(|key| Ok((key, self.next_range()?)));
        Some(pair.or_else(|rest| self.overrun(rest)))
    }

    fn next_range(&mut self) -> Result<Range<usize>, &'a [u8]> {
        let (text, length) = varint(self.rest).map_err(|_| self.rest)?;
        let (rest, _) = take(text, usize::try_from(length).unwrap_or(usize::MAX)).map_err(|_| text)?;
        self.rest = rest;
        Ok(self.end.saturating_sub(text.len())..self.end.saturating_sub(rest.len()))
    }

    fn overrun<T>(&mut self, at: &[u8]) -> Result<T, DecodeError> {
        (self.rest, self.left) = (&[], 0);
        Err(DecodeError::new(DecodeErrorKind::HeaderOverrun, self.end.saturating_sub(at.len())))
    }

    /// Tells, behind the last pair, whether more is left than padding: another server may go on there.
    pub(super) fn leaves_unread(&self) -> bool {
        self.rest.iter().any(|byte| *byte != 0)
    }

    /// Returns the info blocks that nobody here understands, padding excepted where there are none.
    fn unread(&self) -> &'a [u8] {
        if self.rest.first() == Some(&0) { &[] } else { self.rest }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.frame;
        let text = |range| frame.get(range).unwrap_or_default();
        Some(self.next_ranges()?.map(|(key, value)| (text(key), text(value))))
    }
}

/// Writes a header without key/value pairs, except a goodbye.
pub(super) fn write_plain(
    encoding: Encoding,
    seq_id: u32,
    goodbye: Goodbye,
    out: &mut Output,
) -> Result<(), EncodeError> {
    let open = open(0, seq_id, encoding, false, out);
    if let Some((key, value)) = goodbye.pair() {
        write_varint(INFO_PAIRS, out);
        write_varint(1, out);
        write_pair(key, value, out);
    }
    close(open, out)
}

/// Writes the length into the four bytes that a frame begins with.
pub(super) fn write_length(frame: Mark, limit: usize, out: &mut Output) -> Result<(), EncodeError> {
    let length = out.len_since(frame).saturating_sub(4);
    let length = i32::try_from(length.min(limit)).ok().filter(|_| length <= limit).ok_or(EncodeError::TooLarge)?;
    match out.copied_since(frame).first_chunk_mut() {
        Some(bytes) => *bytes = length.to_be_bytes(),
        None => return Err(EncodeError::Foreign),
    }
    Ok(())
}

fn open(flags: u16, seq_id: u32, encoding: Encoding, deflated: bool, out: &mut Output) -> Mark {
    let start = out.mark();
    out.put(&[0; 4]);
    out.put(&HEADER_MAGIC);
    out.put(&flags.to_be_bytes());
    out.put(&seq_id.to_be_bytes());
    out.put(&[0; 2]);
    let protocol = if encoding == Encoding::Compact { PROTOCOL_COMPACT } else { PROTOCOL_BINARY };
    write_varint(protocol, out);
    out.put(if deflated { &[1, 1] } else { &[0] });
    start
}

/// Pads the header and writes its size.
fn close(start: Mark, out: &mut Output) -> Result<(), EncodeError> {
    let length = out.len_since(start).saturating_sub(HEADER);
    out.put([0; 3].get(..length.wrapping_neg() & 3).unwrap_or_default());
    let words = u16::try_from(length.div_ceil(4)).map_err(|_| EncodeError::TooLarge)?;
    if let Some([.., high, low]) = out.copied_since(start).get_mut(..HEADER) {
        [*high, *low] = words.to_be_bytes();
    }
    Ok(())
}

fn write_pair(key: &[u8], value: &[u8], out: &mut Output) {
    for text in [key, value] {
        write_varint(u32::try_from(text.len()).unwrap_or(u32::MAX), out);
        out.put(text);
    }
}

/// Returns the pair that a change asks for, if it is one.
fn pair_of<'a>((key, change): (&'a Bytes, &'a Change)) -> Option<(&'a [u8], &'a [u8])> {
    match change {
        Change::Set(value) => Some((key, value)),
        Change::Remove => None,
    }
}

fn is_goodbye(key: &[u8]) -> bool {
    key.eq_ignore_ascii_case(GOODBYE)
}

/// Tells whether `mutation` decides on the header of this name.
fn names(mutation: &Mutation, key: &[u8]) -> bool {
    mutation.iter().any(|(name, _)| name.eq_ignore_ascii_case(key))
}

/// Reads the beginning of the header block; what is left are the info blocks.
fn protocol_and_transforms(block: &[u8]) -> Parsed<'_, (Encoding, bool)> {
    let (rest, protocol) = varint(block)?;
    let encoding = match protocol {
        PROTOCOL_BINARY => Encoding::Binary,
        PROTOCOL_COMPACT => Encoding::Compact,
        _ => return Fault::at(block, DecodeErrorKind::UnknownProtocolId),
    };
    let (listed, transforms) = varint(rest)?;
    match transforms {
        0 => Ok((listed, (encoding, false))),
        1 => match varint(listed)? {
            (rest, TRANSFORM_ZLIB) => Ok((rest, (encoding, true))),
            _ => Fault::at(listed, DecodeErrorKind::UnknownTransform),
        },
        _ => Fault::at(listed, DecodeErrorKind::UnknownTransform),
    }
}

/// Length of the part that every header has.
pub(super) const HEADER: usize = 14;
const PROTOCOL_BINARY: u32 = 0;
const PROTOCOL_COMPACT: u32 = 2;
const TRANSFORM_ZLIB: u32 = 1;
const INFO_PAIRS: u32 = 1;
/// The key by which Envoy's Thrift proxy says that it drains; the value is of no account.
const GOODBYE: &[u8] = b":drain";
