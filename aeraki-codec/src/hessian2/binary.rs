//! Octets on the wire.

use std::borrow::Cow;

use super::input::Input;
use crate::{DecodeError, DecodeErrorKind};

/// A binary as it stands on the wire, in one piece or in chunks.
#[derive(Clone, Copy, Debug)]
pub struct Binary<'a> {
    encoded: &'a [u8],
}

impl<'a> Binary<'a> {
    #[inline]
    pub(super) fn read(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        let start = *input;
        while next_chunk(input)?.1 {}
        Ok(Self { encoded: input.since(start) })
    }

    /// Returns the whole value as it stands on the wire, lengths and chunk heads included.
    pub fn encoded(&self) -> &'a [u8] {
        self.encoded
    }

    /// Iterates over the octets of each chunk.
    pub fn chunks(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut input = Input::at(self.encoded, 0);
        std::iter::from_fn(move || next_chunk(&mut input).ok().map(|(octets, _)| octets))
    }

    /// Returns the octets, lent if they lie in one piece.
    pub fn to_bytes(&self) -> Cow<'a, [u8]> {
        let mut chunks = self.chunks();
        let first = chunks.next().unwrap_or_default();
        match chunks.next() {
            None => Cow::Borrowed(first),
            Some(_) => Cow::Owned(self.chunks().collect::<Vec<_>>().concat()),
        }
    }
}

/// One chunk and whether another must follow.
fn next_chunk<'a>(input: &mut Input<'a>) -> Result<(&'a [u8], bool), DecodeError> {
    let start = *input;
    let lead = input.u8()?;
    let (len, more) = match lead {
        0x20..=0x2f => (u16::from(lead & 0x0f), false),
        0x34..=0x37 => (u16::from_be_bytes([lead & 0x03, input.u8()?]), false),
        b'B' => (input.u16()?, false),
        b'A' => (input.u16()?, true),
        _ => return Err(start.error(DecodeErrorKind::BadChunk)),
    };
    Ok((input.take(usize::from(len))?, more))
}
