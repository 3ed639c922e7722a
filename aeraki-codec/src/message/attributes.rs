//! Attributes: the named byte strings of a message that routes, limits and policies look at.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::BuildHasher,
    ops::Range,
};

use smallvec::SmallVec;

use super::{Span, span::Source};
use crate::codec::{DecodeError, DecodeErrorKind, Limits};

/// Looks up named byte strings: implemented by [`Message`](super::Message) and by maps and lists of pairs.
///
/// Keys match without regard to ASCII case; of a repeated key the last value counts.
pub trait Attributes {
    /// Returns the value under `key`.
    fn attr(&self, key: &str) -> Option<&[u8]>;

    /// Tells whether peers may disagree on the value of `key`: it came more than once with different bytes, or the
    /// attributes of the message cannot be read.
    fn is_ambiguous(&self, key: &str) -> bool {
        let _ = key;
        false
    }
}

impl<A: Attributes + ?Sized> Attributes for &A {
    fn attr(&self, key: &str) -> Option<&[u8]> {
        (**self).attr(key)
    }

    fn is_ambiguous(&self, key: &str) -> bool {
        (**self).is_ambiguous(key)
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> Attributes for [(K, V)] {
    fn attr(&self, key: &str) -> Option<&[u8]> {
        last_of(self.iter().map(|(k, v)| (k, v)), key)
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>, const N: usize> Attributes for [(K, V); N] {
    fn attr(&self, key: &str) -> Option<&[u8]> {
        self.as_slice().attr(key)
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> Attributes for Vec<(K, V)> {
    fn attr(&self, key: &str) -> Option<&[u8]> {
        self.as_slice().attr(key)
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>, S: BuildHasher> Attributes for HashMap<K, V, S> {
    fn attr(&self, key: &str) -> Option<&[u8]> {
        last_of(self.iter(), key)
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> Attributes for BTreeMap<K, V> {
    fn attr(&self, key: &str) -> Option<&[u8]> {
        last_of(self.iter(), key)
    }
}

fn last_of<'a, K: AsRef<[u8]> + 'a, V: AsRef<[u8]> + 'a>(
    pairs: impl Iterator<Item = (&'a K, &'a V)>,
    key: &str,
) -> Option<&'a [u8]> {
    pairs.filter(|(k, _)| k.as_ref().eq_ignore_ascii_case(key.as_bytes())).last().map(|(_, v)| v.as_ref())
}

/// Bytes that a codec hands to [`Head::insert`](super::Head::insert).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Text<'a> {
    /// A range of the frame.
    Frame(Range<usize>),
    /// The entry of this index in the codec's table of names; see [`Head::set_names`](super::Head::set_names).
    Name(usize),
    /// Bytes that are not contiguous in the frame: copied into the message (one allocation for all of them).
    Copied(&'a [u8]),
    /// A run that is known already, such as a part of what [`Head::copy`](super::Head::copy) returned.
    Span(Span),
}

/// The attributes of one message as packed ranges: no strings, and no allocation for the first nine.
#[derive(Clone, Default)]
pub struct AttributeTable {
    entries: SmallVec<[Entry; INLINE]>,
    names: &'static [&'static str],
    /// Boxed, since it is rarely there: 8 bytes in every message, and one allocation unless the texts are long.
    side: Option<Box<SmallVec<[u8; SIDE]>>>,
}

#[derive(Clone, Copy)]
struct Entry {
    key: Span,
    /// Flagged when the key came with different values.
    value: Span,
}

impl AttributeTable {
    pub(super) const fn set_names(&mut self, names: &'static [&'static str]) {
        self.names = names;
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        if let Some(side) = &mut self.side {
            side.clear();
        }
    }

    #[inline(always)]
    pub(super) fn insert(
        &mut self,
        frame: &[u8],
        limits: &Limits,
        key: Text<'_>,
        value: Text<'_>,
    ) -> Result<(), DecodeError> {
        let entry = Entry { key: self.store(frame, key)?, value: self.store(frame, value)? };
        self.add(frame, limits, entry)
    }

    fn add(&mut self, frame: &[u8], limits: &Limits, entry: Entry) -> Result<(), DecodeError> {
        if entry.value.len() > limits.attribute_bytes {
            return Err(DecodeError::new(DecodeErrorKind::TooManyAttributes, entry.key.range().start));
        }
        // The length alone tells most keys apart.
        let similar = |old: &Entry| old.key.len() == entry.key.len();
        if self.entries.iter().any(similar)
            && let Some(index) = self.entries.iter().position(|old| self.is_same(frame, old.key, entry.key))
        {
            self.replace(frame, index, entry.value);
        } else if self.entries.len() < limits.attributes {
            self.entries.push(entry);
        } else {
            return Err(DecodeError::new(DecodeErrorKind::TooManyAttributes, entry.key.range().start));
        }
        Ok(())
    }

    /// Rarely asked: keys of the same length are few.
    #[inline(never)]
    fn is_same(&self, frame: &[u8], key: Span, other: Span) -> bool {
        let other = self.resolve(frame, other).unwrap_or_default();
        self.resolve(frame, key).is_some_and(|key| key.eq_ignore_ascii_case(other))
    }

    #[cold]
    fn replace(&mut self, frame: &[u8], index: usize, mut value: Span) {
        let Some(old) = self.entries.get(index).map(|entry| entry.value) else { return };
        if old.is_flagged() || self.resolve(frame, old) != self.resolve(frame, value) {
            value.set_flag();
        }
        if let Some(entry) = self.entries.get_mut(index) {
            entry.value = value;
        }
    }

    #[inline(always)]
    fn store(&mut self, frame: &[u8], text: Text<'_>) -> Result<Span, DecodeError> {
        let span = match text {
            Text::Frame(range) if range.end <= frame.len() => Span::new(range),
            Text::Frame(_) => None,
            Text::Name(index) => {
                let len = self.names.get(index).map_or(0, |name| name.len());
                Span::at(Source::Name, index..index.saturating_add(len))
            }
            Text::Copied(bytes) => self.copy(bytes),
            Text::Span(span) => Some(span),
        };
        span.ok_or_else(|| DecodeError::new(DecodeErrorKind::FrameTooLarge, 0))
    }

    pub(super) fn copy(&mut self, bytes: &[u8]) -> Option<Span> {
        let side = self.side.get_or_insert_default();
        let start = side.len();
        side.extend_from_slice(bytes);
        Span::at(Source::Side, start..side.len())
    }

    pub(super) fn mark_ambiguous(&mut self, frame: &[u8], key: &str) {
        if let Some(entry) = self.position(frame, key.as_bytes()).and_then(|index| self.entries.get_mut(index)) {
            entry.value.set_flag();
        }
    }

    /// Returns the bytes of a span: in `frame`, in the side store, or in the table of names.
    #[must_use]
    pub fn resolve<'a>(&'a self, frame: &'a [u8], span: Span) -> Option<&'a [u8]> {
        match span.source() {
            Source::Frame => frame.get(span.range()),
            Source::Side => self.side.as_ref()?.get(span.range()),
            Source::Name => self.names.get(span.range().start).map(|name| name.as_bytes()),
        }
    }

    /// Returns the value under `key`; `frame` is the frame that the table was filled from.
    #[must_use]
    pub fn get<'a>(&'a self, frame: &'a [u8], key: &str) -> Option<&'a [u8]> {
        let entry = self.entries.get(self.position(frame, key.as_bytes())?)?;
        self.resolve(frame, entry.value)
    }

    /// Tells whether `key` came with different values.
    #[must_use]
    pub fn is_ambiguous(&self, frame: &[u8], key: &str) -> bool {
        self.position(frame, key.as_bytes())
            .and_then(|index| self.entries.get(index))
            .is_some_and(|entry| entry.value.is_flagged())
    }

    /// Lists keys and values in the order in which the keys first came.
    pub fn iter<'a>(&'a self, frame: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.entries
            .iter()
            .filter_map(move |entry| Some((self.resolve(frame, entry.key)?, self.resolve(frame, entry.value)?)))
    }

    /// Returns the number of distinct keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether there are no attributes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn position(&self, frame: &[u8], key: &[u8]) -> Option<usize> {
        self.entries.iter().position(|entry| {
            // The length alone tells most keys apart.
            entry.key.len() == key.len()
                && self.resolve(frame, entry.key).is_some_and(|name| name.eq_ignore_ascii_case(key))
        })
    }
}

impl fmt::Debug for AttributeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries.iter().map(|entry| (entry.key, entry.value))).finish()
    }
}

/// Attributes held without an allocation; with [`Demand`](super::Demand) a table never needs more than the
/// configuration asks for.
const INLINE: usize = 9;

/// Bytes of copied texts that take one allocation.
const SIDE: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &[u8] = b"UserAliceuserbob";

    fn table() -> AttributeTable {
        let mut table = AttributeTable::default();
        table.set_names(&["method"]);
        table.insert(FRAME, &Limits::default(), Text::Name(0), Text::Copied(b"add")).expect("room");
        table.insert(FRAME, &Limits::default(), Text::Frame(0..4), Text::Frame(4..9)).expect("room");
        table
    }

    #[test]
    fn last_value_wins_and_is_ambiguous() {
        let mut table = table();
        assert!(!table.is_ambiguous(FRAME, "USER"));
        table.insert(FRAME, &Limits::default(), Text::Frame(9..13), Text::Frame(13..16)).expect("room");
        assert_eq!(table.get(FRAME, "user"), Some(&b"bob"[..]));
        assert!(table.is_ambiguous(FRAME, "uSer"));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn same_value_twice_is_not_ambiguous() {
        let mut table = table();
        table.insert(FRAME, &Limits::default(), Text::Frame(9..13), Text::Copied(b"Alice")).expect("room");
        assert!(!table.is_ambiguous(FRAME, "user"));
    }

    #[test]
    fn names_and_copies_resolve() {
        assert_eq!(table().get(FRAME, "Method"), Some(&b"add"[..]));
        assert_eq!(table().get(FRAME, "nobody"), None);
    }

    #[test]
    fn overflow_is_an_error() {
        let limits = Limits { attributes: 2, ..Limits::default() };
        let mut table = table();
        let error = table.insert(FRAME, &limits, Text::Copied(b"k"), Text::Copied(b"v")).expect_err("full");
        assert_eq!(error.kind(), DecodeErrorKind::TooManyAttributes);
    }

    #[test]
    fn values_are_bounded_wherever_they_stand() {
        let limits = Limits { attribute_bytes: 5, ..Limits::default() };
        for (value, fits) in [
            (Text::Frame(0..5), true),
            (Text::Frame(0..6), false),
            (Text::Copied(b"12345"), true),
            (Text::Copied(b"123456"), false),
        ] {
            let inserted = AttributeTable::default().insert(FRAME, &limits, Text::Copied(b"k"), value);
            assert_eq!(
                inserted.map_err(|error| error.kind()).err(),
                (!fits).then_some(DecodeErrorKind::TooManyAttributes)
            );
        }
    }

    #[test]
    fn a_range_outside_the_frame_is_refused() {
        let mut table = AttributeTable::default();
        assert!(table.insert(FRAME, &Limits::default(), Text::Frame(0..99), Text::Frame(0..1)).is_err());
    }

    #[test]
    fn maps_are_attributes() {
        let pairs = [("A", "1"), ("a", "2")];
        assert_eq!(Attributes::attr(&pairs, "a"), Some(&b"2"[..]));
        let map = HashMap::from([("k", "v")]);
        assert_eq!(map.attr("K"), Some(&b"v"[..]));
    }
}
