//! How binary and compact write fields, containers and scalars: the one place that knows the difference.
//!
//! ```text
//!             binary                              compact
//! field       type u8, id i16                     dddd tttt (id = last + d); d = 0: zigzag id follows
//! stop        00                                  .... 0000
//! list, set   elem u8, size i32                   ssss tttt; s = 15: varint size follows
//! map         key u8, value u8, size i32          varint size; if not 0: kkkk vvvv
//! string      size i32, bytes                     varint size, bytes
//! bool        one byte                            field: in tttt; element: one byte
//! i8          one byte                            one byte
//! i16…i64     big-endian                          zigzag varint
//! double      big-endian                          little-endian
//! uuid        16 bytes                            16 bytes
//! ```

use super::wire::{Fault, Parsed, array, byte, size, unzigzag, unzigzag64, varint, varint64};
use crate::codec::DecodeErrorKind;

/// The type of a value on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Type {
    /// True or false.
    Bool,
    /// A signed byte.
    I8,
    /// An IEEE 754 number of 64 bits.
    Double,
    /// A signed number of 16 bits.
    I16,
    /// A signed number of 32 bits; enumerations as well.
    I32,
    /// A signed number of 64 bits.
    I64,
    /// A text or bytes: the wire does not tell.
    String,
    /// A struct, union or exception.
    Struct,
    /// Pairs.
    Map,
    /// A list whose elements differ.
    Set,
    /// A list.
    List,
    /// Sixteen bytes in the order of RFC 9562.
    Uuid,
}

/// The beginning of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) id: i16,
    pub(super) of: Type,
    /// A compact boolean lies in the field header and has no bytes of its own.
    pub(super) flag: Option<bool>,
}

/// The beginning of a list, set or map: maps alternate between two types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Items {
    /// The type of the next value and of the one after it; nothing in an empty container, whose type bytes may be
    /// anything.
    pub(super) of: Option<(Type, Type)>,
    /// Values to come: twice the number of pairs for a map.
    pub(super) left: u64,
}

/// What differs between the encodings.
pub(super) trait Grammar {
    /// Steps over the fields at the front that are beyond doubt: whole, not nested, with nothing to remember of them.
    ///
    /// Most fields are such. Whatever else there is, is left to be looked at with care.
    #[inline]
    fn plain_fields(input: &[u8]) -> &[u8] {
        input
    }

    /// Reads the beginning of the field after the one with the id `last`; `None` at the end of the struct.
    fn field(input: &[u8], last: i16) -> Parsed<'_, Option<Field>>;
    /// Reads the head of a list or set. Its elements must fit into `input` and the `more` bytes that may yet come.
    fn list(input: &[u8], more: usize) -> Parsed<'_, Items>;
    /// Reads the head of a map. Its pairs must fit into `input` and the `more` bytes that may yet come.
    fn map(input: &[u8], more: usize) -> Parsed<'_, Items>;
    /// Reads the length of a string.
    fn length(input: &[u8]) -> Parsed<'_, u32>;
    /// Reads a signed number of 16 bits.
    fn i16(input: &[u8]) -> Parsed<'_, i16>;
    /// Reads a signed number of 32 bits.
    fn i32(input: &[u8]) -> Parsed<'_, i32>;
    /// Reads a signed number of 64 bits.
    fn i64(input: &[u8]) -> Parsed<'_, i64>;
    /// Puts the bytes of a double in order.
    fn double(bytes: [u8; 8]) -> f64;
    /// Reads a boolean that is an element.
    fn flag(byte: u8) -> bool;
    /// The width of a type whose values are all equally wide.
    fn width(of: Type) -> Option<u8>;
}

/// Binary, strict or not: they differ in the message head only.
#[derive(Debug)]
pub(super) struct BinaryGrammar;

impl Grammar for BinaryGrammar {
    #[inline]
    fn plain_fields(input: &[u8]) -> &[u8] {
        let mut rest = input;
        while let Some(code) = rest.first()
            && let Some(mut length) = PLAIN.get(usize::from(*code)).copied().map(usize::from)
            && length > 0
        {
            if *code == STRING {
                let Some([_, _, _, size @ ..]) = rest.first_chunk::<7>() else { break };
                length = length.saturating_add(u32::from_be_bytes(*size) as usize);
            }
            let Some(after) = rest.get(length..) else { break };
            rest = after;
        }
        rest
    }

    #[inline(always)]
    fn field(input: &[u8], _: i16) -> Parsed<'_, Option<Field>> {
        let (rest, code) = byte(input)?;
        if code == STOP {
            return Ok((rest, None));
        }
        let Some(of) = Type::binary(code) else { return Fault::at(input, DecodeErrorKind::UnknownType) };
        let (rest, id) = array(rest)?;
        Ok((rest, Some(Field { id: i16::from_be_bytes(id), of, flag: None })))
    }

    fn list(input: &[u8], more: usize) -> Parsed<'_, Items> {
        let (sized, code) = byte(input)?;
        let (rest, count) = size(sized)?;
        let of = Type::binary(code);
        if of.is_none() && count > 0 {
            return Fault::at(input, DecodeErrorKind::UnknownType);
        }
        checked::<Self>(sized, rest, more, Items { of: of.zip(of), left: u64::from(count) })
    }

    fn map(input: &[u8], more: usize) -> Parsed<'_, Items> {
        let (sized, [key, value]) = array(input)?;
        let (rest, count) = size(sized)?;
        let of = Type::binary(key).zip(Type::binary(value));
        if of.is_none() && count > 0 {
            return Fault::at(input, DecodeErrorKind::UnknownType);
        }
        checked::<Self>(sized, rest, more, Items { of, left: u64::from(count).wrapping_mul(2) })
    }

    #[inline(always)]
    fn length(input: &[u8]) -> Parsed<'_, u32> {
        size(input)
    }

    #[inline]
    fn i16(input: &[u8]) -> Parsed<'_, i16> {
        array(input).map(|(rest, bytes)| (rest, i16::from_be_bytes(bytes)))
    }

    #[inline]
    fn i32(input: &[u8]) -> Parsed<'_, i32> {
        array(input).map(|(rest, bytes)| (rest, i32::from_be_bytes(bytes)))
    }

    #[inline]
    fn i64(input: &[u8]) -> Parsed<'_, i64> {
        array(input).map(|(rest, bytes)| (rest, i64::from_be_bytes(bytes)))
    }

    fn double(bytes: [u8; 8]) -> f64 {
        f64::from_be_bytes(bytes)
    }

    fn flag(byte: u8) -> bool {
        byte != 0
    }

    #[inline(always)]
    fn width(of: Type) -> Option<u8> {
        Some(match of {
            Type::Bool | Type::I8 => 1,
            Type::I16 => 2,
            Type::I32 => 4,
            Type::I64 | Type::Double => 8,
            Type::Uuid => 16,
            Type::String | Type::Struct | Type::Map | Type::Set | Type::List => return None,
        })
    }
}

/// Compact.
#[derive(Debug)]
pub(super) struct CompactGrammar;

impl Grammar for CompactGrammar {
    #[inline(always)]
    fn field(input: &[u8], last: i16) -> Parsed<'_, Option<Field>> {
        let (rest, head) = byte(input)?;
        let (delta, code) = (head >> 4, head & 0x0f);
        if code == STOP {
            return Ok((rest, None));
        }
        let Some(of) = Type::compact(code) else { return Fault::at(input, DecodeErrorKind::UnknownType) };
        let flag = (of == Type::Bool).then_some(code == COMPACT_TRUE);
        if delta == 0 {
            return Self::i16(rest).map(|(rest, id)| (rest, Some(Field { id, of, flag })));
        }
        match last.checked_add(i16::from(delta)) {
            Some(id) => Ok((rest, Some(Field { id, of, flag }))),
            None => Fault::at(input, DecodeErrorKind::VarintOverflow),
        }
    }

    fn list(input: &[u8], more: usize) -> Parsed<'_, Items> {
        let (rest, head) = byte(input)?;
        let (rest, count) = if head >> 4 == LONG_LIST { varint(rest)? } else { (rest, u32::from(head >> 4)) };
        let of = Type::compact(head & 0x0f);
        if of.is_none() && count > 0 {
            return Fault::at(input, DecodeErrorKind::UnknownType);
        }
        checked::<Self>(input, rest, more, Items { of: of.zip(of), left: u64::from(count) })
    }

    fn map(input: &[u8], more: usize) -> Parsed<'_, Items> {
        let (rest, count) = varint(input)?;
        if count == 0 {
            return Ok((rest, Items { of: None, left: 0 }));
        }
        let (rest, head) = byte(rest)?;
        let of = Type::compact(head >> 4).zip(Type::compact(head & 0x0f));
        if of.is_none() {
            return Fault::at(input, DecodeErrorKind::UnknownType);
        }
        checked::<Self>(input, rest, more, Items { of, left: u64::from(count).wrapping_mul(2) })
    }

    #[inline(always)]
    fn length(input: &[u8]) -> Parsed<'_, u32> {
        varint(input)
    }

    #[inline]
    fn i16(input: &[u8]) -> Parsed<'_, i16> {
        let (rest, value) = varint(input)?;
        match i16::try_from(unzigzag(value)) {
            Ok(value) => Ok((rest, value)),
            Err(_) => Fault::at(input, DecodeErrorKind::VarintOverflow),
        }
    }

    #[inline]
    fn i32(input: &[u8]) -> Parsed<'_, i32> {
        varint(input).map(|(rest, value)| (rest, unzigzag(value)))
    }

    #[inline]
    fn i64(input: &[u8]) -> Parsed<'_, i64> {
        varint64(input).map(|(rest, value)| (rest, unzigzag64(value)))
    }

    fn double(bytes: [u8; 8]) -> f64 {
        f64::from_le_bytes(bytes)
    }

    fn flag(byte: u8) -> bool {
        byte == COMPACT_TRUE
    }

    #[inline(always)]
    fn width(of: Type) -> Option<u8> {
        match of {
            Type::Bool | Type::I8 => Some(1),
            Type::Double => Some(8),
            Type::Uuid => Some(16),
            _ => None,
        }
    }
}

impl Type {
    #[inline(always)]
    fn binary(code: u8) -> Option<Self> {
        BINARY.get(usize::from(code)).copied().flatten()
    }

    #[inline(always)]
    fn compact(code: u8) -> Option<Self> {
        COMPACT.get(usize::from(code)).copied().flatten()
    }
}

/// Lengths of binary fields by the code of their type, heads included; 0 for those that hold others.
static PLAIN: [u8; 17] = [0, 0, 4, 4, 11, 0, 5, 0, 7, 0, 11, 7, 0, 0, 0, 0, 19];
/// The type code of a string, whose bytes come behind the seven of [`PLAIN`].
const STRING: u8 = 11;

/// Types by their code in binary.
static BINARY: [Option<Type>; 17] = [
    None,
    None,
    Some(Type::Bool),
    Some(Type::I8),
    Some(Type::Double),
    None,
    Some(Type::I16),
    None,
    Some(Type::I32),
    None,
    Some(Type::I64),
    Some(Type::String),
    Some(Type::Struct),
    Some(Type::Map),
    Some(Type::Set),
    Some(Type::List),
    Some(Type::Uuid),
];

/// Types by their code in compact.
static COMPACT: [Option<Type>; 14] = [
    None,
    Some(Type::Bool),
    Some(Type::Bool),
    Some(Type::I8),
    Some(Type::I16),
    Some(Type::I32),
    Some(Type::I64),
    Some(Type::Double),
    Some(Type::String),
    Some(Type::List),
    Some(Type::Set),
    Some(Type::Map),
    Some(Type::Struct),
    Some(Type::Uuid),
];

/// Refuses a container whose items cannot fit into the bytes that follow, before any of them is looked at.
fn checked<'a, G: Grammar>(sized: &'a [u8], rest: &'a [u8], more: usize, items: Items) -> Parsed<'a, Items> {
    let Some((this, next)) = items.of else { return Ok((rest, items)) };
    let least = |of| u64::from(G::width(of).unwrap_or(1));
    let needed =
        least(this).saturating_mul(items.left.div_ceil(2)).saturating_add(least(next).saturating_mul(items.left / 2));
    if usize::try_from(needed).is_ok_and(|needed| needed <= rest.len().saturating_add(more)) {
        Ok((rest, items))
    } else {
        Fault::at(sized, DecodeErrorKind::LengthExceedsInput)
    }
}

/// The type code that ends a struct in both encodings.
const STOP: u8 = 0;
/// True, as a compact field type and as a compact element.
const COMPACT_TRUE: u8 = 1;
/// The short size that says that the size follows.
const LONG_LIST: u8 = 15;
