//! The primitives that both encodings are made of, as nom parsers over what is left of a message.

use nom::IResult;

use crate::codec::{DecodeError, DecodeErrorKind, Output};

/// What a primitive returns: what is left, and the value.
pub(super) type Parsed<'a, T> = IResult<&'a [u8], T, Fault>;

/// Why and where reading stopped; the place is kept as the number of bytes left, since a primitive does not know what
/// came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: DecodeErrorKind,
    pub(super) left: usize,
    /// Where the bytes ended too early: so many more are needed at least.
    pub(super) missing: usize,
}

impl Fault {
    /// Fails with `kind` at the beginning of `rest`.
    #[cold]
    pub(super) fn at<T>(rest: &[u8], kind: DecodeErrorKind) -> Parsed<'_, T> {
        Err(nom::Err::Error(Self { kind, left: rest.len(), missing: 0 }))
    }

    /// Fails for want of bytes.
    #[cold]
    fn truncated<T>(rest: &[u8], missing: usize) -> Parsed<'_, T> {
        Err(nom::Err::Error(Self { kind: DecodeErrorKind::FrameTruncated, left: rest.len(), missing }))
    }

    /// Names the place from the start of the frame, where what was read ends at `end`.
    pub(super) fn placed(self, end: usize) -> DecodeError {
        DecodeError::new(self.kind, end.saturating_sub(self.left))
    }
}

/// Takes the value out of what a parser returned.
#[inline(always)]
pub(super) fn whole<T>(parsed: Parsed<'_, T>) -> Result<(&[u8], T), Fault> {
    parsed.map_err(|error| match error {
        nom::Err::Error(fault) | nom::Err::Failure(fault) => fault,
        // Not reached: no parser here runs in streaming mode.
        nom::Err::Incomplete(_) => Fault { kind: DecodeErrorKind::FrameTruncated, left: 0, missing: 1 },
    })
}

impl nom::error::ParseError<&[u8]> for Fault {
    fn from_error_kind(rest: &[u8], _: nom::error::ErrorKind) -> Self {
        Self { kind: DecodeErrorKind::FrameTruncated, left: rest.len(), missing: 1 }
    }

    fn append(_: &[u8], _: nom::error::ErrorKind, other: Self) -> Self {
        other
    }
}

/// Reads `N` bytes.
#[inline(always)]
pub(super) fn array<const N: usize>(input: &[u8]) -> Parsed<'_, [u8; N]> {
    match input.split_first_chunk::<N>() {
        Some((bytes, rest)) => Ok((rest, *bytes)),
        None => Fault::truncated(input, N.saturating_sub(input.len())),
    }
}

/// Reads one byte.
#[inline(always)]
pub(super) fn byte(input: &[u8]) -> Parsed<'_, u8> {
    array(input).map(|(rest, [byte])| (rest, byte))
}

/// Reads a run of `length` bytes.
#[inline(always)]
pub(super) fn take(input: &[u8], length: usize) -> Parsed<'_, &[u8]> {
    match input.split_at_checked(length) {
        Some((taken, rest)) => Ok((rest, taken)),
        None => Fault::truncated(input, length.saturating_sub(input.len())),
    }
}

/// Reads a big-endian size, which must not be negative.
#[inline(always)]
pub(super) fn size(input: &[u8]) -> Parsed<'_, u32> {
    let (rest, bytes) = array(input)?;
    let size = u32::from_be_bytes(bytes);
    if size > i32::MAX as u32 { Fault::at(input, DecodeErrorKind::NegativeLength) } else { Ok((rest, size)) }
}

/// Reads an unsigned LEB128 number of 32 bits: at most five bytes.
#[inline]
pub(super) fn varint(input: &[u8]) -> Parsed<'_, u32> {
    match input.first() {
        Some(&byte) if byte < CONTINUED => Ok((input.get(1..).unwrap_or_default(), u32::from(byte))),
        _ => {
            let (rest, value) = long_varint(input, 5)?;
            match u32::try_from(value) {
                Ok(value) => Ok((rest, value)),
                Err(_) => Fault::at(input, DecodeErrorKind::VarintOverflow),
            }
        }
    }
}

/// Reads an unsigned LEB128 number of 64 bits: at most ten bytes.
#[inline]
pub(super) fn varint64(input: &[u8]) -> Parsed<'_, u64> {
    long_varint(input, 10)
}

/// Undoes the zigzag order of a 32-bit number.
pub(super) fn unzigzag(value: u32) -> i32 {
    (value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg()
}

/// Undoes the zigzag order of a 64-bit number.
pub(super) fn unzigzag64(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg()
}

/// Writes a LEB128 number of 32 bits.
pub(super) fn write_varint(mut value: u32, out: &mut Output) {
    while value > u32::from(!CONTINUED) {
        let [low, ..] = value.to_le_bytes();
        out.put(&[low | CONTINUED]);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.put(&[low]);
}

fn long_varint(input: &[u8], longest: usize) -> Parsed<'_, u64> {
    let mut value = 0_u64;
    for (index, (&byte, shift)) in input.iter().take(longest).zip((0..64).step_by(7)).enumerate() {
        let bits = u64::from(byte & !CONTINUED);
        if shift == 63 && bits > 1 {
            return Fault::at(input, DecodeErrorKind::VarintOverflow);
        }
        value |= bits << shift;
        if byte < CONTINUED {
            return Ok((input.get(index.saturating_add(1)..).unwrap_or_default(), value));
        }
    }
    if input.len() < longest { Fault::truncated(input, 1) } else { Fault::at(input, DecodeErrorKind::VarintTooLong) }
}

/// The bit that says that a varint goes on.
const CONTINUED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    #[test]
    fn varints_read_back_what_was_written() {
        for value in [0, 1, 127, 128, 300, 0x1f_ffff, 0x20_0000, u32::MAX - 1, u32::MAX] {
            let mut out = Output::new();
            write_varint(value, &mut out);
            let (rest, read) = varint(out.chunk()).expect("a whole varint");
            assert_eq!((rest.len(), read), (0, value));
        }
    }

    #[test]
    fn varints_that_are_padded_are_read_and_ones_that_are_too_long_are_not() {
        assert_eq!(varint(&[0x80, 0x00, 9]), Ok((&[9_u8][..], 0)));
        fn fault<T>(kind: DecodeErrorKind, left: usize) -> Parsed<'static, T> {
            Fault::at(&[0; 10][..left], kind)
        }
        assert_eq!(varint(&[0xff; 5]), fault(DecodeErrorKind::VarintTooLong, 5));
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x7f]), fault(DecodeErrorKind::VarintOverflow, 5));
        assert_eq!(varint(&[0xff]), Fault::truncated(&[0xff], 1));
        let mut most = [0xff; 10];
        most[9] = 1;
        assert_eq!(varint64(&most), Ok((&[][..], u64::MAX)));
        most[9] = 2;
        assert_eq!(varint64(&most), fault(DecodeErrorKind::VarintOverflow, 10));
    }

    #[test]
    fn zigzag_alternates_around_zero() {
        assert_eq!([0, 1, 2, 3].map(unzigzag), [0, -1, 1, -2]);
        assert_eq!(unzigzag(u32::MAX), i32::MIN);
        assert_eq!(unzigzag64(u64::MAX), i64::MIN);
    }
}
