//! The pairs of a map, with their places.

use std::ops::Range;

use super::{Event, Reader};
use crate::{DecodeError, DecodeErrorKind};

/// One pair of a map, with the places of its bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// Where the pair stands, key and value.
    pub range: Range<usize>,
    /// Where its value stands.
    pub value_range: Range<usize>,
    /// The key, or its opening where it is a container.
    pub key: Event<'a>,
    /// The value, or its opening where it is a container.
    pub value: Event<'a>,
    /// True if neither opens a container nor defines a class: only such a pair can be left out
    /// without shifting the indices that later references count on.
    pub removable: bool,
}

impl<'a> Reader<'a> {
    /// Reads the opening of a map, to be followed by calls of [`entry`](Self::entry); false for
    /// null, which has no entries.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::TypeMismatch`] for any other value.
    #[inline]
    pub fn map(&mut self) -> Result<bool, DecodeError> {
        let start = self.input;
        if self.untyped_map() {
            return Ok(true);
        }
        match self.event()? {
            Event::Map { .. } => Ok(true),
            Event::Null => Ok(false),
            _ => Err(start.error(DecodeErrorKind::TypeMismatch)),
        }
    }

    /// Reads the next pair of the map that is open, `None` at its end.
    ///
    /// # Errors
    ///
    /// Any [`DecodeErrorKind`].
    #[inline]
    pub fn entry(&mut self) -> Result<Option<Entry<'a>>, DecodeError> {
        if self.terminator() {
            return Ok(None);
        }
        let before = (self.references(), self.defined());
        let start = self.offset();
        let key = self.event()?;
        self.skip_children_of(&key)?;
        let middle = self.offset();
        let value = self.event()?;
        self.skip_children_of(&value)?;
        let end = self.offset();
        Ok(Some(Entry {
            range: start..end,
            value_range: middle..end,
            key,
            value,
            removable: before == (self.references(), self.defined()),
        }))
    }
}
