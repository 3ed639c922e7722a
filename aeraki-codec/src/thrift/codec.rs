//! [`Thrift`] and the codec of one connection: where messages end, and what their heads say.

use super::begin::{Begin, MessageType};
use super::dialect::{Detected, Dialect, Encoding, Transport};
use super::encode::{self, Layout, SeqIds};
use super::grammar::{BinaryGrammar, CompactGrammar, Grammar};
use super::header::{HEADER, Header};
use super::skip::Skip;
use super::value::{Struct, Value};
use super::wire::{Fault, array, whole};
use super::{FRAME_LIMIT, inflate::Inflater, reply};
use crate::codec::{
    Answer, Carries, Codec, DecodeError, DecodeErrorKind, EncodeError, IdSpace, Limits, LocalReply, Measure, Output,
    Protocol, Receipt, Replies, Role, Serving, Wire,
};
use crate::message::{Demand, Head, Id, Kind, Message, Outcome, Span, Status, Text};

/// The protocol, for listeners and clusters.
#[derive(Clone, Debug, Default)]
pub struct Thrift {
    dialect: Option<Dialect>,
    inflater: Inflater,
}

impl Thrift {
    /// Speaks one transport and encoding only, instead of telling them from the first bytes of a connection.
    ///
    /// [`Encoding::BinaryOld`] reads strict binary as well. With [`Transport::Header`] each header names its encoding.
    #[must_use]
    pub fn fixed(transport: Transport, encoding: Encoding) -> Self {
        Self { dialect: Some(Dialect { transport, encoding }), inflater: Inflater::default() }
    }
}

impl Protocol for Thrift {
    fn name(&self) -> &'static str {
        "thrift"
    }

    fn wire(&self) -> Wire {
        Wire::new(IdSpace::Bits(32), Replies::InOrder, Serving::Serial)
    }

    fn codec(&self, role: Role, limits: &Limits) -> Box<dyn Codec> {
        Box::new(ThriftCodec {
            dialect: self.dialect,
            skip: Skip::new(),
            inflater: self.inflater.clone(),
            role,
            limits: *limits,
        })
    }

    fn carries(&self) -> Carries {
        Carries::Sometimes
    }
}

/// The codec of one connection.
#[derive(Debug)]
struct ThriftCodec {
    /// Known from configuration, the first bytes that came in, or the first message that went out.
    dialect: Option<Dialect>,
    /// How far the message at the front of the input has been walked, where there are no frames.
    skip: Skip,
    inflater: Inflater,
    role: Role,
    limits: Limits,
}

impl Codec for ThriftCodec {
    fn measure(&mut self, input: &[u8]) -> Result<Measure, DecodeError> {
        let dialect = match self.dialect {
            Some(dialect) => dialect,
            None => match Dialect::detect(input)? {
                Detected::Dialect(dialect) => *self.dialect.insert(dialect),
                Detected::Need(at_least) => return Ok(Measure::Partial { at_least }),
            },
        };
        match dialect.transport {
            Transport::Unframed => self.walk(input, dialect.encoding),
            Transport::Framed => self.measure_framed(input),
            Transport::Header => self.measure_header(input),
        }
    }

    fn parse(&mut self, frame: &[u8], demand: &Demand, out: &mut Head) -> Result<(), DecodeError> {
        let dialect = match self.dialect {
            Some(dialect) => dialect,
            None => match Dialect::detect(frame)? {
                Detected::Dialect(dialect) => dialect,
                Detected::Need(_) => return Err(DecodeError::new(DecodeErrorKind::FrameTruncated, frame.len())),
            },
        };
        out.set_names(NAMES);
        out.set_mutable(dialect.transport == Transport::Header);
        match dialect.transport {
            Transport::Unframed => self.read(&Payload::at(frame, 0), dialect, demand, out),
            Transport::Framed => self.read(&Payload::at(frame, 4), dialect, demand, out),
            Transport::Header => self.read_behind_header(frame, dialect, demand, out),
        }
    }

    fn encode(&mut self, message: &Message, out: &mut Output) -> Result<(), EncodeError> {
        encode::encode(message, &self.inflater, self.limits.frame_or(FRAME_LIMIT), out)?;
        // The peer answers as it is asked.
        self.dialect = self.dialect.or_else(|| Dialect::unpack(message.head().dialect()));
        Ok(())
    }

    fn reply(&mut self, to: &Receipt, reply: &LocalReply, out: &mut Output) -> Result<Answer, EncodeError> {
        reply::write(to, reply, self.limits.frame_or(FRAME_LIMIT), out)
    }
}

impl ThriftCodec {
    fn measure_framed(&self, input: &[u8]) -> Result<Measure, DecodeError> {
        match self.length(input)? {
            Some(len) => Ok(frame(len, HEAD.saturating_add(self.limits.method))),
            None => Ok(Measure::Partial { at_least: 4 }),
        }
    }

    fn measure_header(&self, input: &[u8]) -> Result<Measure, DecodeError> {
        let Some(len) = self.length(input)? else { return Ok(Measure::Partial { at_least: 4 }) };
        if len < HEADER {
            return Err(DecodeError::fatal(DecodeErrorKind::FrameTooSmall, 0));
        }
        match Header::length(input) {
            Some(header) => Ok(frame(len, HEAD.saturating_add(header).saturating_add(self.limits.method))),
            None => Ok(Measure::Partial { at_least: HEADER }),
        }
    }

    /// Reads the length that a frame begins with, and returns the length of the frame.
    fn length(&self, input: &[u8]) -> Result<Option<usize>, DecodeError> {
        let Ok((_, length)) = array(input) else { return Ok(None) };
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
        if length == 0 {
            Err(DecodeError::fatal(DecodeErrorKind::FrameTooSmall, 0))
        } else if length > self.limits.frame_or(FRAME_LIMIT) {
            Err(DecodeError::fatal(DecodeErrorKind::FrameTooLarge, 0))
        } else {
            Ok(Some(length.saturating_add(4)))
        }
    }

    /// Finds the end of a message that has no frame, going on where the last call stopped.
    fn walk(&mut self, input: &[u8], encoding: Encoding) -> Result<Measure, DecodeError> {
        let limit = self.limits.frame_or(FRAME_LIMIT);
        let (body, begin) = match whole(Begin::read(input, encoding)) {
            Ok(read) => read,
            Err(fault) => return more(fault, input.len(), limit),
        };
        let (room, depth) = (limit.saturating_sub(input.len()), self.limits.depth);
        let walked = match begin.encoding {
            Encoding::Compact => self.skip.run::<CompactGrammar>(body, room, depth),
            Encoding::Binary | Encoding::BinaryOld => self.skip.run::<BinaryGrammar>(body, room, depth),
        };
        match walked {
            Ok(length) if begin.len.saturating_add(length) > limit => {
                Err(DecodeError::fatal(DecodeErrorKind::FrameTooLarge, limit))
            }
            Ok(length) => {
                self.skip.restart();
                Ok(frame(begin.len.saturating_add(length), HEAD.saturating_add(self.limits.method)))
            }
            Err(fault) => more(fault, input.len(), limit),
        }
    }

    fn read_behind_header(
        &self,
        frame: &[u8],
        dialect: Dialect,
        demand: &Demand,
        out: &mut Head,
    ) -> Result<(), DecodeError> {
        let header = Header::read(frame)?;
        let dialect = Dialect { encoding: dialect.encoding.in_header(header.encoding()), ..dialect };
        if header.is_deflated() {
            self.read_deflated(frame, &header, dialect, demand, out)?;
        } else {
            let payload = Payload { header: Some(&header), ..Payload::at(frame, header.payload_offset()) };
            self.read(&payload, dialect, demand, out)?;
        }
        if demand.is_none() {
            return Ok(());
        }
        if header.info_len() > self.limits.attribute_bytes {
            return Err(DecodeError::new(DecodeErrorKind::FrameTooLarge, 12));
        }
        let mut pairs = header.pairs();
        while let Some((key, value)) = pairs.next_ranges().transpose()? {
            let name = frame.get(key.clone()).unwrap_or_default();
            if demand.wants(name) && !is_own(name) {
                out.insert(frame, &self.limits, Text::Frame(key), Text::Frame(value))?;
            }
        }
        Ok(())
    }

    fn read_deflated(
        &self,
        frame: &[u8],
        header: &Header<'_>,
        dialect: Dialect,
        demand: &Demand,
        out: &mut Head,
    ) -> Result<(), DecodeError> {
        let mut room = [0; INFLATED];
        let deflated = header.payload();
        let deflated = deflated.get(..HEAD.saturating_add(self.limits.method)).unwrap_or(deflated);
        let message = self.inflater.prefix(deflated, &mut room)?;
        self.read(&Payload { frame, message, at: None, header: Some(header) }, dialect, demand, out)
    }

    /// Reads the head of a message: kind and id first, so that whatever fails behind them can be answered.
    fn read(
        &self,
        payload: &Payload<'_>,
        dialect: Dialect,
        demand: &Demand,
        out: &mut Head,
    ) -> Result<(), DecodeError> {
        let placed = |fault: Fault| fault.placed(payload.end());
        let (body, begin) = whole(Begin::read(payload.message, dialect.encoding)).map_err(placed)?;
        out.set_dialect(Dialect { encoding: begin.encoding, ..dialect }.pack());
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
        self.read_name(payload, &begin, demand, out)?;
        read_outcome(&begin, body, out);
        Ok(())
    }
}

impl ThriftCodec {
    /// Puts the name, and its parts, where attributes and replies find them.
    fn read_name(
        &self,
        payload: &Payload<'_>,
        begin: &Begin,
        demand: &Demand,
        out: &mut Head,
    ) -> Result<(), DecodeError> {
        if begin.name_len > self.limits.method {
            let offset = payload.at.unwrap_or(0).saturating_add(begin.name_at);
            return Err(DecodeError::new(DecodeErrorKind::BadMethod, offset));
        }
        if demand.is_none() && !out.kind().is_request() {
            return Ok(());
        }
        let name = payload.message.get(begin.name_range(0)).unwrap_or_default();
        let span = match payload.at {
            Some(at) => Span::new(begin.name_range(at)),
            None => out.copy(name),
        };
        let Some(span) = span else { return Err(DecodeError::new(DecodeErrorKind::FrameTooLarge, 0)) };
        out.set_echo(span);
        let mut insert = |index: usize, part: Option<Span>| match part {
            Some(part) => out.insert(payload.frame, &self.limits, Text::Name(index), Text::Span(part)),
            None => Ok(()),
        };
        if demand.wants(METHOD) {
            insert(0, Some(span))?;
        }
        if demand.wants(THRIFT_SERVICE) {
            insert(1, Begin::split(name).0.and_then(|service| span.part(0..service.len())))?;
        }
        if demand.wants(THRIFT_METHOD) {
            insert(2, span.part(name.len().saturating_sub(Begin::split(name).1.len())..name.len()))?;
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

/// Tells whether a key is one of the codec's own, which no header can take.
pub(super) fn is_own(key: &[u8]) -> bool {
    NAMES.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(key))
}

fn frame(len: usize, head: usize) -> Measure {
    Measure::Frame { head: head.min(len), len: len as u64 }
}

/// Waits for what a walk of the `have` bytes lacked, unless that is more than a message may have.
fn more(fault: Fault, have: usize, limit: usize) -> Result<Measure, DecodeError> {
    let at_least = have.saturating_add(fault.missing);
    if fault.missing == 0 {
        Err(fault.placed(have).into_fatal())
    } else if at_least > limit {
        Err(DecodeError::fatal(DecodeErrorKind::FrameTooLarge, have))
    } else {
        Ok(Measure::Partial { at_least })
    }
}

const METHOD: &[u8] = b"method";
const THRIFT_SERVICE: &[u8] = b"thrift.service";
const THRIFT_METHOD: &[u8] = b"thrift.method";
const NAMES: &[&str] = &["method", "thrift.service", "thrift.method"];
/// What is looked at behind framing and header, besides the name: enough for the type of an exception, and for what
/// zlib may put in front of the first bytes.
const HEAD: usize = 3072;
/// What is inflated of a payload: enough for the longest name by default.
const INFLATED: usize = 2048;
const EXCEPTION_TYPE: i16 = 2;
const EXCEPTION_DEPTH: usize = 8;
