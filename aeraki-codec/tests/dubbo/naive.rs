//! The grammar of Hessian2 once more, written as plainly as it can be: recursive, allocating, by the table.
//!
//! Random values are written by a random encoder; the skip of the crate must go exactly as far as this decoder, and
//! refuse what it refuses.

use aeraki_codec::{Limits, hessian2::Reader};
use proptest::prelude::*;

/// Reads one value and returns what follows; `None` if there is none.
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

/// One value of any kind, written in any form, with references that may or may not be good.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let small = any::<u8>().prop_map(|it| 0x80 | it & 0x07);
    let leaf = prop_oneof![
        any::<[u8; 4]>().prop_map(|it| [&b"I"[..], &it].concat()),
        any::<[u8; 8]>().prop_map(|it| [&b"L"[..], &it].concat()),
        any::<[u8; 8]>().prop_map(|it| [&b"D"[..], &it].concat()),
        any::<[u8; 4]>().prop_map(|it| [&[0x5f], &it[..]].concat()),
        any::<[u8; 2]>().prop_map(|it| [0xd4, it[0], it[1]].to_vec()),
        (0xc0..=0xffu8, any::<[u8; 2]>()).prop_map(|(lead, it)| [lead, it[0], it[1]].to_vec()),
        prop_oneof![Just(b'N'), Just(b'T'), Just(b'F'), 0x80..=0xbfu8].prop_map(|it| vec![it]),
        text(),
        text().prop_map(|it| [&b"R\x00\x01a"[..], &it].concat()),
        prop::collection::vec(any::<u8>(), 0..16).prop_map(|it| {
            let len = u8::try_from(it.len()).expect("short");
            [&[0x20 | len][..], &it].concat()
        }),
        small.clone().prop_map(|it| vec![b'Q', it + 0x10]),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let many = prop::collection::vec(inner, 0..6);
        let ty = prop_oneof![text(), small.clone().prop_map(|it| vec![it + 0x10])];
        prop_oneof![
            many.clone().prop_map(|it| [&[0x78 | count(&it)][..], &it.concat()].concat()),
            (ty.clone(), many.clone()).prop_map(|(ty, it)| [&[0x70 | count(&it)][..], &ty, &it.concat()].concat()),
            many.clone().prop_map(|it| [&b"W"[..], &it.concat(), b"Z"].concat()),
            (ty.clone(), many.clone()).prop_map(|(ty, it)| [&b"U"[..], &ty, &it.concat(), b"Z"].concat()),
            (ty.clone(), many.clone())
                .prop_map(|(ty, it)| [&b"V"[..], &ty, &[0x90 + count(&it)], &it.concat()].concat()),
            many.clone().prop_map(|it| [&b"H"[..], &it.concat(), b"Z"].concat()),
            (ty, many.clone()).prop_map(|(ty, it)| [&b"M"[..], &ty, &it.concat(), b"Z"].concat()),
            (many.clone(), 0..3u8).prop_map(|(it, class)| {
                let fields = b"\x01f".repeat(it.len());
                [&b"C\x01A"[..], &[0x90 + count(&it)], &fields, &[0x60 | class], &it.concat()].concat()
            }),
            (small.clone(), many).prop_map(|(class, it)| [&[b'O', class + 0x10][..], &it.concat()].concat()),
        ]
    })
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::string::string_regex("[a-z0-9éß你\u{1f600}]{0,20}").expect("a pattern").prop_map(|text| {
        let mut wire = Vec::new();
        aeraki_codec::hessian2::write::string(&mut wire, &text);
        wire
    })
}

fn count(values: &[Vec<u8>]) -> u8 {
    u8::try_from(values.len()).expect("few")
}

fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let naive = Naive::default().value(bytes, 0).map(|rest| bytes.len() - rest.len());
    let mut reader = Reader::new(bytes, &Limits::default());
    let skipped = reader.skip().map(|()| reader.offset());
    // A count of more items than there are bytes fails the naive decoder only later.
    prop_assert_eq!(skipped.ok(), naive, "{:x?}: {:?}", bytes, skipped);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn skip_and_naive_decoder_agree_on_values(bytes in value()) {
        agree(&bytes)?;
    }

    #[test]
    fn skip_and_naive_decoder_agree_on_damaged_values(
        mut bytes in value(), at in any::<prop::sample::Index>(), octet in any::<u8>(), cut in any::<bool>()
    ) {
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = octet }
        agree(&bytes)?;
    }

    #[test]
    fn skip_and_naive_decoder_agree_on_noise(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        agree(&bytes)?;
    }

    #[test]
    fn tree_and_skip_take_the_same_way(bytes in value()) {
        let (mut tree, mut skip) = (Reader::new(&bytes, &Limits::default()), Reader::new(&bytes, &Limits::default()));
        let value = tree.value(&mut Default::default()).map(|_| tree.offset());
        let skipped = skip.skip().map(|()| skip.offset());
        prop_assert_eq!(value, skipped);
    }
}
