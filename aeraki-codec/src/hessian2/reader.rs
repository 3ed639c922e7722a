//! The grammar: which byte starts what.

use smallvec::SmallVec;

#[cfg(feature = "dubbo")]
use super::text::is_ascii;
use super::{Binary, Class, Event, Text, Type, input::Input};
use crate::{DecodeError, DecodeErrorKind, Limits};

/// Reads the values of one body, in order, with the tables that they share.
///
/// ```
/// use aeraki_codec::{Limits, hessian2::Reader};
///
/// let body = [0x05, b'h', b'e', b'l', b'l', b'o', 0x79, 0x91, 0x91];
/// let mut reader = Reader::new(&body, &Limits::default());
/// let text = reader.text()?.and_then(|text| text.as_utf8());
/// assert_eq!(text, Some(&b"hello"[..]));
/// reader.skip()?; // the list of one
/// assert_eq!(reader.int()?, 1);
/// # Ok::<(), aeraki_codec::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    pub(super) input: Input<'a>,
    pub(super) depth: usize,
    pub(super) definitions: usize,
    four_byte_utf8: bool,
    bytes: &'a [u8],
    references: u32,
    types: u32,
    classes: SmallVec<[ClassEntry; 8]>,
}

#[derive(Clone, Copy, Debug)]
struct ClassEntry {
    offset: usize,
    fields: u32,
}

impl<'a> Reader<'a> {
    /// Makes a reader of the body `bytes`.
    pub fn new(bytes: &'a [u8], limits: &Limits) -> Self {
        Self::starting_at(bytes, 0, limits)
    }

    /// Makes a reader of the body that starts at `offset` in `bytes`; all offsets that it returns
    /// count from the start of `bytes`.
    #[inline]
    pub fn starting_at(bytes: &'a [u8], offset: usize, limits: &Limits) -> Self {
        Self::accepting(bytes, offset, limits, false)
    }

    /// Both [`starting_at`](Self::starting_at) and [`accept_four_byte_utf8`](Self::accept_four_byte_utf8): a reader is
    /// too large to be moved for every message.
    #[inline]
    pub(crate) fn accepting(bytes: &'a [u8], offset: usize, limits: &Limits, four_byte_utf8: bool) -> Self {
        Self {
            input: Input::at(bytes, offset),
            depth: limits.depth,
            definitions: limits.definitions,
            four_byte_utf8,
            bytes,
            references: 0,
            types: 0,
            classes: SmallVec::new(),
        }
    }

    /// Accepts characters above U+FFFF as four octets of UTF-8 that count as two units, or, which is the default,
    /// refuses them as Java does.
    #[must_use]
    pub const fn accept_four_byte_utf8(mut self, accept: bool) -> Self {
        self.four_byte_utf8 = accept;
        self
    }

    /// Returns the offset of the next byte to read.
    #[inline]
    pub fn offset(&self) -> usize {
        self.input.offset()
    }

    /// Returns the bytes not read yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.input.rest()
    }

    /// Returns how many lists, maps and objects have been opened so far: the index that the next
    /// one takes.
    pub fn references(&self) -> u32 {
        self.references
    }

    /// Returns how many classes have been defined so far.
    pub fn defined(&self) -> usize {
        self.classes.len()
    }

    /// Reads a string, or `None` for null, which peers write where they have no string.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::TypeMismatch`] for any other value, and the errors of malformed strings.
    #[inline(always)]
    pub fn text(&mut self) -> Result<Option<Text<'a>>, DecodeError> {
        if let Some(text) = Text::read_plain(&mut self.input) {
            return Ok(Some(text));
        }
        self.any_text()
    }

    /// Reads `N` strings if all of them are what most strings are, short ASCII in one piece; else nothing is read.
    #[inline(always)]
    pub fn plain_texts<const N: usize>(&mut self) -> Option<[Text<'a>; N]> {
        Text::read_all_plain(&mut self.input)
    }

    /// Reads a string as [`plain_texts`](Self::plain_texts) does.
    #[cfg(feature = "dubbo")]
    #[inline(always)]
    pub(crate) fn plain_text(&mut self) -> Option<Text<'a>> {
        Text::read_plain(&mut self.input)
    }

    /// Reads two strings as [`plain_texts`](Self::plain_texts) does.
    #[cfg(feature = "dubbo")]
    #[inline(always)]
    pub(crate) fn plain_pair(&mut self) -> Option<(Text<'a>, Text<'a>)> {
        let mut input = self.input;
        let pair = (Text::read_plain(&mut input)?, Text::read_plain(&mut input)?);
        self.input = input;
        Some(pair)
    }

    /// Does the same where [`rest_is_ascii`](Self::rest_is_ascii) was true, so that nobody need look again.
    #[cfg(feature = "dubbo")]
    #[inline(always)]
    pub(crate) fn ascii_pair(&mut self) -> Option<(Text<'a>, Text<'a>)> {
        let mut input = self.input;
        let pair = (Text::read_ascii(&mut input)?, Text::read_ascii(&mut input)?);
        self.input = input;
        Some(pair)
    }

    /// Tells whether all bytes not read yet are ASCII.
    #[cfg(feature = "dubbo")]
    #[inline]
    pub(crate) fn rest_is_ascii(&self) -> bool {
        is_ascii(self.input.rest())
    }

    #[inline(never)]
    fn any_text(&mut self) -> Result<Option<Text<'a>>, DecodeError> {
        if self.input.peek() == Some(b'N') {
            self.input.u8()?;
            return Ok(None);
        }
        Text::read(&mut self.input, self.four_byte_utf8).map(Some)
    }

    /// Reads a 32-bit integer.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::TypeMismatch`] for any other value, longs included.
    #[inline]
    pub fn int(&mut self) -> Result<i32, DecodeError> {
        let start = self.input;
        let lead = self.input.u8()?;
        read_int(&mut self.input, lead)?.ok_or_else(|| start.error(DecodeErrorKind::TypeMismatch))
    }

    /// Reports whether the next value is an integer, without reading it.
    pub fn at_int(&self) -> bool {
        matches!(self.input.peek(), Some(0x80..=0xbf | 0xc0..=0xcf | 0xd0..=0xd7 | b'I'))
    }

    /// Returns the class with this index, if it has been defined in what was read so far.
    pub fn class(&self, index: u32) -> Option<Class<'a>> {
        let entry = self.classes.get(usize::try_from(index).ok()?)?;
        Some(Class::new(self.bytes.get(entry.offset..)?, self.four_byte_utf8))
    }

    /// Reads a scalar, or the opening of a container. Class definitions on the way are noted.
    ///
    /// # Errors
    ///
    /// Any [`DecodeErrorKind`] but [`DecodeErrorKind::DepthExceeded`]: nesting is the caller's.
    #[inline(always)]
    pub fn event(&mut self) -> Result<Event<'a>, DecodeError> {
        match Text::read_plain(&mut self.input) {
            Some(text) => Ok(Event::Text(text)),
            None => self.any_event(),
        }
    }

    #[inline(never)]
    fn any_event(&mut self) -> Result<Event<'a>, DecodeError> {
        loop {
            let start = self.input;
            let lead = self.input.u8()?;
            return Ok(match lead {
                0x00..=0x1f | 0x30..=0x33 | b'R' | b'S' => {
                    self.input = start;
                    Event::Text(Text::read(&mut self.input, self.four_byte_utf8)?)
                }
                0x20..=0x2f | 0x34..=0x37 | b'A' | b'B' => {
                    self.input = start;
                    Event::Binary(Binary::read(&mut self.input)?)
                }
                b'C' => {
                    self.definition()?;
                    continue;
                }
                b'H' | b'M' | b'O' | b'U' | b'V' | b'W' | b'X' | 0x60..=0x7f => self.open(start, lead)?,
                b'Q' => self.reference(start)?,
                _ => self.scalar(start, lead)?,
            });
        }
    }

    /// Reads the opening of a map without a type, if it is next.
    #[inline]
    pub(super) fn untyped_map(&mut self) -> bool {
        match *self.input.rest() {
            [b'H', ref rest @ ..] => {
                self.input.advance_to(rest);
                self.references = self.references.saturating_add(1);
                true
            }
            _ => false,
        }
    }

    /// Reads the `5a` that ends the container at hand, if it is next.
    #[inline]
    pub fn terminator(&mut self) -> bool {
        let found = self.input.peek() == Some(TERMINATOR);
        if let (true, Some(rest)) = (found, self.input.rest().get(1..)) {
            self.input.advance_to(rest);
        }
        found
    }

    #[inline]
    fn scalar(&mut self, start: Input<'a>, lead: u8) -> Result<Event<'a>, DecodeError> {
        if let Some(int) = read_int(&mut self.input, lead)? {
            return Ok(Event::Int(int));
        }
        let input = &mut self.input;
        Ok(match lead {
            b'N' => Event::Null,
            b'T' => Event::Bool(true),
            b'F' => Event::Bool(false),
            0xd8..=0xef => Event::Long(i64::from(lead).wrapping_sub(0xe0)),
            0xf0..=0xff => Event::Long(i64::from(i16::from_be_bytes([lead.wrapping_sub(0xf8), input.u8()?]))),
            0x38..=0x3f => Event::Long(i64::from(three_octets(lead.wrapping_sub(0x3c), input)?)),
            b'Y' => Event::Long(i64::from(i32::from_be_bytes(input.array()?))),
            b'L' => Event::Long(i64::from_be_bytes(input.array()?)),
            b'D' => Event::Double(f64::from_be_bytes(input.array()?)),
            0x5b => Event::Double(0.0),
            0x5c => Event::Double(1.0),
            0x5d => Event::Double(f64::from(i8::from_be_bytes(input.array()?))),
            0x5e => Event::Double(f64::from(i16::from_be_bytes(input.array()?))),
            // The published grammar says 32-bit float; every implementation says thousandths.
            0x5f => Event::Double(f64::from(i32::from_be_bytes(input.array()?)) * 0.001),
            0x4a => Event::Date(i64::from_be_bytes(input.array()?)),
            0x4b => {
                let minutes = i64::from(i32::from_be_bytes(input.array()?));
                Event::Date(minutes.wrapping_mul(60_000))
            }
            TERMINATOR => return Err(start.error(DecodeErrorKind::UnexpectedTerminator)),
            _ => return Err(start.error(DecodeErrorKind::ReservedTag)),
        })
    }

    /// `C`: a class takes the next index and yields no value of its own.
    fn definition(&mut self) -> Result<(), DecodeError> {
        let start = self.input;
        if self.classes.len() >= self.definitions {
            return Err(start.error(DecodeErrorKind::TooManyDefinitions));
        }
        self.name()?;
        let fields = self.count()?;
        if usize::try_from(fields).is_ok_and(|fields| fields > MAX_FIELDS) {
            return Err(start.error(DecodeErrorKind::TooManyDefinitions));
        }
        for _ in 0..fields {
            self.name()?;
        }
        self.classes.push(ClassEntry { offset: start.offset(), fields });
        Ok(())
    }

    fn open(&mut self, start: Input<'a>, lead: u8) -> Result<Event<'a>, DecodeError> {
        self.references = self.references.saturating_add(1);
        Ok(match lead {
            b'H' => Event::Map { ty: None },
            b'M' => Event::Map { ty: Some(self.type_name()?) },
            b'U' => Event::List { ty: Some(self.type_name()?), len: None },
            b'V' => {
                let ty = Some(self.type_name()?);
                Event::List { ty, len: Some(self.count()?) }
            }
            b'W' => Event::List { ty: None, len: None },
            b'X' => Event::List { ty: None, len: Some(self.count()?) },
            0x70..=0x77 => Event::List { ty: Some(self.type_name()?), len: Some(u32::from(lead & 0x07)) },
            0x78..=0x7f => Event::List { ty: None, len: Some(u32::from(lead & 0x07)) },
            b'O' => {
                let index = self.int()?;
                self.object(start, u32::try_from(index).ok())?
            }
            _ => self.object(start, Some(u32::from(lead & 0x0f)))?,
        })
    }

    fn object(&self, start: Input<'a>, index: Option<u32>) -> Result<Event<'a>, DecodeError> {
        let entry = index.and_then(|index| {
            let entry = self.classes.get(usize::try_from(index).ok()?)?;
            Some(Event::Object { class: index, fields: entry.fields })
        });
        entry.ok_or_else(|| start.error(DecodeErrorKind::BadClassRef))
    }

    fn reference(&mut self, start: Input<'a>) -> Result<Event<'a>, DecodeError> {
        match u32::try_from(self.int()?) {
            Ok(index) if index < self.references => Ok(Event::Ref(index)),
            _ => Err(start.error(DecodeErrorKind::BadRef)),
        }
    }

    fn type_name(&mut self) -> Result<Type<'a>, DecodeError> {
        let start = self.input;
        if !self.at_int() {
            let name = self.name()?;
            self.types = self.types.saturating_add(1);
            return Ok(Type::Name(name));
        }
        match u32::try_from(self.int()?) {
            Ok(index) if index < self.types => Ok(Type::Index(index)),
            _ => Err(start.error(DecodeErrorKind::BadTypeRef)),
        }
    }

    fn name(&mut self) -> Result<Text<'a>, DecodeError> {
        Text::read(&mut self.input, self.four_byte_utf8)
    }

    /// A number of things to follow; each takes a byte at least, so no more can be true.
    fn count(&mut self) -> Result<u32, DecodeError> {
        let start = self.input;
        let count = self.int()?;
        let count = u32::try_from(count).map_err(|_| start.error(DecodeErrorKind::NegativeLength))?;
        match usize::try_from(count) {
            Ok(len) if len <= self.input.rest().len() => Ok(count),
            _ => Err(start.error(DecodeErrorKind::LengthExceedsInput)),
        }
    }
}

/// An integer whose leading byte has been read, `None` if that starts no integer.
#[inline]
fn read_int(input: &mut Input<'_>, lead: u8) -> Result<Option<i32>, DecodeError> {
    Ok(Some(match lead {
        0x80..=0xbf => i32::from(lead).wrapping_sub(0x90),
        0xc0..=0xcf => i32::from(i16::from_be_bytes([lead.wrapping_sub(0xc8), input.u8()?])),
        0xd0..=0xd7 => three_octets(lead.wrapping_sub(0xd4), input)?,
        b'I' => i32::from_be_bytes(input.array()?),
        _ => return Ok(None),
    }))
}

/// A signed octet and the two that follow it.
#[inline]
fn three_octets(high: u8, input: &mut Input<'_>) -> Result<i32, DecodeError> {
    let [middle, low] = input.array()?;
    let sign = if high < 0x80 { 0x00 } else { 0xff };
    Ok(i32::from_be_bytes([sign, high, middle, low]))
}

const TERMINATOR: u8 = 0x5a;

/// Fields of one class definition.
const MAX_FIELDS: usize = 4096;
