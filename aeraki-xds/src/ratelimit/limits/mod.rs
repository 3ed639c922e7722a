//! What is limited: the compiled configuration.

mod error;
mod file;
mod pattern;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, fs, io, path::Path};

pub use self::error::LimitsError;
use self::pattern::Pattern;
use super::Unit;
use crate::proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;

/// The limits of all domains, in the format of [envoyproxy/ratelimit](https://github.com/envoyproxy/ratelimit).
///
/// Each file holds one domain:
///
/// ```yaml
/// domain: shop
/// descriptors:
///   - key: method
///     value: pay                # without a value: every value, each with a counter of its own
///     rate_limit: { unit: minute, requests_per_unit: 10 }
///     descriptors: []           # what may follow behind this key and value
/// ```
///
/// The entries of a question's descriptor are followed from level to level: at each, an equal value goes before a value
/// with `*` in it, in the order of the file, and that before a key without a value. The limit is the one where the last
/// entry arrives; there is none if an entry finds nothing.
///
/// `shadow_mode`, `quota_mode`, `share_threshold` and, in `rate_limit`, `name`, `replaces` and `unlimited` mean what
/// they mean there. `detailed_metric`, `value_to_metric` and `metadata` are accepted and without effect: they name
/// statistics and metadata that this service does not have.
///
/// A Kubernetes ConfigMap is taken for the files that it holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    domains: HashMap<String, Level>,
}

impl Limits {
    /// Compiles files, each given by its name in errors and its text.
    ///
    /// # Errors
    ///
    /// Names file, field and reason of the first fault: a text that is not YAML, an unknown field or unit, an empty
    /// domain or key, a domain or descriptor that is there already, a limit without unit or number, an unlimited one
    /// with a unit.
    pub fn parse<N: AsRef<str>, T: AsRef<str>>(files: impl IntoIterator<Item = (N, T)>) -> Result<Self, LimitsError> {
        let mut limits = Self::default();
        for (name, text) in files {
            limits.add_text(name.as_ref(), text.as_ref())?;
        }
        Ok(limits)
    }

    /// Reads and compiles files, and of each folder the files that end in `.yaml` or `.yml` and do not begin with a
    /// dot.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and if a file cannot be read or a folder has none.
    pub fn read<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, LimitsError> {
        let mut files = Vec::new();
        for path in paths {
            let path = path.as_ref();
            read_path(path, &mut files).map_err(|error| LimitsError::whole(path.display(), error))?;
        }
        Self::parse(files)
    }

    /// Finds the limit for a descriptor, and what is counted for it.
    pub(super) fn find<'a>(
        &'a self,
        domain: &str,
        entries: &'a [Entry],
    ) -> Option<(&'a Limit, Vec<(&'a str, &'a str)>)> {
        let mut level = self.domains.get(domain)?;
        let mut limit = None;
        let mut counted = Vec::with_capacity(entries.len());
        for entry in entries {
            let node = level.find(entry)?;
            counted.push((entry.key.as_str(), node.shared_value.as_deref().unwrap_or(&entry.value)));
            limit = node.limit.as_ref();
            level = &node.below;
        }
        Some((limit?, counted))
    }

    /// Tells whether any limit of `domain` is known.
    pub(super) fn has_domain(&self, domain: &str) -> bool {
        self.domains.contains_key(domain)
    }
}

fn read_path(path: &Path, files: &mut Vec<(String, String)>) -> io::Result<()> {
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        paths = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        paths.retain(|path| is_yaml(path));
        // one order for every machine, so that a duplicate is always found in the same file
        paths.sort();
        if paths.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "holds no .yaml or .yml file"));
        }
    }
    for path in paths {
        files.push((path.display().to_string(), fs::read_to_string(&path)?));
    }
    Ok(())
}

fn is_yaml(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    !hidden && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") && path.is_file()
}

/// What a descriptor may go on with, by key.
#[derive(Debug, Clone, Default, PartialEq)]
struct Level {
    keys: HashMap<String, Alternatives>,
}

impl Level {
    fn find(&self, entry: &Entry) -> Option<&Node> {
        let alternatives = self.keys.get(&entry.key)?;
        let by_pattern = || alternatives.patterns.iter().find(|(pattern, _)| pattern.matches(&entry.value));
        let by_value = alternatives.values.get(&entry.value).or_else(|| by_pattern().map(|(_, node)| node));
        by_value.or(alternatives.any.as_deref())
    }
}

/// The nodes of one key, the most specific first.
#[derive(Debug, Clone, Default, PartialEq)]
struct Alternatives {
    values: HashMap<String, Node>,
    patterns: Vec<(Pattern, Node)>,
    any: Option<Box<Node>>,
}

/// One descriptor of the configuration.
#[derive(Debug, Clone, Default, PartialEq)]
struct Node {
    limit: Option<Limit>,
    /// What is counted instead of the value: the pattern, where all values that match it share a counter.
    shared_value: Option<String>,
    below: Level,
}

/// A limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limit {
    /// By which another limit replaces it; may be empty.
    pub(super) name: String,
    /// None: unlimited.
    pub(super) rate: Option<Rate>,
    /// Names of the limits that do not count where this one does.
    pub(super) replaces: Vec<String>,
    /// Whether it is only counted, never enforced.
    pub(super) shadow: bool,
    /// Whether a request passes as long as any such limit of its descriptors is not exhausted.
    pub(super) quota: bool,
}

impl Limit {
    /// A limit that a client brings along.
    pub(super) const fn of_rate(rate: Rate) -> Self {
        Self { name: String::new(), rate: Some(rate), replaces: Vec::new(), shadow: false, quota: false }
    }
}

/// How much a window has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) requests_per_unit: u32,
    pub(super) unit: Unit,
}
