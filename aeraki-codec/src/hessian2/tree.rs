//! Whole values in memory, for views and tools.

use super::{Binary, Class, Event, Reader, Text, Type, input::Input};
use crate::{DecodeError, DecodeErrorKind};

/// A value with the bytes that it was read from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Node<'a> {
    /// The value as it stands on the wire, class definitions before it included.
    pub encoded: &'a [u8],
    /// What it says.
    pub value: Value<'a>,
}

/// A decoded value. References are kept as they are: expanding them is how a small body becomes
/// a huge one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A 32-bit integer.
    Int(i32),
    /// A 64-bit integer.
    Long(i64),
    /// A double.
    Double(f64),
    /// Milliseconds since the epoch, UTC.
    Date(i64),
    /// A string.
    Text(Text<'a>),
    /// Octets.
    Binary(Binary<'a>),
    /// The index of the container that stands here once more.
    Ref(u32),
    /// A list or array.
    List(List<'a>),
    /// A map.
    Map(Map<'a>),
    /// An object.
    Object(Object<'a>),
}

/// A list or array.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct List<'a> {
    /// The index under which references find it.
    pub index: u32,
    /// The name of its type, looked up if it was written as an index.
    pub ty: Option<Text<'a>>,
    /// True if it ends with a terminator instead of being counted.
    pub variable: bool,
    /// The items.
    pub items: Vec<Node<'a>>,
}

/// A map, in the order of the wire.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Map<'a> {
    /// The index under which references find it.
    pub index: u32,
    /// The name of its type, looked up if it was written as an index.
    pub ty: Option<Text<'a>>,
    /// Keys and values.
    pub entries: Vec<(Node<'a>, Node<'a>)>,
}

/// An object: its values stand in the order of its class's field names.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Object<'a> {
    /// The index under which references find it.
    pub index: u32,
    /// The index of its class.
    pub class_index: u32,
    /// Its class.
    pub class: Class<'a>,
    /// One value for each field.
    pub fields: Vec<Node<'a>>,
}

impl<'a> Reader<'a> {
    /// Reads one value as a tree. It allocates, so it is for views and tools, not for the way of
    /// a request; 64 nodes for each of [`Limits::definitions`](crate::Limits::definitions) bound it.
    ///
    /// `types` is the table of type names of this body: hand the same one to every call.
    ///
    /// # Errors
    ///
    /// Any [`DecodeErrorKind`].
    pub fn value(&mut self, types: &mut TypeTable<'a>) -> Result<Node<'a>, DecodeError> {
        let mut builder =
            Builder { nodes: self.definitions.saturating_mul(64), depth: self.depth.min(MAX_DEPTH), types };
        builder.node(self)
    }
}

/// The type names that a body has written out so far.
#[derive(Clone, Debug, Default)]
pub struct TypeTable<'a> {
    names: Vec<Text<'a>>,
}

impl<'a> TypeTable<'a> {
    fn resolve(&mut self, ty: Option<Type<'a>>) -> Option<Text<'a>> {
        match ty? {
            Type::Name(name) => {
                self.names.push(name);
                Some(name)
            }
            Type::Index(index) => self.names.get(usize::try_from(index).ok()?).copied(),
        }
    }
}

struct Builder<'t, 'a> {
    nodes: usize,
    depth: usize,
    types: &'t mut TypeTable<'a>,
}

impl<'a> Builder<'_, 'a> {
    fn node(&mut self, reader: &mut Reader<'a>) -> Result<Node<'a>, DecodeError> {
        let start = reader.input;
        self.nodes = self.nodes.checked_sub(1).ok_or_else(|| limit(start))?;
        let value = match reader.event()? {
            Event::Null => Value::Null,
            Event::Bool(value) => Value::Bool(value),
            Event::Int(value) => Value::Int(value),
            Event::Long(value) => Value::Long(value),
            Event::Double(value) => Value::Double(value),
            Event::Date(value) => Value::Date(value),
            Event::Text(value) => Value::Text(value),
            Event::Binary(value) => Value::Binary(value),
            Event::Ref(index) => Value::Ref(index),
            container => self.container(reader, start, container)?,
        };
        Ok(Node { encoded: reader.input.since(start), value })
    }

    fn container(
        &mut self,
        reader: &mut Reader<'a>,
        start: Input<'a>,
        event: Event<'a>,
    ) -> Result<Value<'a>, DecodeError> {
        let too_deep = || start.error(DecodeErrorKind::DepthExceeded);
        self.depth = self.depth.checked_sub(1).ok_or_else(too_deep)?;
        let index = reader.references().saturating_sub(1);
        let value = match event {
            Event::List { ty, len } => {
                let ty = self.types.resolve(ty);
                let items = self.items(reader, len)?;
                Value::List(List { index, ty, variable: len.is_none(), items })
            }
            Event::Map { ty } => {
                let ty = self.types.resolve(ty);
                Value::Map(Map { index, ty, entries: self.entries(reader)? })
            }
            Event::Object { class: class_index, fields } => {
                let class = reader.class(class_index).ok_or_else(|| limit(start))?;
                let fields = self.items(reader, Some(fields))?;
                Value::Object(Object { index, class_index, class, fields })
            }
            _ => Value::Null,
        };
        self.depth = self.depth.saturating_add(1);
        Ok(value)
    }

    fn items(&mut self, reader: &mut Reader<'a>, len: Option<u32>) -> Result<Vec<Node<'a>>, DecodeError> {
        let mut items = Vec::new();
        match len {
            Some(len) => {
                for _ in 0..len {
                    items.push(self.node(reader)?);
                }
            }
            None => {
                while !reader.terminator() {
                    items.push(self.node(reader)?);
                }
            }
        }
        Ok(items)
    }

    fn entries(&mut self, reader: &mut Reader<'a>) -> Result<Vec<(Node<'a>, Node<'a>)>, DecodeError> {
        let mut entries = Vec::new();
        while !reader.terminator() {
            entries.push((self.node(reader)?, self.node(reader)?));
        }
        Ok(entries)
    }
}

fn limit(at: Input<'_>) -> DecodeError {
    at.error(DecodeErrorKind::TooManyDefinitions)
}

/// A tree is built and dropped on the call stack, so this holds whatever the limits say.
const MAX_DEPTH: usize = 256;
