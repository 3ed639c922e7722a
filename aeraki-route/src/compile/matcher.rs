//! An ordered list of rules and its index: finds the first rule that a message fulfils.

use aeraki_codec::Attributes;
use smallvec::SmallVec;

use super::{Condition, Index, Probe, RuleSet, Slot, keys::KeyInterner, regex::RegexPool};
use crate::config::{AttributeMatch, error::FieldError, route};

/// Rules, each a list of conditions all of which must hold, compiled so that the first that does is found without
/// walking them.
#[derive(Debug)]
pub(crate) struct Matcher {
    keys: Box<[Box<str>]>,
    rules: RuleSet,
    index: Index,
}

impl Matcher {
    /// Compiles rules; `path` names the one at an index in errors.
    pub(crate) fn compile<'a>(
        rules: impl IntoIterator<Item = &'a [AttributeMatch]>,
        path: impl Fn(usize) -> String,
    ) -> Result<Self, FieldError> {
        let (mut keys, mut regexes, mut compiled) = (KeyInterner::default(), RegexPool::default(), RuleSet::default());
        for (index, matches) in rules.into_iter().enumerate() {
            let conditions = matches.iter().enumerate().map(|(position, condition)| {
                Condition::compile(condition, &mut keys, &mut regexes).map_err(|reason| {
                    let path_of_condition = route::condition_path(position, condition);
                    FieldError::new("value", reason).within(path_of_condition).within(path(index))
                })
            });
            compiled.push(conditions.collect::<Result<SmallVec<[_; 4]>, _>>()?);
        }
        Ok(Self { keys: keys.into_keys(), index: Index::build(&compiled), rules: compiled })
    }

    /// Returns the position of the first rule all of whose conditions hold.
    #[inline]
    pub(crate) fn find<A: Attributes + ?Sized>(&self, attributes: &A) -> Option<usize> {
        self.index.find(&self.rules, Probe::new(&self.keys, attributes))
    }

    /// Lists the keys that conditions look at, in lower case.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| &**key)
    }

    pub(crate) fn key(&self, slot: Slot) -> &str {
        &self.keys[slot as usize]
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &[Condition]> {
        self.rules.iter()
    }
}
