//! Which attributes anybody will look at.

#[cfg(any(feature = "dubbo", feature = "thrift"))]
mod wanted;

use std::{fmt, sync::Arc};

#[cfg(any(feature = "dubbo", feature = "thrift"))]
pub(crate) use self::wanted::{Sorter, Wanted};

/// Names the attributes that a configuration looks at, so that a codec reads those and no others.
///
/// A codec stops early when no demanded key lies further on, and a peer cannot fill a message with keys that nobody
/// asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Demand {
    all: bool,
    /// Lower case, sorted, distinct; shared by all clones.
    keys: Arc<[Box<str>]>,
    /// Bit `len % 64` is set where a key of that length is demanded: refuses most foreign keys at once.
    lengths: u64,
}

impl Demand {
    /// Asks for every attribute there is: for users of a codec alone.
    #[must_use]
    pub fn all() -> Self {
        Self { all: true, keys: Arc::default(), lengths: u64::MAX }
    }

    /// Asks for nothing: only kind, id and status are read.
    #[must_use]
    pub fn none() -> Self {
        Self::of(std::iter::empty::<&str>())
    }

    /// Asks for the given keys; their ASCII case does not matter.
    #[must_use]
    pub fn of<K: AsRef<str>>(keys: impl IntoIterator<Item = K>) -> Self {
        let mut keys: Vec<Box<str>> = keys.into_iter().map(|key| key.as_ref().to_ascii_lowercase().into()).collect();
        keys.sort_unstable();
        keys.dedup();
        let lengths = keys.iter().fold(0, |bits, key| bits | length_bit(key.len()));
        Self { all: false, keys: keys.into(), lengths }
    }

    /// Asks for what either side asks for.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if self.all || other.all {
            return Self::all();
        }
        Self::of(self.keys.iter().chain(other.keys.iter()))
    }

    /// Tells whether `key` is asked for, without regard to ASCII case.
    #[must_use]
    #[inline]
    pub fn wants(&self, key: &[u8]) -> bool {
        self.all
            || (self.may_want(key.len())
                && self.keys.iter().any(|k| k.as_bytes() == key || k.as_bytes().eq_ignore_ascii_case(key)))
    }

    /// Tells whether a key of that length may be asked for.
    #[inline]
    pub(crate) const fn may_want(&self, len: usize) -> bool {
        self.lengths & length_bit(len) != 0
    }

    /// Tells whether every attribute is asked for.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.all
    }

    /// Tells whether nothing is asked for.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.lengths == 0
    }

    /// Lists the keys in lower case; empty for [`Demand::all`].
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.keys.iter().map(|key| &**key)
    }
}

impl fmt::Debug for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all { f.write_str("Demand(all)") } else { f.debug_set().entries(self.keys.iter()).finish() }
    }
}

const fn length_bit(len: usize) -> u64 {
    1 << (len % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wants_what_was_named_whatever_the_case() {
        let demand = Demand::of(["Interface", "method"]);
        assert!(demand.wants(b"INTERFACE") && demand.wants(b"method"));
        assert!(!demand.wants(b"version") && !demand.wants(b"metho1"));
        assert!(Demand::all().wants(b"anything") && !Demand::none().wants(b""));
    }

    #[test]
    fn union_joins() {
        let joined = Demand::of(["a"]).union(&Demand::of(["B", "a"]));
        assert_eq!(joined.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert!(joined.union(&Demand::all()).is_all());
    }
}
