//! Writing in canonical form: the smallest one, as Java's encoder does.

use crate::Output;

/// Takes bytes, in order.
pub trait Sink {
    /// Adds `bytes`.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Sink for Output {
    fn put(&mut self, bytes: &[u8]) {
        Self::put(self, bytes);
    }
}

/// Writes null.
pub fn null(out: &mut impl Sink) {
    out.put(b"N");
}

/// Writes an integer in its smallest form.
pub fn int(out: &mut impl Sink, value: i32) {
    let [a, b, c, d] = value.to_be_bytes();
    match value {
        -0x10..=0x2f => out.put(&[d.wrapping_add(0x90)]),
        -0x800..=0x7ff => out.put(&[c.wrapping_add(0xc8), d]),
        -0x4_0000..=0x3_ffff => out.put(&[b.wrapping_add(0xd4), c, d]),
        _ => out.put(&[b'I', a, b, c, d]),
    }
}

/// Writes a string: lengths in UTF-16 units, characters above U+FFFF as two surrogates of three
/// octets each, chunks of at most 32 768 units that never divide a pair.
pub fn string(out: &mut impl Sink, text: &str) {
    let mut rest = text;
    loop {
        let (chunk, units, tail) = split_chunk(rest);
        if tail.is_empty() {
            final_head(out, units);
            characters(out, chunk);
            return;
        }
        let [high, low] = units.to_be_bytes();
        out.put(&[b'R', high, low]);
        characters(out, chunk);
        rest = tail;
    }
}

/// Opens an untyped map; write keys and values in turn, then [`end`].
pub fn map(out: &mut impl Sink) {
    out.put(b"H");
}

/// Ends a map.
pub fn end(out: &mut impl Sink) {
    out.put(b"Z");
}

/// The longest head of `text` that fits a chunk, its units, and what is left.
fn split_chunk(text: &str) -> (&str, u16, &str) {
    let mut units = 0u16;
    for (at, character) in text.char_indices() {
        let width = if character > '\u{ffff}' { 2 } else { 1 };
        match units.checked_add(width) {
            Some(sum) if sum <= CHUNK_UNITS => units = sum,
            _ => {
                let (chunk, rest) = text.split_at(at);
                return (chunk, units, rest);
            }
        }
    }
    (text, units, "")
}

fn final_head(out: &mut impl Sink, units: u16) {
    let [high, low] = units.to_be_bytes();
    match units {
        0..=31 => out.put(&[low]),
        32..=1023 => out.put(&[high | 0x30, low]),
        _ => out.put(&[b'S', high, low]),
    }
}

fn characters(out: &mut impl Sink, text: &str) {
    if text.is_ascii() {
        return out.put(text.as_bytes());
    }
    for character in text.chars() {
        if character > '\u{ffff}' {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let [high, low] = unit.to_be_bytes();
                let middle = (high & 0x0f) << 2 | low >> 6;
                out.put(&[0xe0 | high >> 4, 0x80 | middle, 0x80 | low & 0x3f]);
            }
        } else {
            out.put(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

const CHUNK_UNITS: u16 = 0x8000;
