//! The walker against a naive decoder: recursive, allocating, and written from the format alone.

use aeraki_codec::{
    Measure, Role,
    thrift::{self, Encoding, Transport, Value},
};
use proptest::{collection::vec, prelude::*};

use super::wire::{CALL, codec, frame, message, varint};

/// A value to write.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Bool(bool),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    Double(u64),
    String(Vec<u8>),
    Uuid([u8; 16]),
    Struct(Vec<(i16, Self)>),
    List(bool, Vec<Self>),
    Map(Vec<(Self, Self)>),
}

fn scalar() -> impl Strategy<Value = Tree> {
    prop_oneof![
        any::<bool>().prop_map(Tree::Bool),
        any::<i8>().prop_map(Tree::I8),
        any::<i16>().prop_map(Tree::I16),
        any::<i32>().prop_map(Tree::I32),
        any::<i64>().prop_map(Tree::I64),
        any::<u64>().prop_map(Tree::Double),
        vec(any::<u8>(), 0..40).prop_map(Tree::String),
        any::<[u8; 16]>().prop_map(Tree::Uuid),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    scalar().prop_recursive(5, 64, 8, |inner| {
        // Elements are of one type: copies of one value.
        prop_oneof![
            vec((any::<i16>(), inner.clone()), 0..8).prop_map(Tree::Struct),
            (any::<bool>(), inner.clone(), 0..20_usize).prop_map(|(set, item, n)| Tree::List(set, vec![item; n])),
            (inner.clone(), inner, 0..5_usize).prop_map(|(key, value, n)| Tree::Map(vec![(key, value); n])),
        ]
    })
}

fn fields() -> impl Strategy<Value = Vec<(i16, Tree)>> {
    vec((any::<i16>(), tree()), 0..6)
}

impl Tree {
    fn code(&self, compact: bool) -> u8 {
        let (binary, short) = match self {
            Self::Bool(_) => (2, 1),
            Self::I8(_) => (3, 3),
            Self::I16(_) => (6, 4),
            Self::I32(_) => (8, 5),
            Self::I64(_) => (10, 6),
            Self::Double(_) => (4, 7),
            Self::String(_) => (11, 8),
            Self::Uuid(_) => (16, 13),
            Self::Struct(_) => (12, 12),
            Self::List(false, _) => (15, 9),
            Self::List(true, _) => (14, 10),
            Self::Map(_) => (13, 11),
        };
        if compact { short } else { binary }
    }

    fn write(&self, compact: bool, out: &mut Vec<u8>) {
        match self {
            Self::Bool(flag) => out.push(if compact { 2 - u8::from(*flag) } else { u8::from(*flag) }),
            Self::I8(number) => out.push(*number as u8),
            Self::I16(number) if !compact => out.extend(number.to_be_bytes()),
            Self::I32(number) if !compact => out.extend(number.to_be_bytes()),
            Self::I64(number) if !compact => out.extend(number.to_be_bytes()),
            Self::I16(number) => zigzag(i64::from(*number), out),
            Self::I32(number) => zigzag(i64::from(*number), out),
            Self::I64(number) => zigzag(*number, out),
            Self::Double(bits) => out.extend(if compact { bits.to_le_bytes() } else { bits.to_be_bytes() }),
            Self::String(bytes) => {
                size(bytes.len(), compact, out);
                out.extend(bytes);
            }
            Self::Uuid(bytes) => out.extend(bytes),
            Self::Struct(fields) => write_struct(fields, compact, out),
            Self::List(_, items) => write_list(items, compact, out),
            Self::Map(pairs) => write_map(pairs, compact, out),
        }
    }
}

fn write_struct(fields: &[(i16, Tree)], compact: bool, out: &mut Vec<u8>) {
    let mut last = 0_i16;
    for (id, value) in fields {
        let mut code = value.code(compact);
        if !compact {
            out.push(code);
            out.extend(id.to_be_bytes());
            value.write(compact, out);
            continue;
        }
        if let Tree::Bool(flag) = value {
            code = 2 - u8::from(*flag);
        }
        match id.checked_sub(last) {
            Some(delta @ 1..=15) => out.push((delta as u8) << 4 | code),
            _ => {
                out.push(code);
                zigzag(i64::from(*id), out);
            }
        }
        if !matches!(value, Tree::Bool(_)) {
            value.write(compact, out);
        }
        last = *id;
    }
    out.push(0);
}

fn write_list(items: &[Tree], compact: bool, out: &mut Vec<u8>) {
    let code = items.first().map_or(3, |item| item.code(compact));
    if !compact {
        out.push(code);
        size(items.len(), compact, out);
    } else if items.len() < 15 {
        out.push((items.len() as u8) << 4 | code);
    } else {
        out.push(0xf0 | code);
        size(items.len(), compact, out);
    }
    items.iter().for_each(|item| item.write(compact, out));
}

fn write_map(pairs: &[(Tree, Tree)], compact: bool, out: &mut Vec<u8>) {
    let (key, value) = pairs.first().map_or((3, 3), |(key, value)| (key.code(compact), value.code(compact)));
    if compact {
        size(pairs.len(), compact, out);
        if !pairs.is_empty() {
            out.push(key << 4 | value);
        }
    } else {
        out.extend([key, value]);
        size(pairs.len(), compact, out);
    }
    for (key, value) in pairs {
        key.write(compact, out);
        value.write(compact, out);
    }
}

fn size(size: usize, compact: bool, out: &mut Vec<u8>) {
    if compact { varint(size as u32, out) } else { out.extend((size as u32).to_be_bytes()) }
}

fn zigzag(number: i64, out: &mut Vec<u8>) {
    let mut bits = (number << 1 ^ number >> 63) as u64;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

/// Reads back, through the typed views.
fn read(value: &Value<'_>) -> Tree {
    match value {
        Value::Bool(flag) => Tree::Bool(*flag),
        Value::I8(number) => Tree::I8(*number),
        Value::I16(number) => Tree::I16(*number),
        Value::I32(number) => Tree::I32(*number),
        Value::I64(number) => Tree::I64(*number),
        Value::Double(number) => Tree::Double(number.to_bits()),
        Value::String(bytes) => Tree::String(bytes.to_vec()),
        Value::Uuid(bytes) => Tree::Uuid(*bytes),
        Value::Struct(fields) => Tree::Struct(read_fields(fields)),
        Value::List(items) => Tree::List(false, items.iter().map(|item| read(&item.expect("an item"))).collect()),
        Value::Set(items) => Tree::List(true, items.iter().map(|item| read(&item.expect("an item"))).collect()),
        Value::Map(pairs) => {
            let pairs = pairs.iter().map(|pair| pair.expect("a pair"));
            Tree::Map(pairs.map(|(key, value)| (read(&key), read(&value))).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn read_fields(body: &thrift::Struct<'_>) -> Vec<(i16, Tree)> {
    body.fields().map(|field| field.expect("a field")).map(|(id, value)| (id, read(&value))).collect()
}

/// Finds the end of a struct, as simply as can be; `None` for anything that the format does not allow.
mod naive {
    pub(super) fn end_of_struct(bytes: &[u8], compact: bool, depth: usize) -> Option<usize> {
        let (mut at, mut last) = (0, 0_i16);
        loop {
            let head = *bytes.get(at)?;
            at += 1;
            let code = if compact { head & 15 } else { head };
            if code == 0 {
                return Some(at);
            }
            let code = if compact { of_compact(code)? } else { code };
            if compact && head >> 4 != 0 {
                last = last.checked_add(i16::from(head >> 4))?;
            } else if compact {
                let (id, length) = number(&bytes[at..], 5, u64::from(u32::MAX))?;
                last = i16::try_from((id >> 1) as i64 ^ -((id & 1) as i64)).ok()?;
                at += length;
            } else {
                at += 2;
                bytes.get(..at)?;
            }
            if !(compact && code == 2) {
                at += end_of_value(&bytes[at..], code, compact, depth)?;
            }
        }
    }

    fn end_of_value(bytes: &[u8], code: u8, compact: bool, depth: usize) -> Option<usize> {
        let fixed = |length: usize| (bytes.len() >= length).then_some(length);
        match code {
            2 | 3 => fixed(1),
            4 => fixed(8),
            16 => fixed(16),
            6 if compact => {
                let (number, length) = number(bytes, 5, u64::from(u32::MAX))?;
                (number <= u64::from(u16::MAX)).then_some(length)
            }
            8 if compact => number(bytes, 5, u64::from(u32::MAX)).map(|(_, length)| length),
            10 if compact => number(bytes, 10, u64::MAX).map(|(_, length)| length),
            6 => fixed(2),
            8 => fixed(4),
            10 => fixed(8),
            11 => {
                let (length, at) = size(bytes, compact)?;
                fixed(at.checked_add(length)?)
            }
            12..=15 if depth == 0 => None,
            12 => end_of_struct(bytes, compact, depth - 1),
            13 => end_of_map(bytes, compact, depth - 1),
            14 | 15 => end_of_list(bytes, compact, depth - 1),
            _ => None,
        }
    }

    fn end_of_list(bytes: &[u8], compact: bool, depth: usize) -> Option<usize> {
        let head = *bytes.first()?;
        let (count, length, code) = if !compact {
            let (count, length) = size(&bytes[1..], compact)?;
            (count, length, Some(head))
        } else if head >> 4 == 15 {
            let (count, length) = size(&bytes[1..], compact)?;
            (count, length, of_compact(head & 15))
        } else {
            (usize::from(head >> 4), 0, of_compact(head & 15))
        };
        let mut at = 1 + length;
        for _ in 0..count {
            at += end_of_value(bytes.get(at..)?, code?, compact, depth)?;
        }
        Some(at)
    }

    fn end_of_map(bytes: &[u8], compact: bool, depth: usize) -> Option<usize> {
        let (key, value, count, mut at) = if compact {
            let (count, at) = size(bytes, compact)?;
            if count == 0 {
                return Some(at);
            }
            let types = *bytes.get(at)?;
            (of_compact(types >> 4)?, of_compact(types & 15)?, count, at + 1)
        } else {
            let (key, value) = (*bytes.first()?, *bytes.get(1)?);
            let (count, at) = size(&bytes[2..], compact)?;
            (key, value, count, at + 2)
        };
        for _ in 0..count {
            at += end_of_value(bytes.get(at..)?, key, compact, depth)?;
            at += end_of_value(bytes.get(at..)?, value, compact, depth)?;
        }
        Some(at)
    }

    fn size(bytes: &[u8], compact: bool) -> Option<(usize, usize)> {
        if compact {
            return number(bytes, 5, u64::from(u32::MAX)).map(|(size, length)| (size as usize, length));
        }
        let size = i32::from_be_bytes(*bytes.first_chunk()?);
        Some((usize::try_from(size).ok()?, 4))
    }

    fn number(bytes: &[u8], longest: usize, most: u64) -> Option<(u64, usize)> {
        let mut number = 0_u128;
        for (index, byte) in bytes.iter().take(longest).enumerate() {
            number |= u128::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return u64::try_from(number).ok().filter(|number| *number <= most).map(|n| (n, index + 1));
            }
        }
        None
    }

    fn of_compact(code: u8) -> Option<u8> {
        Some([2, 2, 3, 6, 8, 10, 4, 11, 15, 14, 13, 12, 16][usize::from(code.checked_sub(1).filter(|n| *n < 13)?)])
    }
}

const ENCODINGS: [Encoding; 2] = [Encoding::Binary, Encoding::Compact];

proptest! {
    #[test]
    fn whatever_is_written_is_walked_and_read_back(fields in fields(), splits in vec(any::<prop::sample::Index>(), 0..6)) {
        for encoding in ENCODINGS {
            let mut body = Vec::new();
            write_struct(&fields, encoding == Encoding::Compact, &mut body);
            let bytes = message(encoding, CALL, b"m", 7, &body);
            let mut codec = codec((Transport::Unframed, encoding), Role::Server);
            let mut ends: Vec<_> = splits.iter().map(|split| split.index(bytes.len())).collect();
            ends.sort_unstable();
            for end in ends {
                let partial = matches!(codec.measure(&bytes[..end]), Ok(Measure::Partial { at_least }) if at_least <= bytes.len());
                prop_assert!(partial, "{:?}: {} of {} bytes", encoding, end, bytes.len());
            }
            let followed = [&bytes[..], b"next"].concat();
            let measured = codec.measure(&followed);
            let whole = matches!(measured, Ok(Measure::Frame { len, .. }) if len == bytes.len() as u64);
            prop_assert!(whole, "{:?}: {:?}", encoding, measured);
            let view = thrift::message_as(&bytes, Transport::Unframed, encoding).expect("a good message");
            prop_assert_eq!(view.check(), Ok(()));
            prop_assert_eq!(read_fields(&view.body()), fields.clone());
        }
    }

    #[test]
    fn walker_and_naive_decoder_agree_on_random_bytes(body in vec(any::<u8>(), 0..60)) {
        agree(&body)?;
    }

    #[test]
    fn walker_and_naive_decoder_agree_on_damaged_messages(
        fields in fields(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for compact in [false, true] {
            let mut body = Vec::new();
            write_struct(&fields, compact, &mut body);
            for (at, byte) in &damage {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            agree(&body)?;
        }
    }
}

/// Holds the walker to what the naive decoder finds.
fn agree(body: &[u8]) -> Result<(), TestCaseError> {
    for encoding in ENCODINGS {
        let naive = naive::end_of_struct(body, encoding == Encoding::Compact, 63);
        let bytes = frame((Transport::Framed, encoding), CALL, b"m", 7, body);
        let view = thrift::message_as(&bytes, Transport::Framed, encoding).expect("a good head");
        let checked = view.check();
        prop_assert_eq!(checked.is_ok(), naive == Some(body.len()), "{:?}: {:?}, {:?}", encoding, checked, naive);
        let mut codec = codec((Transport::Unframed, encoding), Role::Server);
        let measured = codec.measure(&bytes[4..]);
        let found = match measured {
            Ok(Measure::Frame { len, .. }) => Some(len as usize + body.len() + 4 - bytes.len()),
            _ => None,
        };
        prop_assert_eq!(found, naive, "{:?}: {:?}", encoding, measured);
    }
    Ok(())
}
