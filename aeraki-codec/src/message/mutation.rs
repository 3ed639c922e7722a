//! Changes to the attributes of a message, written by its codec.

use bytes::Bytes;

/// Holds ordered changes to attributes; the last change of a key wins.
///
/// Keys match without regard to ASCII case, as those of [`Attributes`](super::Attributes) do, and are written as given
/// last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mutation {
    changes: Vec<(Bytes, Change)>,
}

/// What happens to one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The attribute takes this value, whether or not it was there.
    Set(Bytes),
    /// The attribute goes away.
    Remove,
}

impl Mutation {
    /// Makes an empty mutation.
    #[must_use]
    pub const fn new() -> Self {
        Self { changes: Vec::new() }
    }

    /// Sets `key` to `value`.
    pub fn set(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        self.change(key.into(), Change::Set(value.into()))
    }

    /// Removes `key`.
    pub fn remove(&mut self, key: impl Into<Bytes>) -> &mut Self {
        self.change(key.into(), Change::Remove)
    }

    /// Adds the changes of `later`, which win over those already here.
    pub fn merge(&mut self, later: &Self) {
        for (key, change) in &later.changes {
            self.change(key.clone(), change.clone());
        }
    }

    fn change(&mut self, key: Bytes, change: Change) -> &mut Self {
        match self.changes.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&key)) {
            Some(old) => *old = (key, change),
            None => self.changes.push((key, change)),
        }
        self
    }

    /// Returns the change of `key`.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Change> {
        self.changes.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, change)| change)
    }

    /// Lists the changes in the order in which their keys were first named.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Bytes, &Change)> {
        self.changes.iter().map(|(key, change)| (key, change))
    }

    /// Returns the number of keys that change.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.changes.len()
    }

    /// Tells whether nothing changes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_change_of_a_key_wins() {
        let mut mutation = Mutation::new();
        mutation.set("a", "1").set("b", "2").remove("a");
        let mut later = Mutation::new();
        later.set("b", "3");
        mutation.merge(&later);
        assert_eq!(mutation.get(b"a"), Some(&Change::Remove));
        assert_eq!(mutation.get(b"b"), Some(&Change::Set("3".into())));
        assert_eq!(mutation.len(), 2);
    }
}
