//! Positions instead of copies.

use std::{fmt, ops::Range};

/// Names a run of bytes that belongs to a message: 8 bytes, `Copy`, valid wherever the message moves.
///
/// The bytes lie in the frame, in the message's own side store (values that are not contiguous in the frame), or in
/// the codec's table of names.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The source in the two highest bits, the offset in the others.
    place: u32,
    len: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Frame,
    Side,
    Name,
}

impl Span {
    /// The empty run at the start of the frame.
    pub const EMPTY: Self = Self { place: 0, len: 0 };

    /// Names a range of the frame; `None` beyond 1 GiB or where the range runs backwards.
    #[must_use]
    pub fn new(range: Range<usize>) -> Option<Self> {
        Self::at(Source::Frame, range)
    }

    #[inline]
    pub(super) fn at(source: Source, range: Range<usize>) -> Option<Self> {
        let end = u32::try_from(range.end).ok().filter(|end| *end <= OFFSET)?;
        let start = u32::try_from(range.start).ok()?;
        let len = end.checked_sub(start)?;
        Some(Self { place: start | (source as u32) << OFFSET_BITS, len })
    }

    /// Names a range within this run; `None` where it reaches beyond it.
    #[must_use]
    pub fn part(self, range: Range<usize>) -> Option<Self> {
        let start = self.range().start;
        let end = range.end.checked_add(start).filter(|_| range.end <= self.len())?;
        Self::at(self.source(), range.start.checked_add(start)?..end)
    }

    pub(super) const fn source(self) -> Source {
        match self.place >> OFFSET_BITS {
            0 => Source::Frame,
            1 => Source::Side,
            _ => Source::Name,
        }
    }

    /// Returns the range in the store that [`source`](Self::source) names.
    pub(super) const fn range(self) -> Range<usize> {
        let start = (self.place & OFFSET) as usize;
        start..start.saturating_add(self.len())
    }

    pub(super) const fn is_flagged(self) -> bool {
        self.len > OFFSET
    }

    pub(super) const fn set_flag(&mut self) {
        self.len |= OFFSET + 1;
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        (self.len & OFFSET) as usize
    }

    /// Tells whether the run is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}[{:?}]", self.source(), self.range())
    }
}

const OFFSET_BITS: u32 = 30;
const OFFSET: u32 = (1 << OFFSET_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_range_and_source() {
        let span = Span::at(Source::Side, 7..19).expect("in bounds");
        assert_eq!((span.source(), span.range(), span.len()), (Source::Side, 7..19, 12));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert_eq!(Span::new(0..1 << 30), None);
        #[expect(clippy::reversed_empty_ranges, reason = "a reversed range is what is tested")]
        let reversed = Span::new(5..4);
        assert_eq!(reversed, None);
    }

    #[test]
    fn flag_leaves_the_length_alone() {
        let mut span = Span::new(1..4).expect("in bounds");
        span.set_flag();
        assert!(span.is_flagged());
        assert_eq!(span.range(), 1..4);
    }
}
