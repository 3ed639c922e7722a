//! All metrics of a process, gathered when somebody asks.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use super::Distribution;
use crate::sync::lock;

/// Has metrics to show: implemented by what counts, registered with [`Stats`].
pub trait Collect: Send + Sync + fmt::Debug + 'static {
    /// Adds the present numbers.
    fn collect(&self, samples: &mut Samples);
}

/// Knows everything that counts; handed around, never a global. Cheap to clone.
///
/// Every worker counts for itself; numbers of the same name and labels are added up when they are shown.
#[derive(Clone, Debug, Default)]
pub struct Stats(Arc<Mutex<Vec<Arc<dyn Collect>>>>);

impl Stats {
    /// Makes an empty collection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds something that counts.
    pub fn register(&self, source: Arc<dyn Collect>) {
        lock(&self.0).push(source);
    }

    /// Removes something that counts no more; its numbers are gone.
    pub fn unregister(&self, source: &Arc<dyn Collect>) {
        lock(&self.0).retain(|known| !Arc::ptr_eq(known, source));
    }

    /// Gathers the present numbers.
    #[must_use]
    pub fn samples(&self) -> Samples {
        let mut samples = Samples::default();
        for source in lock(&self.0).iter() {
            source.collect(&mut samples);
        }
        samples
    }
}

/// The numbers of one moment.
#[derive(Debug, Default)]
pub struct Samples {
    pub(super) families: BTreeMap<(&'static str, &'static str), Family>,
}

/// One metric with the values of all its label sets.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) help: &'static str,
    pub(super) values: BTreeMap<Labels, Value>,
}

/// What distinguishes values of one name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Labels {
    group: Vec<(&'static str, String)>,
    /// Distinguishes members of one group.
    member: Option<(&'static str, String)>,
}

impl Labels {
    pub(super) fn pairs(&self) -> Vec<(&'static str, &str)> {
        self.group.iter().chain(&self.member).map(|(key, value)| (*key, value.as_str())).collect()
    }

    /// Joins a name as Envoy's statistics do: the group before it, the member behind it.
    fn dotted(&self, family: &str, name: &str) -> String {
        let group = self.group.iter().map(|(_, value)| value.as_str());
        let member = self.member.iter().map(|(_, value)| value.as_str());
        [family].into_iter().chain(group).chain([name]).chain(member).collect::<Vec<_>>().join(".")
    }
}

/// The number behind one name and label set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A number that only grows.
    Counter(u64),
    /// A number that comes and goes.
    Gauge(i64),
    /// Durations in milliseconds.
    Histogram(Distribution),
}

impl Samples {
    /// Opens the group of metrics whose names begin with `family` and which have these labels.
    ///
    /// `cluster` with the label `name="a"` is shown as `cluster.a.<metric>` and as `cluster_<metric>{name="a"}`.
    pub fn scope(&mut self, family: &'static str, labels: &[(&'static str, &str)]) -> Scope<'_> {
        let group = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        Scope { samples: self, family, labels: Labels { group, member: None } }
    }

    /// Returns the number under a dotted name, such as `cluster.a.upstream_cx_total`.
    #[must_use]
    pub fn get(&self, dotted: &str) -> Option<Value> {
        self.dotted().find(|(name, _)| name == dotted).map(|(_, value)| value)
    }

    /// Lists dotted names and numbers.
    pub fn dotted(&self) -> impl Iterator<Item = (String, Value)> {
        self.families.iter().flat_map(|((family, name), metric)| {
            metric.values.iter().map(move |(labels, value)| (labels.dotted(family, name), *value))
        })
    }

    /// Keeps only the numbers that are wanted, by dotted name and value.
    pub fn retain(&mut self, wanted: impl Fn(&str, &Value) -> bool) {
        for ((family, name), metric) in &mut self.families {
            metric.values.retain(|labels, value| wanted(&labels.dotted(family, name), value));
        }
        self.families.retain(|_, metric| !metric.values.is_empty());
    }

    fn add(&mut self, key: (&'static str, &'static str), help: &'static str, labels: Labels, value: Value) {
        let family = self.families.entry(key).or_insert_with(|| Family { help, values: BTreeMap::new() });
        family.values.entry(labels).and_modify(|sum| sum.add(&value)).or_insert(value);
    }
}

impl Value {
    /// Tells whether nothing has been counted, or there is nothing now.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Counter(count) => *count == 0,
            Self::Gauge(count) => *count == 0,
            Self::Histogram(seen) => seen.count() == 0,
        }
    }

    fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Counter(sum), Self::Counter(more)) => *sum += more,
            (Self::Gauge(sum), Self::Gauge(more)) => *sum += more,
            (Self::Histogram(sum), Self::Histogram(more)) => sum.add(more),
            (Self::Counter(_) | Self::Gauge(_) | Self::Histogram(_), _) => {
                debug_assert!(false, "one name has one kind of value");
            }
        }
    }
}

/// A group of metrics with common labels; see [`Samples::scope`].
#[derive(Debug)]
pub struct Scope<'a> {
    samples: &'a mut Samples,
    family: &'static str,
    labels: Labels,
}

impl Scope<'_> {
    /// Adds one number.
    pub fn add(&mut self, name: &'static str, help: &'static str, value: Value) -> &mut Self {
        self.samples.add((self.family, name), help, self.labels.clone(), value);
        self
    }

    /// Adds one number of several that differ by one more label.
    pub fn add_with(
        &mut self,
        name: &'static str,
        help: &'static str,
        (key, label): (&'static str, &str),
        value: Value,
    ) -> &mut Self {
        let labels = Labels { member: Some((key, label.to_owned())), ..self.labels.clone() };
        self.samples.add((self.family, name), help, labels, value);
        self
    }
}
