//! Where in a resource the conversion is: a path that costs nothing until something is refused.

use std::fmt;

use aeraki_route::config::ConfigError;

/// A place in a resource, linked to the place that holds it.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    outer: Option<&'a Self>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Resource { kind: &'a str, name: &'a str },
    Field(&'a str),
    Item { list: &'a str, index: usize, name: &'a str },
    Entry { map: &'a str, key: &'a str },
}

impl<'a> At<'a> {
    /// The resource itself; one without a name goes by its kind.
    pub(super) fn resource(kind: &'a str, name: &'a str) -> Self {
        Self { outer: None, segment: Segment::Resource { kind, name } }
    }

    pub(super) fn field(&'a self, name: &'a str) -> Self {
        Self { outer: Some(self), segment: Segment::Field(name) }
    }

    pub(super) fn item(&'a self, list: &'a str, index: usize) -> Self {
        self.named(list, index, "")
    }

    /// An item that goes by `name`, unless that is empty.
    pub(super) fn named(&'a self, list: &'a str, index: usize, name: &'a str) -> Self {
        Self { outer: Some(self), segment: Segment::Item { list, index, name } }
    }

    /// What a map holds under a key.
    pub(super) fn entry(&'a self, map: &'a str, key: &'a str) -> Self {
        Self { outer: Some(self), segment: Segment::Entry { map, key } }
    }

    pub(super) fn refuse(&self, reason: impl Into<String>) -> ConfigError {
        ConfigError::new(self.object(), self.to_string(), reason)
    }

    /// Takes what must be there.
    pub(super) fn require<T>(&self, value: Option<T>) -> Result<T, ConfigError> {
        value.ok_or_else(|| self.refuse("is required"))
    }

    /// Refuses the first of the fields that is used, none of which is supported.
    pub(super) fn refuse_used(&self, fields: &[(&str, bool)]) -> Result<(), ConfigError> {
        match fields.iter().find(|(_, used)| *used) {
            Some((field, _)) => Err(self.field(field).refuse("is not supported")),
            None => Ok(()),
        }
    }

    fn object(&self) -> String {
        match (self.outer, self.segment) {
            (Some(outer), _) => outer.object(),
            (None, Segment::Resource { kind, name: "" }) => kind.to_owned(),
            (None, Segment::Resource { kind, name }) => format!("{kind} {name:?}"),
            (None, _) => String::new(),
        }
    }
}

impl fmt::Display for At<'_> {
    /// Writes the path of the field inside its resource.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(outer @ At { outer: Some(_), .. }) = self.outer {
            write!(f, "{outer}.")?;
        }
        match self.segment {
            Segment::Resource { .. } => Ok(()),
            Segment::Field(name) => f.write_str(name),
            Segment::Item { list, index, name: "" } => write!(f, "{list}[{index}]"),
            Segment::Item { list, index, name } => write!(f, "{list}[{index}] {name:?}"),
            Segment::Entry { map, key } => write!(f, "{map}[{key:?}]"),
        }
    }
}
