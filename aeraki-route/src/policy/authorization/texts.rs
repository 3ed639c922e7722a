//! Texts, their beginnings and ends, found by a value that matches them without walking them.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// What a text must be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pattern<'a> {
    Exact(&'a [u8]),
    Prefix(&'a [u8]),
    Suffix(&'a [u8]),
    /// Any text will do.
    Any,
}

impl<'a> Pattern<'a> {
    /// Reads a pattern that has been checked.
    pub(super) fn read(pattern: &'a str) -> Self {
        match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(""), _) => Self::Any,
            (Some(suffix), _) => Self::Suffix(suffix.as_bytes()),
            (None, Some(prefix)) => Self::Prefix(prefix.as_bytes()),
            (None, None) => Self::Exact(pattern.as_bytes()),
        }
    }
}

/// Values by patterns: one look-up for whole texts, and one for each length of a beginning or an end, however many
/// patterns there are.
#[derive(Debug)]
pub(super) struct Texts<V> {
    exact: Filed<V>,
    prefixes: Affixes<V>,
    suffixes: Affixes<V>,
    any: Option<V>,
}

type Filed<V> = HashMap<Box<[u8]>, V, RandomState>;

/// Beginnings or ends, and which lengths they have.
#[derive(Debug)]
struct Affixes<V> {
    lengths: Vec<usize>,
    filed: Filed<V>,
}

impl<V> Default for Texts<V> {
    fn default() -> Self {
        let (exact, prefixes, suffixes) = Default::default();
        Self { exact, prefixes, suffixes, any: None }
    }
}

impl<V> Default for Affixes<V> {
    fn default() -> Self {
        Self { lengths: Vec::new(), filed: HashMap::default() }
    }
}

impl<V: Default> Texts<V> {
    pub(super) fn entry(&mut self, pattern: Pattern<'_>) -> &mut V {
        match pattern {
            Pattern::Exact(text) => self.exact.entry(text.into()).or_default(),
            Pattern::Prefix(text) => self.prefixes.entry(text),
            Pattern::Suffix(text) => self.suffixes.entry(text),
            Pattern::Any => self.any.get_or_insert_default(),
        }
    }
}

impl<V> Texts<V> {
    /// Tells whether one of the values is right that are filed under the patterns that a text matches.
    #[inline]
    pub(super) fn any(&self, text: &[u8], mut is_right: impl FnMut(&V) -> bool) -> bool {
        let (prefixes, suffixes) = (&self.prefixes, &self.suffixes);
        self.exact.get(text).is_some_and(&mut is_right)
            || prefixes.fitting(text).any(|length| prefixes.filed.get(&text[..length]).is_some_and(&mut is_right))
            || suffixes
                .fitting(text)
                .any(|length| suffixes.filed.get(&text[text.len() - length..]).is_some_and(&mut is_right))
            || self.any.as_ref().is_some_and(is_right)
    }

    /// Tells whether a text matches one of the patterns.
    pub(super) fn match_any(&self, text: &[u8]) -> bool {
        self.any(text, |_| true)
    }

    /// Lists the patterns; where any text will do, nothing else matters.
    pub(super) fn patterns(&self) -> impl Iterator<Item = Pattern<'_>> {
        let any = self.any.iter().map(|_| Pattern::Any);
        let exact = self.exact.keys().map(|text| Pattern::Exact(text));
        let prefixes = self.prefixes.filed.keys().map(|text| Pattern::Prefix(text));
        let suffixes = self.suffixes.filed.keys().map(|text| Pattern::Suffix(text));
        let most = if self.any.is_some() { 1 } else { usize::MAX };
        any.chain(exact).chain(prefixes).chain(suffixes).take(most)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.any.is_none() && self.exact.is_empty() && self.prefixes.filed.is_empty() && self.suffixes.filed.is_empty()
    }
}

impl<V> Affixes<V> {
    /// Lists the lengths that a text can begin or end with.
    fn fitting(&self, text: &[u8]) -> impl Iterator<Item = usize> {
        let longest = text.len();
        self.lengths.iter().copied().take_while(move |length| *length <= longest)
    }
}

impl<V: Default> Affixes<V> {
    fn entry(&mut self, text: &[u8]) -> &mut V {
        if let Err(place) = self.lengths.binary_search(&text.len()) {
            self.lengths.insert(place, text.len());
        }
        self.filed.entry(text.into()).or_default()
    }
}
