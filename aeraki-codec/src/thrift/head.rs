//! Reads the head of a message: kind and id first, so that whatever fails behind them can be answered.

use super::begin::{Begin, MessageType};
use super::dialect::{Dialect, Encoding, Transport};
use super::encode::{Layout, SeqIds};
use super::grammar::{BinaryGrammar, CompactGrammar, Grammar};
use super::header::Header;
use super::inflate::Inflater;
use super::value::{Struct, Value};
use super::wire::{Fault, whole};
use crate::codec::{DecodeError, DecodeErrorKind, Limits, Role};
use crate::message::{Demand, Head, Id, Kind, Outcome, Span, Status, Text, Wanted};

/// Reads heads on one connection, for one demand.
pub(super) struct HeadReader<'a> {
    pub(super) dialect: Dialect,
    pub(super) role: Role,
    pub(super) limits: &'a Limits,
    pub(super) inflater: &'a Inflater,
    pub(super) demand: &'a Demand,
    pub(super) wanted: Wanted,
}

impl HeadReader<'_> {
    /// Reads the head of one whole frame.
    pub(super) fn read(&self, frame: &[u8], out: &mut Head) -> Result<(), DecodeError> {
        out.set_names(NAMES);
        out.set_mutable(self.dialect.transport == Transport::Header);
        match self.dialect.transport {
            Transport::Unframed => self.read_message(&Payload::at(frame, 0), self.dialect.encoding, out),
            Transport::Framed => self.read_message(&Payload::at(frame, 4), self.dialect.encoding, out),
            Transport::Header => self.read_behind_header(frame, out),
        }
    }

    fn read_behind_header(&self, frame: &[u8], out: &mut Head) -> Result<(), DecodeError> {
        let header = Header::read(frame)?;
        let encoding = self.dialect.encoding.in_header(header.encoding());
        if header.is_deflated() {
            self.read_deflated(frame, &header, encoding, out)?;
        } else {
            let payload = Payload { header: Some(&header), ..Payload::at(frame, header.payload_offset()) };
            self.read_message(&payload, encoding, out)?;
        }
        if self.role == Role::Client && header.says_goodbye() {
            out.set_goodbye();
        }
        if self.wanted.others { self.read_pairs(frame, &header, out) } else { Ok(()) }
    }

    fn read_pairs(&self, frame: &[u8], header: &Header<'_>, out: &mut Head) -> Result<(), DecodeError> {
        if header.info_len() > self.limits.attribute_bytes {
            return Err(DecodeError::new(DecodeErrorKind::FrameTooLarge, 12));
        }
        let mut pairs = header.pairs();
        while let Some((key, value)) = pairs.next_ranges().transpose()? {
            let name = frame.get(key.clone()).unwrap_or_default();
            if self.demand.wants(name) && !is_own(name) {
                out.insert(frame, self.limits, Text::Frame(key), Text::Frame(value))?;
            }
        }
        if self.role == Role::Server && pairs.leaves_unread() { self.doubt_pairs(frame, out) } else { Ok(()) }
    }

    /// Declares that the server may read other pairs: some take theirs from more kinds of info blocks, as from the
    /// persistent headers of old clients.
    #[cold]
    fn doubt_pairs(&self, frame: &[u8], out: &mut Head) -> Result<(), DecodeError> {
        if self.demand.is_all() {
            out.set_opaque();
        }
        let mut pairs = self.demand.keys().filter(|key| !is_own(key.as_bytes()));
        pairs.try_for_each(|key| out.doubt(frame, self.limits, Text::Copied(key.as_bytes()), key))
    }

    fn read_deflated(
        &self,
        frame: &[u8],
        header: &Header<'_>,
        encoding: Encoding,
        out: &mut Head,
    ) -> Result<(), DecodeError> {
        let mut room = [0; INFLATED];
        let deflated = header.payload();
        let deflated = deflated.get(..HEAD.saturating_add(self.limits.method)).unwrap_or(deflated);
        let message = self.inflater.prefix(deflated, &mut room)?;
        self.read_message(&Payload { frame, message, at: None, header: Some(header) }, encoding, out)
    }

    fn read_message(&self, payload: &Payload<'_>, encoding: Encoding, out: &mut Head) -> Result<(), DecodeError> {
        let placed = |fault: Fault| fault.placed(payload.end());
        let (body, begin) = whole(Begin::read(payload.message, encoding)).map_err(placed)?;
        out.set_dialect(Dialect { encoding: begin.encoding, ..self.dialect }.pack());
        out.set_kind(match begin.of {
            MessageType::Call => Kind::Request,
            MessageType::Oneway => Kind::Oneway,
            MessageType::Reply => Kind::Response,
            MessageType::Exception => Kind::Error,
        });
        // A reply is matched by the number of the message; how that of its header differs matters to the caller only.
        let header = payload.header.filter(|_| self.role == Role::Server);
        let header = header.map_or(begin.seq_id, |header| header.seq_id().cast_unsigned());
        out.set_id(Id::Number(SeqIds { message: begin.seq_id, header }.pack()));
        out.set_notes(Layout::of(&begin, payload.at).pack());
        out.set_head_len(payload.head_len(&begin));
        self.read_name(payload, &begin, out)?;
        read_outcome(&begin, body, out);
        Ok(())
    }

    /// Puts the name, and its parts, where attributes and replies find them.
    fn read_name(&self, payload: &Payload<'_>, begin: &Begin, out: &mut Head) -> Result<(), DecodeError> {
        if begin.name_len > self.limits.method {
            let offset = payload.at.unwrap_or(0).saturating_add(begin.name_at);
            return Err(DecodeError::new(DecodeErrorKind::BadMethod, offset));
        }
        if self.demand.is_none() && !out.kind().is_request() {
            return Ok(());
        }
        let name = || payload.message.get(begin.name_range(0)).unwrap_or_default();
        let span = match payload.at {
            Some(at) => Span::new(begin.name_range(at)),
            None => out.copy(name()),
        };
        let Some(span) = span else { return Err(DecodeError::new(DecodeErrorKind::FrameTooLarge, 0)) };
        out.set_echo(span);
        let mut insert = |index: usize, part: Option<Span>| match part {
            Some(part) => out.insert(payload.frame, self.limits, Text::Name(index), Text::Span(part)),
            None => Ok(()),
        };
        if self.wanted.name(METHOD) {
            insert(METHOD, Some(span))?;
        }
        if self.wanted.name(THRIFT_SERVICE) {
            insert(THRIFT_SERVICE, Begin::split(name()).0.and_then(|service| span.part(0..service.len())))?;
        }
        if self.wanted.name(THRIFT_METHOD) {
            let method = Begin::split(name()).1;
            insert(THRIFT_METHOD, span.part(span.len().saturating_sub(method.len())..span.len()))?;
        }
        // names are short
        if name().contains(&b':') {
            doubt(name(), payload.frame, out);
        }
        Ok(())
    }
}

/// The bytes that a message is read from.
struct Payload<'a> {
    frame: &'a [u8],
    message: &'a [u8],
    /// Where the message begins in the frame; nowhere, where it had to be inflated.
    at: Option<usize>,
    header: Option<&'a Header<'a>>,
}

impl<'a> Payload<'a> {
    fn at(frame: &'a [u8], at: usize) -> Self {
        Self { frame, message: frame.get(at..).unwrap_or_default(), at: Some(at), header: None }
    }

    /// Returns where the struct begins in the frame, or the inflated message that holds it.
    fn head_len(&self, begin: &Begin) -> usize {
        match (self.at, self.header) {
            (Some(at), _) => at.saturating_add(begin.len),
            (None, Some(header)) => header.payload_offset(),
            (None, None) => 0,
        }
    }

    /// Returns what the offset of an error counts up to.
    fn end(&self) -> usize {
        if self.at.is_some() { self.frame.len() } else { self.message.len() }
    }
}

/// Marks a name of which servers may read the parts differently.
#[cold]
fn doubt(name: &[u8], frame: &[u8], out: &mut Head) {
    if Begin::is_split_otherwise(name) {
        NAMES.iter().for_each(|key| out.mark_ambiguous(frame, key));
    }
}

/// Sets how a call ended: the first field of a reply tells, and the type field of an exception.
fn read_outcome(begin: &Begin, body: &[u8], out: &mut Head) {
    let compact = begin.encoding == Encoding::Compact;
    match begin.of {
        MessageType::Call | MessageType::Oneway => {}
        MessageType::Reply => {
            let first = if compact { CompactGrammar::field(body, 0) } else { BinaryGrammar::field(body, 0) };
            // Field 0 is the returned value; any other is an exception that the method declares.
            if first.is_ok_and(|(_, field)| field.is_some_and(|field| field.id > 0)) {
                out.set_kind(Kind::Error);
            }
        }
        MessageType::Exception => {
            let body = body.get(..HEAD.min(body.len())).unwrap_or_default();
            let code = match Struct::new(body, 0, compact, EXCEPTION_DEPTH).field(EXCEPTION_TYPE) {
                Some(Value::I32(code)) => code,
                _ => 0,
            };
            out.set_status(Status::new(Outcome::Error, code));
        }
    }
}

/// Tells whether a key is one of the codec's own, or one that says of other protocols which method is called: no header
/// can take it.
pub(super) fn is_own(key: &[u8]) -> bool {
    NAMES.iter().chain([&"generic.method"]).any(|name| name.as_bytes().eq_ignore_ascii_case(key))
}

/// The attributes that are made of the name of a message.
pub(super) const NAMES: &[&str] = &["method", "thrift.service", "thrift.method"];
const METHOD: usize = 0;
const THRIFT_SERVICE: usize = 1;
const THRIFT_METHOD: usize = 2;
/// What is looked at behind framing and header, besides the name: enough for the type of an exception, and for what
/// zlib may put in front of the first bytes.
pub(super) const HEAD: usize = 3072;
/// What is inflated of a payload: enough for the longest name by default.
const INFLATED: usize = 2048;
const EXCEPTION_TYPE: i16 = 2;
const EXCEPTION_DEPTH: usize = 8;
