//! From the body to attributes: who is called, as the provider will read it, and everything else that is demanded.

use std::{io::Write, ops::Range};

use smallvec::SmallVec;

use super::{
    codec::Options,
    identity::{GENERIC_METHOD, GROUP, INTERFACE, Identity, METHOD, NAMES, PATH, VERSION},
    wire::{CallHead, Header, Tail, in_body, open_attachments, read_type},
};
use crate::{
    Affinity, DecodeError, DecodeErrorKind, Demand, Head, Limits, Text,
    hessian2::{self, Event, Reader, Type},
    message::Wanted,
};

/// What a parse has learned that `encode` and `reply` want to know.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notes {
    /// The serialization of the body.
    pub(super) serialization: u8,
    /// Where the attachments start; 0 if nobody looked.
    pub(super) attachments: u32,
    /// The client understands attachments in answers.
    pub(super) reads_attachments: bool,
    /// The attachments are an untyped map of strings, which can be read without what comes before it.
    pub(super) plain_map: bool,
}

impl Notes {
    pub(super) fn to_numbers(self) -> [u32; 4] {
        let flags = u32::from(self.reads_attachments) | u32::from(self.plain_map) << 1;
        [u32::from(self.serialization), self.attachments, flags, 0]
    }

    pub(super) fn from_numbers([serialization, attachments, flags, _]: [u32; 4]) -> Self {
        Self {
            serialization: u8::try_from(serialization).unwrap_or(0),
            attachments,
            reads_attachments: flags & 1 != 0,
            plain_map: flags & 2 != 0,
        }
    }
}

/// Fills a head from one body.
pub(super) struct Filler<'m> {
    pub(super) frame: &'m [u8],
    pub(super) demand: &'m Demand,
    pub(super) wanted: Wanted,
    pub(super) limits: &'m Limits,
    pub(super) options: Options,
    pub(super) out: &'m mut Head,
    pub(super) notes: Notes,
}

impl<'m> Filler<'m> {
    /// Reads a request as far as the demand asks.
    pub(super) fn request(&mut self) -> Result<(), DecodeError> {
        let mut reader = self.reader();
        let head = CallHead::read(&mut reader)?;
        self.notes.reads_attachments = head.dubbo_version.is_some_and(|version| reads_attachments(&version));
        if head.method.is_some_and(|method| method.encoded().len() > self.limits.method) {
            return Err(DecodeError::new(DecodeErrorKind::BadMethod, Header::LEN));
        }
        self.insert_name(METHOD, head.method)?;
        if !self.wants_attachments() && !self.wanted.name(GENERIC_METHOD) {
            return Ok(());
        }
        let tail = Tail::read(&mut reader)?;
        if is_generic(head.method) {
            self.insert_generic_method(tail.first_argument)?;
        }
        if !self.wants_attachments() {
            return Ok(());
        }
        let mut identity = Identity::of_body(&head);
        self.attachments(&mut reader, Some(&mut identity))?;
        self.insert_identity(&identity)
    }

    /// Anything but the method, all of which attachments have a say in.
    fn wants_attachments(&self) -> bool {
        self.wanted.others || self.wanted.names & !(1 << METHOD | 1 << GENERIC_METHOD) != 0
    }

    pub(super) fn reader(&self) -> Reader<'m> {
        self.options.reader_at(self.frame, Header::LEN, self.limits)
    }

    /// Reads the attachments of an answer that has some.
    pub(super) fn answer(&mut self) -> Result<(), DecodeError> {
        let mut reader = self.reader();
        if read_type(&mut reader)?.has_value() {
            reader.skip().map_err(in_body)?;
        }
        self.attachments(&mut reader, None)
    }

    fn attachments(&mut self, reader: &mut Reader<'m>, identity: Option<&mut Identity<'m>>) -> Result<(), DecodeError> {
        self.notes.attachments = u32::try_from(reader.offset()).unwrap_or(0);
        self.notes.plain_map = reader.rest().first() == Some(&b'H');
        if !self.notes.plain_map && identity.is_some() && !is_known_map(reader.clone()) {
            self.out.set_opaque();
        }
        if !open_attachments(reader)? {
            Ok(())
        } else if reader.rest_is_ascii() {
            self.pairs(reader, identity, Reader::ascii_pair)
        } else {
            self.pairs(reader, identity, Reader::plain_pair)
        }
    }

    /// Goes through the pairs of the open map, of which nearly all are two strings that `plain` reads.
    #[inline(never)]
    fn pairs(
        &mut self,
        reader: &mut Reader<'m>,
        mut identity: Option<&mut Identity<'m>>,
        plain: impl Fn(&mut Reader<'m>) -> Option<(hessian2::Text<'m>, hessian2::Text<'m>)>,
    ) -> Result<(), DecodeError> {
        while !reader.terminator() {
            let Some((key, value)) = plain(reader) else {
                self.odd_attachment(reader, identity.as_deref_mut())?;
                continue;
            };
            let name = key.as_utf8().unwrap_or_default();
            if self.is_wanted(name, Some(value), identity.as_deref_mut()) {
                self.insert_other(key, name, value)?;
            }
        }
        Ok(())
    }

    fn insert_identity(&mut self, identity: &Identity<'m>) -> Result<(), DecodeError> {
        let names = [
            (INTERFACE, &identity.interface),
            (PATH, &identity.interface),
            (VERSION, &identity.version),
            (GROUP, &identity.group),
        ];
        let divisible = identity.is_divisible();
        for (name, field) in names {
            if self.options.reject_mismatch && field.mismatch {
                return Err(DecodeError::new(DecodeErrorKind::IdentityMismatch, Header::LEN));
            }
            self.insert_name(name, field.value)?;
            let Some(key) = NAMES.get(name).filter(|_| self.wanted.name(name)) else { continue };
            if divisible {
                self.doubt(Text::Name(name), key)?;
            } else if field.ambiguous {
                self.out.mark_ambiguous(self.frame, key);
            }
        }
        Ok(())
    }

    /// Declares that the provider may read `name`, which `key` stands for, differently.
    fn doubt(&mut self, key: Text<'_>, name: &str) -> Result<(), DecodeError> {
        self.out.doubt(self.frame, self.limits, key, name)
    }

    #[inline]
    fn insert_name(&mut self, name: usize, value: Option<hessian2::Text<'m>>) -> Result<(), DecodeError> {
        match value {
            Some(value) if self.wanted.name(name) => self.insert_named(name, value),
            _ => Ok(()),
        }
    }

    #[inline(never)]
    fn insert_named(&mut self, name: usize, value: hessian2::Text<'m>) -> Result<(), DecodeError> {
        self.insert(Text::Name(name), &value)
    }

    /// Inserts the method inside a generic call as the provider looks it up: without blanks around it. The provider
    /// makes text of a number too, so what is no text must not be taken for none.
    #[cold]
    fn insert_generic_method(&mut self, name: Option<hessian2::Text<'m>>) -> Result<(), DecodeError> {
        if !self.wanted.name(GENERIC_METHOD) {
            return Ok(());
        }
        let key = Text::Name(GENERIC_METHOD);
        if let Some(range) = name.and_then(|name| name.utf8_range()) {
            return self.out.insert(self.frame, self.limits, key, Text::Frame(trim(self.frame, range)));
        }
        let Some(name) = name else { return self.doubt(key, NAMES.get(GENERIC_METHOD).copied().unwrap_or_default()) };
        let utf8 = self.utf8(&name)?;
        let trimmed = utf8.get(trim(&utf8, 0..utf8.len())).unwrap_or_default();
        self.out.insert(self.frame, self.limits, key, Text::Copied(trimmed))
    }

    /// Inserts what is none of the codec's own names.
    #[inline(never)]
    fn insert_other(
        &mut self,
        key: hessian2::Text<'m>,
        name: &[u8],
        value: hessian2::Text<'m>,
    ) -> Result<(), DecodeError> {
        self.insert(text_of(&key, name), &value)
    }

    /// Gives a pair to the identity; tells whether it is none of its parts, and wanted.
    #[inline(always)]
    fn is_wanted(
        &mut self,
        name: &[u8],
        value: Option<hessian2::Text<'m>>,
        identity: Option<&mut Identity<'m>>,
    ) -> bool {
        let has_identity = identity.is_some();
        if let Some(identity) = identity
            && identity.take(name, value)
        {
            return false;
        }
        if name.starts_with(CALLBACK) {
            self.out.set_affinity(Affinity::Bound);
        }
        self.wanted.others && self.demand.wants(name) && !(has_identity && Identity::is_name(name))
    }

    /// A pair that is not two plain strings.
    #[cold]
    fn odd_attachment(
        &mut self,
        reader: &mut Reader<'m>,
        identity: Option<&mut Identity<'m>>,
    ) -> Result<(), DecodeError> {
        let Some(entry) = reader.entry().map_err(in_body)? else { return Ok(()) };
        let Event::Text(key) = entry.key else {
            self.notes.plain_map = false;
            // The provider makes an object of it, and nobody knows whether that one stands for text.
            if identity.is_some() && !matches!(entry.key, Event::Null | Event::Bool(_) | Event::Int(_) | Event::Long(_))
            {
                self.out.set_opaque();
            }
            return Ok(());
        };
        let value = match entry.value {
            Event::Text(value) => Some(value),
            _ => None,
        };
        self.notes.plain_map &= value.is_some();
        let joined;
        let name = match key.as_utf8() {
            Some(name) => name,
            None => {
                joined = self.utf8(&key)?;
                &joined
            }
        };
        if !self.is_wanted(name, value, identity) {
            return Ok(());
        }
        self.insert_value(name, text_of(&key, name), &entry.value)
    }

    fn insert_value(&mut self, name: &[u8], key: Text<'_>, value: &Event<'m>) -> Result<(), DecodeError> {
        if let Event::Text(value) = value {
            return self.insert(key, value);
        }
        if (self.options.render_scalars || is_timeout(name))
            && let Some(text) = render(value, &mut [0; LONGEST])
        {
            return self.out.insert(self.frame, self.limits, key, Text::Copied(text));
        }
        // The peer takes this value, and we cannot show it: neither what came before nor that nothing did must decide.
        // Null is nothing to the peer too.
        match (std::str::from_utf8(name), value) {
            (Ok(name), Event::Null) => self.out.mark_ambiguous(self.frame, name),
            (Ok(name), _) => self.doubt(key, name)?,
            (Err(_), _) => {}
        }
        Ok(())
    }

    #[inline(always)]
    fn insert(&mut self, key: Text<'_>, value: &hessian2::Text<'m>) -> Result<(), DecodeError> {
        match value.utf8_range() {
            Some(range) => self.out.insert(self.frame, self.limits, key, Text::Frame(range)),
            None => self.insert_joined(key, value),
        }
    }

    #[cold]
    fn insert_joined(&mut self, key: Text<'_>, value: &hessian2::Text<'m>) -> Result<(), DecodeError> {
        let value = self.utf8(value)?;
        self.out.insert(self.frame, self.limits, key, Text::Copied(&value))
    }

    /// Joins chunks and surrogates. A lone surrogate keeps its three octets: no UTF-8 and so equal to nothing that a
    /// configuration can hold.
    fn utf8(&self, text: &hessian2::Text<'_>) -> Result<SmallVec<[u8; 256]>, DecodeError> {
        if text.encoded().len() > self.limits.attribute_bytes {
            return Err(DecodeError::new(DecodeErrorKind::TooManyAttributes, Header::LEN));
        }
        let mut utf8 = SmallVec::new();
        for character in char::decode_utf16(text.utf16()) {
            match character {
                Ok(character) => utf8.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                Err(_) => utf8.extend_from_slice(&[0xed, 0xbf, 0xbf]),
            }
        }
        Ok(utf8)
    }
}

/// Tells whether the provider reads a map of which each key is what it was written as, and stays: others drop keys, or
/// take them for one another.
#[cold]
fn is_known_map(mut reader: Reader<'_>) -> bool {
    match reader.event() {
        Ok(Event::Map { ty: Some(Type::Name(name)) }) => {
            name.to_str().is_some_and(|name| name.is_empty() || KNOWN_MAPS.contains(&&*name))
        }
        // the type of a map in the arguments, whichever
        Ok(Event::Map { ty: Some(Type::Index(_)) }) => false,
        _ => true,
    }
}

/// The attribute key that a key of attachments becomes; `name` is its UTF-8.
fn text_of<'n>(key: &hessian2::Text<'_>, name: &'n [u8]) -> Text<'n> {
    key.utf8_range().map_or(Text::Copied(name), Text::Frame)
}

/// Tells whether a call names another method in its first argument, whatever form its own name is written in.
fn is_generic(method: Option<hessian2::Text<'_>>) -> bool {
    method.is_some_and(|method| match method.as_utf8() {
        Some(method) => GENERIC.iter().any(|generic| generic.as_bytes() == method),
        None => GENERIC.iter().any(|generic| method.utf16().eq(generic.encode_utf16())),
    })
}

/// Returns what of a range is left when it is stripped as Java's `trim` does: of all up to U+0020.
fn trim(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let text = bytes.get(range.clone()).unwrap_or_default();
    let is_blank = |byte: &&u8| **byte <= b' ';
    let before = text.iter().take_while(is_blank).count();
    let after = text.iter().skip(before).rev().take_while(is_blank).count();
    range.start.saturating_add(before)..range.end.saturating_sub(after)
}

/// Java's rule: 2.0.2 up to 2.0.99, which leaves out the releases that wrote their own number here.
fn reads_attachments(version: &hessian2::Text<'_>) -> bool {
    if version.as_utf8() == Some(b"2.0.2") {
        return true;
    }
    let patch = version.as_utf8().and_then(|version| version.strip_prefix(b"2.0."));
    let digits = patch.map(|patch| patch.split(|byte| *byte == b'.').next().unwrap_or_default());
    match digits {
        Some([digit]) => matches!(digit, b'2'..=b'9'),
        Some([tens, ones]) => matches!(tens, b'1'..=b'9') && ones.is_ascii_digit(),
        _ => false,
    }
}

/// Tells whether an attachment says how long the caller waits, which some clients write as a number.
fn is_timeout(name: &[u8]) -> bool {
    TIMEOUTS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Writes a scalar as text.
fn render<'b>(value: &Event<'_>, buffer: &'b mut [u8; LONGEST]) -> Option<&'b [u8]> {
    let mut rest = &mut buffer[..];
    let written = match value {
        Event::Bool(value) => write!(rest, "{value}"),
        Event::Int(value) => write!(rest, "{value}"),
        Event::Long(value) => write!(rest, "{value}"),
        _ => return None,
    };
    let len = LONGEST.saturating_sub(rest.len());
    written.ok().and_then(|()| buffer.get(..len))
}

/// The maps that clients write attachments from, where they say which.
const KNOWN_MAPS: [&str; 6] = [
    "java.util.HashMap",
    "java.util.LinkedHashMap",
    "java.util.TreeMap",
    "java.util.Hashtable",
    "java.util.concurrent.ConcurrentHashMap",
    "org.apache.dubbo.rpc.AttachmentsAdapter$ObjectToStringMap",
];
/// The methods that call what their first argument names.
const GENERIC: [&str; 2] = ["$invoke", "$invokeAsync"];
/// The length of the least long, in decimal.
const LONGEST: usize = 20;
/// The time that is configured for a method, and what is left of it in calls that others have caused.
const TIMEOUTS: [&[u8]; 2] = [b"timeout", b"_TO"];
/// Attachments of calls that hand a callback to the server, which then calls back on the same connection.
const CALLBACK: &[u8] = b"sys_callback_arg-";
