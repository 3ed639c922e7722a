//! Strings: UTF-16 lengths, UTF-8 octets, surrogates one by one.

use std::{borrow::Cow, ops::Range};

use super::input::Input;
use crate::{DecodeError, DecodeErrorKind};

/// A string as it stands on the wire.
///
/// Hessian counts UTF-16 units and writes each of them apart, so a character above U+FFFF takes
/// six octets that are no valid UTF-8, and a long string comes in chunks. Where neither happens,
/// which is nearly always, the characters are lent as they are.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    encoded: &'a [u8],
    offset: u32,
    /// Bytes in front of the characters, where they can be lent as they are; one of the constants below where not.
    /// Without gaps and flags between its fields a text stays in registers.
    head: u32,
}

impl<'a> Text<'a> {
    const EMPTY: Self = Self { encoded: &[], offset: 0, head: 0 };

    /// Reads `N` strings if all of them are what most strings are; else nothing is read.
    #[inline(always)]
    pub(super) fn read_all_plain<const N: usize>(input: &mut Input<'a>) -> Option<[Self; N]> {
        let mut rest = *input;
        let mut texts = [Self::EMPTY; N];
        for text in &mut texts {
            *text = Self::read_plain(&mut rest)?;
        }
        *input = rest;
        Some(texts)
    }

    /// Reads the string that most strings are: in one piece, shorter than 1024 units, ASCII.
    #[inline(always)]
    pub(super) fn read_plain(input: &mut Input<'a>) -> Option<Self> {
        let mut rest = *input;
        let text = Self::read_ascii(&mut rest)?;
        let head = text.head as usize;
        if !starts_ascii(input.rest().get(head..)?, text.encoded.len().saturating_sub(head)) {
            return None;
        }
        *input = rest;
        Some(text)
    }

    /// Reads such a string where all of the input is known to be ASCII: it has as many bytes as units.
    #[inline(always)]
    pub(super) fn read_ascii(input: &mut Input<'a>) -> Option<Self> {
        let bytes = input.rest();
        let (head, len) = match *bytes {
            [len @ 0x00..=SHORT, ..] => (1, usize::from(len)),
            [high @ 0x30..=0x33, low, ..] => (2, usize::from(high & 0x03) << 8 | usize::from(low)),
            _ => return None,
        };
        let (encoded, rest) = bytes.split_at_checked(len.saturating_add(head as usize))?;
        let offset = input.offset_u32();
        input.advance_to(rest);
        Some(Self { encoded, offset, head })
    }

    /// Reads a string of any form.
    #[inline]
    pub(super) fn read(input: &mut Input<'a>, wide: bool) -> Result<Self, DecodeError> {
        match Self::read_plain(input) {
            Some(text) => Ok(text),
            None => Self::read_any(input, wide),
        }
    }

    fn read_any(input: &mut Input<'a>, wide: bool) -> Result<Self, DecodeError> {
        let start = *input;
        let lead = input.u8()?;
        if lead == CHUNK {
            return Self::read_chunks(input, start, wide);
        }
        let units = final_len(input, lead)?.ok_or_else(|| start.error(DecodeErrorKind::TypeMismatch))?;
        let head = if lead == FINAL {
            3
        } else if lead < 0x20 {
            1
        } else {
            2
        };
        let irregular = skip_units(input, units, wide)?;
        let head = if irregular { head | IRREGULAR } else { head };
        Ok(Self { encoded: input.since(start), offset: start.offset_u32(), head })
    }

    #[cold]
    fn read_chunks(input: &mut Input<'a>, start: Input<'a>, wide: bool) -> Result<Self, DecodeError> {
        let mut last = false;
        *input = start;
        while !last {
            let (len, is_last) = chunk_len(input)?;
            skip_units(input, len, wide)?;
            last = is_last;
        }
        Ok(Self { encoded: input.since(start), offset: start.offset_u32(), head: CHUNKED })
    }

    /// Returns the whole value as it stands on the wire, lengths and chunk heads included.
    pub fn encoded(&self) -> &'a [u8] {
        self.encoded
    }

    /// Returns the number of UTF-16 units, which is what Hessian calls the length.
    pub fn utf16_len(&self) -> usize {
        let mut input = Input::at(self.encoded, 0);
        let lens = std::iter::from_fn(|| {
            let (len, _) = chunk_len(&mut input).ok()?;
            skip_units(&mut input, len, true).ok()?;
            Some(usize::from(len))
        });
        lens.sum()
    }

    /// Lends the characters as UTF-8 where they lie in one piece and are valid as they are:
    /// neither chunked nor with characters above U+FFFF, lone surrogates or overlong forms.
    #[inline]
    pub fn as_utf8(&self) -> Option<&'a [u8]> {
        if self.head < IRREGULAR { self.encoded.get(self.head as usize..) } else { None }
    }

    /// Iterates over the chunks, each as its octets on the wire. A pair of surrogates may be
    /// divided between two of them.
    pub fn chunks(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut input = Input::at(self.encoded, 0);
        std::iter::from_fn(move || {
            let (len, _) = chunk_len(&mut input).ok()?;
            let start = input;
            skip_units(&mut input, len, true).ok()?;
            Some(input.since(start))
        })
    }

    /// Returns the octets of all chunks joined, surrogates left as they are.
    pub fn to_bytes(&self) -> Cow<'a, [u8]> {
        if self.head == CHUNKED {
            Cow::Owned(self.chunks().collect::<Vec<_>>().concat())
        } else {
            let head = self.head & !IRREGULAR;
            Cow::Borrowed(self.encoded.get(head as usize..).unwrap_or_default())
        }
    }

    /// Returns where [`as_utf8`](Self::as_utf8) lies in the buffer of the reader.
    #[inline]
    pub fn utf8_range(&self) -> Option<Range<usize>> {
        let offset = usize::try_from(self.offset).ok()?;
        let lent = self.head < IRREGULAR;
        lent.then(|| offset.saturating_add(self.head as usize)..offset.saturating_add(self.encoded.len()))
    }

    /// Returns the string with pairs of surrogates joined, or `None` where one stands alone: there is no UTF-8 for
    /// that.
    pub fn to_str(&self) -> Option<Cow<'a, str>> {
        if let Some(text) = self.as_utf8().and_then(|bytes| std::str::from_utf8(bytes).ok()) {
            return Some(Cow::Borrowed(text));
        }
        char::decode_utf16(self.utf16()).collect::<Result<_, _>>().ok().map(Cow::Owned)
    }

    /// Iterates over the UTF-16 units.
    pub fn utf16(&self) -> impl Iterator<Item = u16> + use<'a> {
        let mut octets = self.chunks().flatten().copied();
        let mut second = None;
        std::iter::from_fn(move || {
            if let Some(unit) = second.take() {
                return Some(unit);
            }
            let point = code_point(octets.next()?, &mut octets);
            let mut units = [0; 2];
            match (u16::try_from(point), char::from_u32(point)) {
                (Ok(unit), _) => return Some(unit),
                (_, Some(character)) => character.encode_utf16(&mut units),
                (_, None) => return Some(0xfffd),
            };
            let [high, low] = units;
            second = Some(low);
            Some(high)
        })
    }
}

/// Tells whether the first `len` bytes are ASCII. The few that most keys and values have are looked at in one word,
/// bytes behind them masked off.
#[inline(always)]
fn starts_ascii(bytes: &[u8], len: usize) -> bool {
    match bytes.first_chunk() {
        Some(word) if len <= size_of::<u64>() => {
            let foreign = u64::BITS.saturating_sub(u32::try_from(len).unwrap_or(0).saturating_mul(8));
            u64::from_le_bytes(*word) & HIGH_BITS.unbounded_shr(foreign) == 0
        }
        _ => bytes.get(..len).is_some_and(is_ascii),
    }
}

/// Like that of the standard library, which goes through the last bytes of short texts one by one.
#[inline(always)]
pub(super) fn is_ascii(text: &[u8]) -> bool {
    let ascii = |word: &[u8; 8]| u64::from_le_bytes(*word) & HIGH_BITS == 0;
    match (text.last_chunk::<LONG>(), text.last_chunk()) {
        (Some(last), _) => text.as_chunks::<LONG>().0.as_flattened().is_ascii() && last.is_ascii(),
        (None, Some(last)) => text.as_chunks().0.iter().all(ascii) && ascii(last),
        (None, None) => text.is_ascii(),
    }
}

/// The length of a string form other than a chunk, `None` if `lead` starts no such form.
#[inline]
fn final_len(input: &mut Input<'_>, lead: u8) -> Result<Option<u16>, DecodeError> {
    Ok(Some(match lead {
        0x00..=SHORT => u16::from(lead),
        0x30..=0x33 => u16::from_be_bytes([lead & 0x03, input.u8()?]),
        FINAL => input.u16()?,
        _ => return Ok(None),
    }))
}

fn chunk_len(input: &mut Input<'_>) -> Result<(u16, bool), DecodeError> {
    let start = *input;
    let lead = input.u8()?;
    if lead == CHUNK {
        return Ok((input.u16()?, false));
    }
    let len = final_len(input, lead)?.ok_or_else(|| start.error(DecodeErrorKind::BadChunk))?;
    Ok((len, true))
}

/// Skips `units` UTF-16 units; true if the octets are not valid UTF-8 as they stand.
#[inline]
fn skip_units(input: &mut Input<'_>, units: u16, wide: bool) -> Result<bool, DecodeError> {
    // A unit takes at least one octet, so fewer octets than units are a lie or a cut.
    match input.rest().split_at_checked(usize::from(units)) {
        None => Err(input.truncated()),
        Some((head, tail)) if head.is_ascii() => {
            input.advance_to(tail);
            Ok(false)
        }
        Some(_) => skip_units_one_by_one(input, units, wide),
    }
}

fn skip_units_one_by_one(input: &mut Input<'_>, units: u16, wide: bool) -> Result<bool, DecodeError> {
    let (mut left, mut irregular) = (units, false);
    while left > 0 {
        if let (Some((word, tail)), 8..) = (input.rest().split_first_chunk::<8>(), left)
            && word.is_ascii()
        {
            input.advance_to(tail);
            left = left.wrapping_sub(8);
            continue;
        }
        let (taken, regular) = skip_character(input, wide)?;
        left = left.checked_sub(taken).ok_or_else(|| input.error(DecodeErrorKind::BadUtf8))?;
        irregular |= !regular;
    }
    Ok(irregular)
}

/// Skips one sequence of octets: how many units it counts for, and whether it is valid UTF-8.
fn skip_character(input: &mut Input<'_>, wide: bool) -> Result<(u16, bool), DecodeError> {
    let start = *input;
    let lead = input.u8()?;
    Ok(match lead {
        0x00..=0x7f => (1, true),
        0xc0..=0xdf => {
            continuation(input, start)?;
            (1, lead >= 0xc2)
        }
        0xe0..=0xef => {
            let second = continuation(input, start)?;
            continuation(input, start)?;
            let overlong = lead == 0xe0 && second < 0xa0;
            let surrogate = lead == 0xed && second >= 0xa0;
            (1, !overlong && !surrogate)
        }
        0xf0..=0xf4 if wide => {
            let second = continuation(input, start)?;
            continuation(input, start)?;
            continuation(input, start)?;
            if (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f) {
                return Err(start.error(DecodeErrorKind::BadUtf8));
            }
            (2, true)
        }
        _ => return Err(start.error(DecodeErrorKind::BadUtf8)),
    })
}

fn continuation(input: &mut Input<'_>, start: Input<'_>) -> Result<u8, DecodeError> {
    match input.u8()? {
        octet @ 0x80..=0xbf => Ok(octet),
        _ => Err(start.error(DecodeErrorKind::BadUtf8)),
    }
}

/// Reads the octets that follow `lead`; `skip_units` has seen to it that they are there.
fn code_point(lead: u8, octets: &mut impl Iterator<Item = u8>) -> u32 {
    let (bits, following) = match lead {
        0xc0..=0xdf => (lead & 0x1f, 1),
        0xe0..=0xef => (lead & 0x0f, 2),
        0xf0..=0xff => (lead & 0x07, 3),
        _ => (lead, 0),
    };
    octets.take(following).fold(u32::from(bits), |point, octet| point << 6 | u32::from(octet & 0x3f))
}

/// The head of a text that is no UTF-8 as it stands, beside the number of its bytes.
const IRREGULAR: u32 = 4;
/// The head of a text that comes in chunks.
const CHUNKED: u32 = 8;
/// The greatest leading byte that is a length.
const SHORT: u8 = 0x1f;
/// The bit in each byte of a word that ASCII leaves clear.
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
/// The step in which the standard library goes through a text.
const LONG: usize = 32;
const CHUNK: u8 = b'R';
const FINAL: u8 = b'S';
