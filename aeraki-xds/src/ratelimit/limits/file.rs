//! The files, as people write them.

use std::collections::{BTreeMap, hash_map};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};

use super::{Alternatives, Level, Limit, Limits, LimitsError, Node, Pattern, Rate};
use crate::ratelimit::Unit;

impl Limits {
    /// Adds the domain of a file, or those of a ConfigMap.
    pub(super) fn add_text(&mut self, file: &str, text: &str) -> Result<(), LimitsError> {
        // a text that is not YAML at all is refused below, in the words for a domain
        let kind = serde_saphyr::from_str::<Kind>(text).unwrap_or_default().kind;
        if kind.as_deref() != Some("ConfigMap") {
            return self.add_domain(file, read(file, text)?);
        }
        let ConfigMap { data } = read(file, text)?;
        for (name, text) in &data {
            let file = format!("{file}: data[{name:?}]");
            self.add_domain(&file, read(&file, text)?)?;
        }
        Ok(())
    }

    fn add_domain(&mut self, file: &str, rules: DomainRules) -> Result<(), LimitsError> {
        let refuse = |reason: String| Err(LimitsError::new(file, "domain", reason));
        if rules.domain.is_empty() {
            return refuse("must not be empty".to_owned());
        }
        let level = compile(&rules.descriptors).map_err(|(field, reason)| LimitsError::new(file, field, reason))?;
        match self.domains.entry(rules.domain) {
            hash_map::Entry::Occupied(known) => refuse(format!("{:?} is defined in another file already", known.key())),
            hash_map::Entry::Vacant(free) => {
                free.insert(level);
                Ok(())
            }
        }
    }
}

/// Reads a document; an error names the field and, in its reason, line and column.
fn read<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, LimitsError> {
    let mut field = String::new();
    let options = serde_saphyr::options! { with_snippet: false };
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            field = error.path().to_string();
            error.into_inner()
        })
    });
    read.map_err(|error| LimitsError::new(file, field.trim_end_matches(['.', '?']), one_line(&error.to_string())))
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// A fault: the path of the field, and the reason.
type Fault = (String, String);

fn compile(rules: &[Rule]) -> Result<Level, Fault> {
    let mut level = Level::default();
    for (index, rule) in rules.iter().enumerate() {
        let within = |(field, reason): Fault| (format!("descriptors[{index}].{field}"), reason);
        level.add(rule).map_err(within)?;
    }
    Ok(level)
}

impl Level {
    fn add(&mut self, rule: &Rule) -> Result<(), Fault> {
        if rule.key.is_empty() {
            return Err(fault("key", "must not be empty"));
        }
        let node = rule.compile()?;
        let alternatives = self.keys.entry(rule.key.clone()).or_default();
        if alternatives.insert(&rule.value, node) {
            return Ok(());
        }
        let value = if rule.value.is_empty() { "no value".to_owned() } else { format!("value {:?}", rule.value) };
        Err(fault("key", format!("{:?} with {value} is there already", rule.key)))
    }
}

impl Alternatives {
    /// Adds a node; false if there is one for this value.
    fn insert(&mut self, value: &str, node: Node) -> bool {
        match Pattern::new(value) {
            _ if value.is_empty() => self.any.replace(Box::new(node)).is_none(),
            None => self.values.insert(value.to_owned(), node).is_none(),
            Some(pattern) => {
                let new = self.patterns.iter().all(|(known, _)| *known != pattern);
                self.patterns.push((pattern, node));
                new
            }
        }
    }
}

impl Rule {
    fn compile(&self) -> Result<Node, Fault> {
        if self.share_threshold && !self.value.contains('*') {
            return Err(fault("share_threshold", "needs a value with a * in it"));
        }
        let limit = self.rate_limit.as_ref().map(|limit| self.limit(limit)).transpose();
        Ok(Node {
            limit: limit.map_err(|(field, reason)| (format!("rate_limit.{field}"), reason))?,
            shared_value: self.share_threshold.then(|| self.value.clone()),
            below: compile(&self.descriptors)?,
        })
    }

    fn limit(&self, rule: &LimitRule) -> Result<Limit, Fault> {
        let replaces: Vec<_> = rule.replaces.iter().map(|replaced| replaced.name.clone()).collect();
        for (index, name) in replaces.iter().enumerate() {
            let refuse = |reason| Err((format!("replaces[{index}].name"), format!("must not be {reason}")));
            if name.is_empty() {
                return refuse("empty");
            }
            if *name == rule.name {
                return refuse("the name of the limit itself");
            }
        }
        Ok(Limit {
            name: rule.name.clone(),
            rate: rule.rate()?,
            replaces,
            shadow: self.shadow_mode,
            quota: self.quota_mode,
        })
    }
}

impl LimitRule {
    fn rate(&self) -> Result<Option<Rate>, Fault> {
        if self.unlimited {
            return if self.unit.is_some() { Err(fault("unit", "must not be set when unlimited")) } else { Ok(None) };
        }
        let unit = self.unit.ok_or_else(|| fault("unit", "must be set, unless unlimited"))?;
        let requests_per_unit = self.requests_per_unit;
        let requests_per_unit =
            requests_per_unit.ok_or_else(|| fault("requests_per_unit", "must be set, unless unlimited"))?;
        Ok(Some(Rate { requests_per_unit, unit }))
    }
}

fn fault(field: &str, reason: impl Into<String>) -> Fault {
    (field.to_owned(), reason.into())
}

/// Takes a field with nothing behind its colon for one that is not there.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What tells a ConfigMap from a domain.
#[derive(Default, Deserialize)]
struct Kind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct ConfigMap {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainRules {
    domain: String,
    #[serde(default, deserialize_with = "or_default")]
    descriptors: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    key: String,
    /// Empty: any.
    #[serde(default, deserialize_with = "or_default")]
    value: String,
    rate_limit: Option<LimitRule>,
    #[serde(default, deserialize_with = "or_default")]
    descriptors: Vec<Self>,
    #[serde(default)]
    shadow_mode: bool,
    #[serde(default)]
    quota_mode: bool,
    #[serde(default)]
    share_threshold: bool,
    #[serde(default, rename = "detailed_metric")]
    _detailed_metric: bool,
    #[serde(default, rename = "value_to_metric")]
    _value_to_metric: bool,
    #[serde(default, rename = "metadata")]
    _metadata: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitRule {
    unit: Option<Unit>,
    requests_per_unit: Option<u32>,
    #[serde(default)]
    unlimited: bool,
    #[serde(default)]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    replaces: Vec<Replaced>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replaced {
    name: String,
}
