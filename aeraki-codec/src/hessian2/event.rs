//! One step through the grammar.

use super::{Binary, Text};

/// One step through the grammar: a whole scalar, or the opening of a container whose children
/// are the next values.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
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
    /// A back reference to the container with this index; never followed by this module.
    Ref(u32),
    /// A list opens: `len` values follow or, without a length, values up to the terminator.
    List {
        /// The type, if the list is typed.
        ty: Option<Type<'a>>,
        /// The number of values, if it is written before them.
        len: Option<u32>,
    },
    /// A map opens: keys and values in turn, up to the terminator.
    Map {
        /// The type, if the map is typed.
        ty: Option<Type<'a>>,
    },
    /// An object opens: one value for each field of its class.
    Object {
        /// The index of the class definition, for [`Reader::class`](super::Reader::class).
        class: u32,
        /// The number of fields.
        fields: u32,
    },
}

/// The type of a list or map.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Type<'a> {
    /// Written out; it takes the next index of the type table.
    Name(Text<'a>),
    /// The index of one written out before.
    Index(u32),
}
