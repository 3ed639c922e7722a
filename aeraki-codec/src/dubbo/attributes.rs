//! From the body to attributes: who is called, as the provider will read it, and everything else that is demanded.

use smallvec::SmallVec;

use super::{
    codec::Options,
    identity::{GENERIC_METHOD, GROUP, INTERFACE, Identity, METHOD, NAMES, PATH, VERSION},
    wire::{CallHead, Header, Tail, in_body, open_attachments},
};
use crate::{
    Affinity, DecodeError, DecodeErrorKind, Demand, Head, Limits, Text,
    hessian2::{self, Event, Reader},
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

/// A demand, sorted once for each message: asking it for every key of every message would cost more than reading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// Bit `n` is set if the attribute `NAMES[n]` is wanted.
    names: u8,
    /// Attachments are wanted by their own keys.
    pub(super) others: bool,
}

impl Wanted {
    pub(super) fn by(demand: &Demand) -> Self {
        if demand.is_all() {
            return Self { names: u8::MAX, others: true };
        }
        let mut wanted = Self::default();
        for key in demand.keys() {
            match NAMES.iter().position(|name| *name == key) {
                Some(name) => wanted.names |= 1 << name,
                None => wanted.others = true,
            }
        }
        wanted
    }

    fn name(self, name: usize) -> bool {
        self.names >> name & 1 != 0
    }

    /// Anything but the method, all of which attachments have a say in.
    fn of_attachments(self) -> bool {
        self.others || self.names & !(1 << METHOD | 1 << GENERIC_METHOD) != 0
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
        if !self.wanted.of_attachments() && !self.wanted.name(GENERIC_METHOD) {
            return Ok(());
        }
        let tail = Tail::read(&mut reader)?;
        if is_generic(head.method) {
            self.insert_name(GENERIC_METHOD, tail.first_argument)?;
        }
        if !self.wanted.of_attachments() {
            return Ok(());
        }
        let mut identity = Identity::of_body(&head);
        self.attachments(&mut reader, Some(&mut identity))?;
        self.insert_identity(&identity)
    }

    pub(super) fn reader(&self) -> Reader<'m> {
        self.options.reader_at(self.frame, Header::LEN, self.limits)
    }

    /// Reads the attachments of an answer, at which `reader` stands.
    pub(super) fn answer(&mut self, reader: &mut Reader<'m>) -> Result<(), DecodeError> {
        self.attachments(reader, None)
    }

    fn attachments(
        &mut self,
        reader: &mut Reader<'m>,
        mut identity: Option<&mut Identity<'m>>,
    ) -> Result<(), DecodeError> {
        self.notes.attachments = u32::try_from(reader.offset()).unwrap_or(0);
        self.notes.plain_map = reader.rest().first() == Some(&b'H');
        if !open_attachments(reader)? {
            return Ok(());
        }
        loop {
            let (key, value) = match reader.plain_pair() {
                Some((key, value)) => (Event::Text(key), Event::Text(value)),
                None => match reader.entry().map_err(in_body)? {
                    Some(entry) => (entry.key, entry.value),
                    None => return Ok(()),
                },
            };
            self.notes.plain_map &= matches!((&key, &value), (Event::Text(_), Event::Text(_)));
            let Event::Text(key) = key else { continue };
            if !identity.as_mut().is_some_and(|identity| identity.take(&key, &value)) {
                self.insert_attachment(&key, &value)?;
            }
        }
    }

    fn insert_identity(&mut self, identity: &Identity<'m>) -> Result<(), DecodeError> {
        let names = [
            (INTERFACE, &identity.interface),
            (PATH, &identity.interface),
            (VERSION, &identity.version),
            (GROUP, &identity.group),
        ];
        for (name, field) in names {
            if self.options.reject_mismatch && field.mismatch {
                return Err(DecodeError::new(DecodeErrorKind::IdentityMismatch, Header::LEN));
            }
            self.insert_name(name, field.value)?;
            if let (true, Some(key)) = (field.ambiguous, NAMES.get(name)) {
                self.out.mark_ambiguous(self.frame, key);
            }
        }
        Ok(())
    }

    fn insert_name(&mut self, name: usize, value: Option<hessian2::Text<'m>>) -> Result<(), DecodeError> {
        match value {
            Some(value) if self.wanted.name(name) => self.insert(Text::Name(name), &value),
            _ => Ok(()),
        }
    }

    fn insert_attachment(&mut self, key: &hessian2::Text<'m>, value: &Event<'m>) -> Result<(), DecodeError> {
        let Some(range) = key.utf8_range() else { return self.insert_odd_attachment(key, value) };
        let name = self.frame.get(range.clone()).unwrap_or_default();
        if name.starts_with(CALLBACK) {
            self.out.set_affinity(Affinity::Bound);
        }
        if self.wanted.others && self.demand.wants(name) {
            self.insert_value(name, Text::Frame(range), value)
        } else {
            Ok(())
        }
    }

    /// An attachment whose key is chunked, or holds characters that are not UTF-8 as they stand.
    #[cold]
    fn insert_odd_attachment(&mut self, key: &hessian2::Text<'m>, value: &Event<'m>) -> Result<(), DecodeError> {
        let name = self.utf8(key)?;
        if self.demand.wants(&name) { self.insert_value(&name, Text::Copied(&name), value) } else { Ok(()) }
    }

    fn insert_value(&mut self, name: &[u8], key: Text<'_>, value: &Event<'m>) -> Result<(), DecodeError> {
        match value {
            Event::Text(value) => self.insert(key, value),
            scalar if self.options.render_scalars => match render(scalar) {
                Some(text) => self.out.insert(self.frame, self.limits, key, Text::Copied(text.as_bytes())),
                None => Ok(()),
            },
            _ => {
                // The peer takes this value, and we cannot show it: what came before must not decide.
                if let Ok(name) = std::str::from_utf8(name) {
                    self.out.mark_ambiguous(self.frame, name);
                }
                Ok(())
            }
        }
    }

    fn insert(&mut self, key: Text<'_>, value: &hessian2::Text<'m>) -> Result<(), DecodeError> {
        match value.utf8_range() {
            Some(range) => self.out.insert(self.frame, self.limits, key, Text::Frame(range)),
            None => {
                let value = self.utf8(value)?;
                self.out.insert(self.frame, self.limits, key, Text::Copied(&value))
            }
        }
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

fn is_generic(method: Option<hessian2::Text<'_>>) -> bool {
    method.and_then(|method| method.as_utf8()).is_some_and(|method| matches!(method, b"$invoke" | b"$invokeAsync"))
}

/// Java's rule: 2.0.2 up to 2.0.99, which leaves out the releases that wrote their own number here.
fn reads_attachments(version: &hessian2::Text<'_>) -> bool {
    let patch = version.as_utf8().and_then(|version| version.strip_prefix(b"2.0."));
    let digits = patch.map(|patch| patch.split(|byte| *byte == b'.').next().unwrap_or_default());
    match digits {
        Some([digit]) => matches!(digit, b'2'..=b'9'),
        Some([tens, ones]) => matches!(tens, b'1'..=b'9') && ones.is_ascii_digit(),
        _ => false,
    }
}

fn render(value: &Event<'_>) -> Option<String> {
    match value {
        Event::Bool(value) => Some(value.to_string()),
        Event::Int(value) => Some(value.to_string()),
        Event::Long(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Attachments of calls that hand a callback to the server, which then calls back on the same connection.
const CALLBACK: &[u8] = b"sys_callback_arg-";
