//! Values with a `*` in them, which stands for any text, also none.

/// The texts between the stars, of which there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    prefix: String,
    middle: Vec<String>,
    suffix: String,
}

impl Pattern {
    /// Reads a pattern; none if there is no star in it.
    pub(super) fn new(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_once('*')?;
        let (middle, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
        let middle = middle.split('*').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Some(Self { prefix: prefix.to_owned(), middle, suffix: suffix.to_owned() })
    }

    /// Tells whether it covers the whole of `value`.
    pub(super) fn matches(&self, value: &str) -> bool {
        let inner = value.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_suffix(&*self.suffix));
        let Some(mut rest) = inner else { return false };
        for part in &self.middle {
            // the first place for each part leaves the most room for those behind it
            let Some((_, behind)) = rest.split_once(&**part) else { return false };
            rest = behind;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tries every length for every star.
    fn naive(pattern: &[u8], value: &[u8]) -> bool {
        match pattern.split_first() {
            None => value.is_empty(),
            Some((b'*', rest)) => (0..=value.len()).any(|skip| naive(rest, &value[skip..])),
            Some((byte, rest)) => value.split_first().is_some_and(|(first, value)| first == byte && naive(rest, value)),
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_a_search_of_all_ways_finds(pattern in "[ab*]{0,8}", value in "[ab]{0,10}") {
            match Pattern::new(&pattern) {
                None => prop_assert!(!pattern.contains('*')),
                Some(compiled) => prop_assert_eq!(compiled.matches(&value), naive(pattern.as_bytes(), value.as_bytes())),
            }
        }
    }
}
