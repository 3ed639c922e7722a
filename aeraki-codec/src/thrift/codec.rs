//! [`Thrift`], and the codec of one connection: where messages begin and end.

use super::begin::Begin;
use super::dialect::{Detected, Dialect, Encoding, Transport};
use super::grammar::{BinaryGrammar, CompactGrammar};
use super::head::{HEAD, HeadReader, NAMES};
use super::header::{Goodbye, HEADER, Header};
use super::inflate::Inflater;
use super::skip::Skip;
use super::wire::{Fault, array, whole};
use super::{FRAME_LIMIT, encode, reply};
use crate::codec::{
    Answer, Carries, Codec, Control, DecodeError, DecodeErrorKind, Detection, EncodeError, Flow, IdSpace, Limits,
    LocalReply, Measure, Output, Protocol, Receipt, Replies, Role, Serving, Wire,
};
use crate::message::{Demand, Head, Message, Sorter};

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
            inflater: self.inflater.of(role),
            role,
            leaving: false,
            limits: *limits,
            demands: Sorter::new(NAMES),
        })
    }

    fn detect(&self, first: &[u8]) -> Option<Detection> {
        if self.dialect.is_some_and(|spoken| spoken.encoding == Encoding::BinaryOld) {
            return None;
        }
        let fits = |found: Dialect| self.dialect.is_none_or(|spoken| spoken.admits(found)) && found.may_begin(first);
        Some(match Dialect::detect(first) {
            Ok(Detected::Need(_)) => Detection::More,
            Ok(Detected::Dialect(found)) if fits(found) => Detection::Yes,
            Ok(Detected::Dialect(_)) | Err(_) => Detection::No,
        })
    }

    fn carries(&self) -> Carries {
        Carries::Sometimes
    }

    fn writes_status(&self, status: u32) -> bool {
        reply::failure(status).is_some()
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
    /// Whether clients are told so with every answer.
    leaving: bool,
    limits: Limits,
    demands: Sorter,
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
        let reader = HeadReader {
            dialect,
            role: self.role,
            limits: &self.limits,
            inflater: &self.inflater,
            wanted: self.demands.sort(demand),
            demand,
        };
        reader.read(frame, out)
    }

    fn encode(&mut self, message: &Message, out: &mut Output) -> Result<(), EncodeError> {
        let dialect = Dialect::unpack(message.head().dialect()).ok_or(EncodeError::Foreign)?;
        if self.dialect.is_some_and(|spoken| !spoken.admits(dialect)) {
            return Err(EncodeError::Foreign);
        }
        self.write(message, dialect, out)?;
        // The peer answers as it is asked.
        self.dialect.get_or_insert(dialect);
        Ok(())
    }

    fn reply(&mut self, to: &Receipt, reply: &LocalReply, out: &mut Output) -> Result<Answer, EncodeError> {
        let goodbye = if self.leaving { Goodbye::Said } else { Goodbye::Unsaid };
        reply::write(to, reply, goodbye, self.limits.frame_or(FRAME_LIMIT), out)
    }

    /// Only a header can say goodbye, and only that of an answer.
    fn control(&mut self, event: Control<'_>, _: &mut Output) -> Result<Flow, EncodeError> {
        let has_header = self.dialect.is_some_and(|dialect| dialect.transport == Transport::Header);
        if !matches!(event, Control::Goodbye) || self.role != Role::Server || !has_header {
            return Ok(Flow::Ignored);
        }
        self.leaving = true;
        Ok(Flow::Handled)
    }
}

impl ThriftCodec {
    fn write(&self, message: &Message, dialect: Dialect, out: &mut Output) -> Result<(), EncodeError> {
        let mut write = |goodbye| encode::encode(message, dialect, goodbye, &self.inflater, &self.limits, out);
        let goodbye = match (self.leaving, message.head().says_goodbye()) {
            (true, _) => Goodbye::Said,
            (false, true) => Goodbye::Unsaid,
            (false, false) => return write(Goodbye::AsItIs),
        };
        // an answer without room for the word is worth more than the word
        write(goodbye).or_else(|_| write(Goodbye::AsItIs))
    }

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
