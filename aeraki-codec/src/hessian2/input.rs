//! The unread rest of a body.

use crate::{DecodeError, DecodeErrorKind};

/// The unread rest of a body. Shrinking a slice needs no offset arithmetic; the offset is worked
/// out when somebody asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
    end: usize,
}

impl<'a> Input<'a> {
    /// Reads `bytes` from `offset` on; beyond the end there is nothing to read.
    pub(super) fn at(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes.get(offset..).unwrap_or_default(), end: bytes.len() }
    }

    pub(super) fn offset(self) -> usize {
        self.end.wrapping_sub(self.rest.len())
    }

    /// The offset in four bytes; no frame is 4 GiB long.
    pub(super) fn offset_u32(self) -> u32 {
        u32::try_from(self.offset()).unwrap_or(u32::MAX)
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn advance_to(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    pub(super) fn peek(self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(super) fn error(self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(kind, self.offset())
    }

    #[cold]
    pub(super) fn truncated(self) -> DecodeError {
        DecodeError::new(DecodeErrorKind::Incomplete, self.end)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.truncated())?;
        self.rest = rest;
        Ok(head)
    }

    /// The bytes read since `start` was copied off this input.
    pub(super) fn since(self, start: Self) -> &'a [u8] {
        let read = start.rest.len().wrapping_sub(self.rest.len());
        start.rest.get(..read).unwrap_or_default()
    }
}
