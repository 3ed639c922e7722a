//! What must hold for every body, and for every value that an encoder can write.

use aeraki_codec::{
    Limits,
    hessian2::{Reader, TypeTable, Value, write},
};
use arbitrary::Arbitrary;

/// Any bytes: the skip goes exactly as far as the naive decoder, and refuses what it refuses.
pub(crate) fn raw(data: &[u8]) {
    let naive = Naive::default().value(data, 0).map(|rest| data.len() - rest.len());
    let mut reader = Reader::new(data, &Limits::default());
    let skipped = reader.skip().map(|()| reader.offset());
    assert_eq!(skipped.ok(), naive, "{data:x?}: {skipped:?}");
    let mut reader = Reader::new(data, &Limits { definitions: 1 << 16, ..Limits::default() });
    if let (Ok(node), Some(end)) = (reader.value(&mut TypeTable::default()), naive) {
        assert_eq!((node.encoded, reader.offset()), (&data[..end], end));
    }
}

/// A value that the crate can write.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Tree {
    Null,
    Int(i32),
    Text(String),
    Map(Vec<(String, Self)>),
}

/// What was written is read back, value for value.
pub(crate) fn structured(values: &[Tree]) {
    let mut wire = Vec::new();
    values.iter().for_each(|value| value.write(&mut wire));
    let limits = Limits { definitions: 1 << 16, ..Limits::default() };
    let (mut skip, mut tree) = (Reader::new(&wire, &limits), Reader::new(&wire, &limits));
    for value in values.iter().take_while(|value| value.depth() <= limits.depth) {
        skip.skip().expect("well-formed");
        let node = tree.value(&mut TypeTable::default()).expect("well-formed");
        assert!(value.is(&node.value), "{value:?} {node:?}");
        assert_eq!(skip.offset(), tree.offset());
    }
}

impl Tree {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => write::null(out),
            Self::Int(value) => write::int(out, *value),
            Self::Text(value) => write::string(out, value),
            Self::Map(pairs) => {
                write::map(out);
                for (key, value) in pairs {
                    write::string(out, key);
                    value.write(out);
                }
                write::end(out);
            }
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::Map(pairs) => 1 + pairs.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn is(&self, read: &Value<'_>) -> bool {
        match (self, read) {
            (Self::Null, Value::Null) => true,
            (Self::Int(value), Value::Int(read)) => value == read,
            (Self::Text(value), Value::Text(read)) => read.to_str().is_some_and(|read| read == *value),
            (Self::Map(pairs), Value::Map(read)) => {
                pairs.len() == read.entries.len()
                    && pairs.iter().zip(&read.entries).all(|((key, value), (read_key, read_value))| {
                        Self::Text(key.clone()).is(&read_key.value) && value.is(&read_value.value)
                    })
            }
            _ => false,
        }
    }
}

/// The grammar once more, written as plainly as it can be: recursive, by the table.
#[derive(Default)]
struct Naive {
    refs: usize,
    types: usize,
    classes: Vec<usize>,
}

impl Naive {
    fn value<'a>(&mut self, input: &'a [u8], depth: usize) -> Option<&'a [u8]> {
        let (&lead, rest) = input.split_first()?;
        match lead {
            0x00..=0x1f | 0x30..=0x33 | b'R' | b'S' => string(input),
            0x20..=0x2f | 0x34..=0x37 | b'A' | b'B' => binary(input),
            0x80..=0xd7 | b'I' => int(input).map(|(_, rest)| rest),
            0xd8..=0xef | b'N' | b'T' | b'F' | 0x5b | 0x5c => Some(rest),
            0xf0..=0xff | 0x5d => rest.get(1..),
            0x38..=0x3f | 0x5e => rest.get(2..),
            b'Y' | 0x5f | 0x4b => rest.get(4..),
            b'L' | b'D' | 0x4a => rest.get(8..),
            b'Q' => {
                int(rest).filter(|(index, _)| usize::try_from(*index).is_ok_and(|it| it < self.refs)).map(|it| it.1)
            }
            b'C' => self.definition(rest).and_then(|rest| self.value(rest, depth)),
            b'O' | 0x60..=0x6f | b'H' | b'M' | b'U'..=b'X' | 0x70..=0x7f => self.container(lead, rest, depth + 1),
            _ => None,
        }
    }

    fn definition<'a>(&mut self, input: &'a [u8]) -> Option<&'a [u8]> {
        let (count, mut rest) = int(string(input)?)?;
        let count = usize::try_from(count).ok().filter(|count| *count <= 4096)?;
        for _ in 0..count {
            rest = string(rest)?;
        }
        self.classes.push(count);
        (self.classes.len() <= Limits::default().definitions).then_some(rest)
    }

    fn container<'a>(&mut self, lead: u8, mut rest: &'a [u8], depth: usize) -> Option<&'a [u8]> {
        if depth > Limits::default().depth {
            return None;
        }
        self.refs += 1;
        if matches!(lead, b'M' | b'U' | b'V' | 0x70..=0x77) {
            rest = self.type_name(rest)?;
        }
        let count = match lead {
            b'H' | b'M' => return self.until_end(rest, depth, 2),
            b'U' | b'W' => return self.until_end(rest, depth, 1),
            0x70..=0x7f => usize::from(lead & 7),
            0x60..=0x6f => *self.classes.get(usize::from(lead & 15))?,
            _ => {
                let (number, after) = int(rest)?;
                rest = after;
                let number = usize::try_from(number).ok()?;
                if lead == b'O' { *self.classes.get(number)? } else { number }
            }
        };
        (0..count).try_fold(rest, |rest, _| self.value(rest, depth))
    }

    fn until_end<'a>(&mut self, mut rest: &'a [u8], depth: usize, step: usize) -> Option<&'a [u8]> {
        while *rest.first()? != b'Z' {
            for _ in 0..step {
                rest = self.value(rest, depth)?;
            }
        }
        rest.get(1..)
    }

    fn type_name<'a>(&mut self, input: &'a [u8]) -> Option<&'a [u8]> {
        if let Some((index, rest)) = int(input) {
            return usize::try_from(index).ok().filter(|index| *index < self.types).map(|_| rest);
        }
        self.types += 1;
        string(input)
    }
}

fn int(input: &[u8]) -> Option<(i32, &[u8])> {
    Some(match *input {
        [lead @ 0x80..=0xbf, ref rest @ ..] => (i32::from(lead) - 0x90, rest),
        [lead @ 0xc0..=0xcf, b, ref rest @ ..] => (((i32::from(lead) - 0xc8) << 8) + i32::from(b), rest),
        [lead @ 0xd0..=0xd7, b, c, ref rest @ ..] => {
            (((i32::from(lead) - 0xd4) << 16) + (i32::from(b) << 8) + i32::from(c), rest)
        }
        [b'I', a, b, c, d, ref rest @ ..] => (i32::from_be_bytes([a, b, c, d]), rest),
        _ => return None,
    })
}

fn string(input: &[u8]) -> Option<&[u8]> {
    let (units, rest, last) = match *input {
        [lead @ 0x00..=0x1f, ref rest @ ..] => (usize::from(lead), rest, true),
        [lead @ 0x30..=0x33, b, ref rest @ ..] => (usize::from(lead - 0x30) * 256 + usize::from(b), rest, true),
        [b'S', a, b, ref rest @ ..] => (usize::from(a) * 256 + usize::from(b), rest, true),
        [b'R', a, b, ref rest @ ..] => (usize::from(a) * 256 + usize::from(b), rest, false),
        _ => return None,
    };
    let rest = (0..units).try_fold(rest, |rest, _| {
        let width = match *rest.first()? {
            0x00..=0x7f => 1,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => return None,
        };
        let follow = rest.get(1..width)?;
        if follow.iter().all(|octet| octet & 0xc0 == 0x80) { rest.get(width..) } else { None }
    })?;
    if last { Some(rest) } else { string(rest) }
}

fn binary(input: &[u8]) -> Option<&[u8]> {
    let (len, rest, last) = match *input {
        [lead @ 0x20..=0x2f, ref rest @ ..] => (usize::from(lead - 0x20), rest, true),
        [lead @ 0x34..=0x37, b, ref rest @ ..] => (usize::from(lead - 0x34) * 256 + usize::from(b), rest, true),
        [b'B', a, b, ref rest @ ..] => (usize::from(a) * 256 + usize::from(b), rest, true),
        [b'A', a, b, ref rest @ ..] => (usize::from(a) * 256 + usize::from(b), rest, false),
        _ => return None,
    };
    let rest = rest.get(len..)?;
    if last { Some(rest) } else { binary(rest) }
}
