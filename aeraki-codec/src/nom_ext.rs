//! What nom does not have: parsing with errors that know their offset.
//!
//! Everything here runs in complete mode: a frame is whole when it is parsed, so a missing byte is an error at a place
//! and never a request for more.

use nom::{
    IResult, Parser,
    error::{Error, ErrorKind},
};

use crate::{DecodeError, DecodeErrorKind};

/// Reads `N` bytes at once; nom makes its numbers byte by byte.
#[inline]
pub(crate) fn array<const N: usize>(input: &[u8]) -> IResult<&[u8], [u8; N]> {
    match input.split_first_chunk() {
        Some((bytes, rest)) => Ok((rest, *bytes)),
        None => Err(nom::Err::Error(Error::new(input, ErrorKind::Eof))),
    }
}

/// Runs `parser` on the start of `frame` and returns its output and the bytes that follow.
///
/// A missing byte is reported as [`Incomplete`](DecodeErrorKind::Incomplete) at the end of the frame; what a parser
/// refuses, as `refused` at the place where it did.
pub(crate) fn read<'a, P>(
    mut parser: P,
    frame: &'a [u8],
    refused: DecodeErrorKind,
) -> Result<(P::Output, &'a [u8]), DecodeError>
where
    P: Parser<&'a [u8], Error = Error<&'a [u8]>>,
{
    match parser.parse_complete(frame) {
        Ok((rest, output)) => Ok((output, rest)),
        Err(nom::Err::Incomplete(_)) => Err(DecodeError::new(DecodeErrorKind::Incomplete, frame.len())),
        Err(nom::Err::Error(error) | nom::Err::Failure(error)) => Err(match error.code {
            ErrorKind::Eof => DecodeError::new(DecodeErrorKind::Incomplete, frame.len()),
            _ => DecodeError::new(refused, frame.len().saturating_sub(error.input.len())),
        }),
    }
}

#[cfg(test)]
mod tests {
    use nom::{bytes::tag, combinator::verify, number::be_u16};

    use super::*;

    fn parse(frame: &[u8]) -> Result<(u16, &[u8]), DecodeError> {
        let number = verify(be_u16(), |number| *number < 0x100);
        read((tag(&b"ab"[..]), number).map(|(_, number)| number), frame, DecodeErrorKind::BadMagic)
    }

    #[test]
    fn output_and_rest_come_back() {
        assert_eq!(parse(b"ab\0\x07rest"), Ok((7, &b"rest"[..])));
    }

    #[test]
    fn errors_know_where_they_are() {
        assert_eq!(parse(b"ab\0"), Err(DecodeError::new(DecodeErrorKind::Incomplete, 3)));
        assert_eq!(parse(b"xb\0\0"), Err(DecodeError::new(DecodeErrorKind::BadMagic, 0)));
        assert_eq!(parse(b"ab\x01\0"), Err(DecodeError::new(DecodeErrorKind::BadMagic, 2)));
    }
}
