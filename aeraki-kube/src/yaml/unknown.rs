//! Kinds that are not read here: of which of them that was surely not meant.

use crate::{
    crd::{ApplicationProtocolSpec, DubboAuthorizationPolicySpec, MetaAuthorizationPolicySpec, MetaRouterSpec},
    istio::{DestinationRuleSpec, ServiceEntrySpec, ServiceSpec},
    object::Resource,
};

/// Tells what is wrong with an API version and a kind that no object here has: the field, and why. None: the object is
/// for others.
pub(super) fn fault(api_version: &str, kind: &str) -> Option<(&'static str, String)> {
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let near = |known: &&Known| is_near(known.kind, kind);
    if let Some(known) = KNOWN.iter().filter(|known| known.group == group).find(near) {
        return Some(("kind", format!("there is no kind `{kind}`: use `{}`", known.kind)));
    }
    let own = || KNOWN.iter().filter(|known| known.group.ends_with(OWN));
    let in_group: Vec<_> = own().filter(|known| known.group == group).map(|known| known.kind).collect();
    if !in_group.is_empty() {
        return Some(("kind", format!("there is no kind `{kind}` in `{group}`, only `{}`", in_group.join("`, `"))));
    }
    // other groups may have a Service, but nobody else has a MetaRouter
    let istio = KNOWN.iter().filter(|known| known.group == ServiceEntrySpec::GROUP && group.ends_with("istio.io"));
    let known = own().chain(istio).find(near)?;
    Some((
        "apiVersion",
        format!("must be `{}/{}`, not `{api_version}`, for a `{}`", known.group, known.version, known.kind),
    ))
}

/// A kind that is read here.
struct Known {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
}

impl Known {
    const fn of<S: Resource>() -> Self {
        Self { group: S::GROUP, version: S::VERSION, kind: S::KIND }
    }
}

const KNOWN: &[Known] = &[
    Known::of::<MetaRouterSpec>(),
    Known::of::<ApplicationProtocolSpec>(),
    Known::of::<MetaAuthorizationPolicySpec>(),
    Known::of::<DubboAuthorizationPolicySpec>(),
    Known::of::<ServiceEntrySpec>(),
    Known::of::<DestinationRuleSpec>(),
    Known::of::<ServiceSpec>(),
];

/// What our own groups end with.
const OWN: &str = "aeraki.io";

/// Tells whether a word is another one, but for case and two letters that are wrong, too many or missing.
fn is_near(word: &str, other: &str) -> bool {
    let (word, other) = (word.to_ascii_lowercase(), other.to_ascii_lowercase());
    if word.len().abs_diff(other.len()) > MOST_EDITS {
        return false;
    }
    // Levenshtein's distance, a row at a time
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (place, letter) in word.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], place + 1);
        for (column, known) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(letter != known);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()] <= MOST_EDITS
}

const MOST_EDITS: usize = 2;
