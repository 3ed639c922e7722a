//! The values of a message, read from the frame one at a time and borrowed from it.
//!
//! A container is stepped over when its parent is read and read when it is asked for: visiting a whole tree costs its
//! bytes times its depth, which [`Limits::depth`](crate::Limits::depth) bounds.

use std::iter;

use super::grammar::{BinaryGrammar, CompactGrammar, Field, Grammar, Items, Type};
use super::skip::{Open, Skip};
use super::wire::{Fault, Parsed, array, byte, take, whole};
use crate::codec::{DecodeError, DecodeErrorKind};

/// One value.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A signed byte.
    I8(i8),
    /// A signed number of 16 bits.
    I16(i16),
    /// A signed number of 32 bits, or an enumeration.
    I32(i32),
    /// A signed number of 64 bits.
    I64(i64),
    /// A number; the bits are kept, those of NaN as well.
    Double(f64),
    /// A text or bytes: the wire does not tell.
    String(&'a [u8]),
    /// Sixteen bytes.
    Uuid([u8; 16]),
    /// A struct, union or exception.
    Struct(Struct<'a>),
    /// A list.
    List(List<'a>),
    /// A list whose elements differ.
    Set(List<'a>),
    /// Pairs.
    Map(Map<'a>),
}

/// A struct, union or exception.
#[derive(Clone, Copy, Debug)]
pub struct Struct<'a> {
    bytes: Cursor<'a>,
}

/// A list or set.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    bytes: Cursor<'a>,
    items: Items,
}

/// A map.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    bytes: Cursor<'a>,
    items: Items,
}

impl<'a> Struct<'a> {
    /// Views the struct that `bytes` begins with; they end at `end` in what error offsets count in.
    pub(super) const fn new(bytes: &'a [u8], end: usize, compact: bool, depth: usize) -> Self {
        Self { bytes: Cursor { rest: bytes, end, compact, depth } }
    }

    /// Lists ids and values in wire order; nothing follows an error.
    pub fn fields(&self) -> impl Iterator<Item = Result<(i16, Value<'a>), DecodeError>> + use<'a> {
        let mut next = Some((self.bytes, 0));
        iter::from_fn(move || {
            let (mut bytes, last) = next.take()?;
            let field = bytes.field(last).transpose()?;
            next = field.as_ref().ok().map(|(id, _)| (bytes, *id));
            Some(field)
        })
    }

    /// Returns the value of the last field with this id; `None` where there is none in front of an error.
    #[must_use]
    pub fn field(&self, id: i16) -> Option<Value<'a>> {
        self.fields().map_while(Result::ok).filter(|(of, _)| *of == id).last().map(|(_, value)| value)
    }
}

impl<'a> List<'a> {
    /// Returns the type of the elements; `None` where the list is empty and names no known type.
    #[must_use]
    pub fn element(&self) -> Option<Type> {
        self.items.of.map(|(this, _)| this)
    }

    /// Returns the number of elements.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.items.left
    }

    /// Tells whether there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lists the elements; nothing follows an error.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, DecodeError>> + use<'a> {
        values(self.bytes, self.items)
    }
}

impl<'a> Map<'a> {
    /// Returns the types of keys and values; `None` where the map is empty and names no known types.
    #[must_use]
    pub const fn types(&self) -> Option<(Type, Type)> {
        self.items.of
    }

    /// Returns the number of pairs.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.items.left / 2
    }

    /// Tells whether there are no pairs.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lists keys and values; nothing follows an error.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Value<'a>, Value<'a>), DecodeError>> + use<'a> {
        let mut values = values(self.bytes, self.items);
        iter::from_fn(move || {
            let key = values.next()?;
            Some(key.and_then(|key| Ok((key, values.next().transpose()?.unwrap_or(key)))))
        })
    }
}

/// What is left of a container, and where it is.
#[derive(Clone, Copy, Debug)]
struct Cursor<'a> {
    rest: &'a [u8],
    end: usize,
    compact: bool,
    /// Structs and containers that may be open at once, this one among them.
    depth: usize,
}

impl<'a> Cursor<'a> {
    fn field(&mut self, last: i16) -> Result<Option<(i16, Value<'a>)>, DecodeError> {
        if self.compact { self.field_in::<CompactGrammar>(last) } else { self.field_in::<BinaryGrammar>(last) }
    }

    fn field_in<G: Grammar>(&mut self, last: i16) -> Result<Option<(i16, Value<'a>)>, DecodeError> {
        let Some(Field { id, of, flag }) = self.read(|rest| G::field(rest, last))? else { return Ok(None) };
        let value = match flag {
            Some(flag) => Value::Bool(flag),
            None => self.value_in::<G>(of)?,
        };
        Ok(Some((id, value)))
    }

    fn value(&mut self, of: Type) -> Result<Value<'a>, DecodeError> {
        if self.compact { self.value_in::<CompactGrammar>(of) } else { self.value_in::<BinaryGrammar>(of) }
    }

    fn value_in<G: Grammar>(&mut self, of: Type) -> Result<Value<'a>, DecodeError> {
        Ok(match of {
            Type::Bool => Value::Bool(G::flag(self.read(byte)?)),
            Type::I8 => Value::I8(self.read(byte)?.cast_signed()),
            Type::I16 => Value::I16(self.read(G::i16)?),
            Type::I32 => Value::I32(self.read(G::i32)?),
            Type::I64 => Value::I64(self.read(G::i64)?),
            Type::Double => Value::Double(G::double(self.read(array)?)),
            Type::Uuid => Value::Uuid(self.read(array)?),
            Type::String => {
                let length = usize::try_from(self.read(G::length)?).unwrap_or(usize::MAX);
                Value::String(self.read(|rest| take(rest, length))?)
            }
            Type::Struct | Type::List | Type::Set | Type::Map if self.depth <= 1 => {
                self.read(|rest| Fault::at(rest, DecodeErrorKind::DepthExceeded))?
            }
            Type::Struct => Value::Struct(Struct { bytes: self.enter::<G>(Open::Struct { last: 0 })? }),
            Type::List => Value::List(self.list::<G>()?),
            Type::Set => Value::Set(self.list::<G>()?),
            Type::Map => {
                let items = self.read(|rest| G::map(rest, 0))?;
                Value::Map(Map { bytes: self.enter::<G>(Open::Items(items))?, items })
            }
        })
    }

    fn list<G: Grammar>(&mut self) -> Result<List<'a>, DecodeError> {
        let items = self.read(|rest| G::list(rest, 0))?;
        Ok(List { bytes: self.enter::<G>(Open::Items(items))?, items })
    }

    /// Steps over a container whose head has been read, and returns what it holds.
    fn enter<G: Grammar>(&mut self, open: Open) -> Result<Self, DecodeError> {
        let inner = Self { depth: self.depth.saturating_sub(1), ..*self };
        let length = Skip::inside(open).run::<G>(self.rest, 0, inner.depth).map_err(|fault| fault.placed(self.end))?;
        self.read(|rest| take(rest, length))?;
        Ok(inner)
    }

    fn read<T>(&mut self, parser: impl FnOnce(&'a [u8]) -> Parsed<'a, T>) -> Result<T, DecodeError> {
        let (rest, value) = whole(parser(self.rest)).map_err(|fault| fault.placed(self.end))?;
        self.rest = rest;
        Ok(value)
    }
}

fn values<'a>(bytes: Cursor<'a>, items: Items) -> impl Iterator<Item = Result<Value<'a>, DecodeError>> + use<'a> {
    let mut next = items.of.map(|of| (bytes, of, items.left));
    iter::from_fn(move || {
        let (mut bytes, (this, after), left) = next.take().filter(|(.., left)| *left > 0)?;
        let value = bytes.value(this);
        next = value.is_ok().then(|| (bytes, (after, this), left.saturating_sub(1)));
        Some(value)
    })
}
